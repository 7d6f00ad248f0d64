"""Which tensors of a forward are probabilities, told by the functions that made them, not by their values alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from weakref import ref

from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["ProbabilityMode"]

_SOURCES = frozenset(
    {
        "expit",
        "gumbel_softmax",
        "hardsigmoid",
        "hardsigmoid_",
        "sigmoid",
        "sigmoid_",
        "softmax",
        "softmin",
        "special_expit",
        "special_softmax",
    }
)


class ProbabilityMode(TorchFunctionMode):
    """Follow the results of sigmoid and softmax through the forwards inside the context.

    What is computed of probabilities alone (views, averages, ``1 - p``, clipping) is followed; what also depends on
    weights or features is not: neither the sigmoid of a gate nor the softmax of an attention makes probabilities of
    the output. Logits that lie in [0, 1] by chance, as those of a head that starts at zero, are not taken for any.
    Functions inside TorchScript are not seen.

    Example:
        >>> import torch
        >>> with ProbabilityMode() as mode:
        ...     gate = torch.zeros(2).sigmoid()
        ...     output = 1 - gate.unsqueeze(1)
        >>> mode.made(output), mode.made(gate * torch.ones(2))
        (True, False)
    """

    def __init__(self) -> None:
        super().__init__()
        # Weakly, so that the attention of a large model is not kept.
        self._known: dict[int, ref[Tensor]] = {}

    def made(self, tensor: Tensor) -> bool:
        """Return whether ``tensor`` was computed of probabilities alone; whether its values are some is not looked at.

        Args:
            tensor: A result of a function that ran inside the context.
        """
        known = self._known.get(id(tensor))
        return known is not None and known() is tensor

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run ``func``, and note what it returns."""
        given = kwargs or {}
        operands = [one for one in _tensors((args, given)) if one.is_floating_point()]
        follows = self._follows(getattr(func, "__name__", ""), operands)
        result = func(*args, **given)
        for one in _tensors(result):
            if follows:
                self._known[id(one)] = ref(one)
            else:
                # A function in place returns what it was given.
                self._known.pop(id(one), None)
        return result

    def _follows(self, name: str, operands: list[Tensor]) -> bool:
        if name in _SOURCES:
            return True
        # Logarithms lead back to logits.
        return bool(operands) and "log" not in name and all(map(self.made, operands))


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, dict):
        yield from _tensors(tuple(values.values()))
    elif isinstance(values, tuple | list):
        for value in values:
            yield from _tensors(value)
