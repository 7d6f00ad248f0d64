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


# What they return depends on nothing that the model computed.
_EMPTY = frozenset({"empty", "empty_like", "new_empty", "new_zeros", "zeros", "zeros_like"})
_CLIPPING = frozenset({"clamp", "clamp_", "clip", "clip_"})


class ProbabilityMode(TorchFunctionMode):
    """Follow the results of sigmoid and softmax through the forwards inside the context.

    What is computed of probabilities alone (views, averages, ``1 - p``, clipping) is followed, also where it is
    collected in a tensor that was made empty or of zeros; what also depends on
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
        self._empty: dict[int, ref[Tensor]] = {}

    def made(self, tensor: Tensor) -> bool:
        """Return whether ``tensor`` was computed of probabilities alone; whether its values are some is not looked at.

        Args:
            tensor: A result of a function that ran inside the context.
        """
        return _holds(self._known, tensor)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run ``func``, and note what it returns."""
        given = kwargs or {}
        name = getattr(func, "__name__", "")
        operands = [one for one in _tensors(_read(name, args, given)) if one.is_floating_point()]
        follows = self._follows(name, operands)
        is_empty = name in _EMPTY or (bool(operands) and all(_holds(self._empty, one) for one in operands))
        result = func(*args, **given)
        # A function in place returns what it was given, and an assignment nothing.
        for one in _tensors(args[0] if name == "__setitem__" else result):
            # What is written into a part is written into the whole.
            for written in [one, *self._whole(name, one)]:
                self._note(
                    written,
                    follows=follows and (written is one or self._is_fit(written)),
                    is_empty=is_empty and (written is one or _holds(self._empty, written)),
                )
        return result

    def _whole(self, name: str, written: Tensor) -> list[Tensor]:
        is_in_place = name == "__setitem__" or name.startswith("__i") or (name.endswith("_") and name[-2:] != "__")
        return [written._base] if is_in_place and written._base is not None else []  # noqa: SLF001

    def _is_fit(self, tensor: Tensor) -> bool:
        return self.made(tensor) or _holds(self._empty, tensor)

    def _note(self, tensor: Tensor, *, follows: bool, is_empty: bool) -> None:
        for kept, is_kept in ((self._known, follows), (self._empty, is_empty and not follows)):
            if is_kept:
                kept[id(tensor)] = ref(tensor)
            else:
                kept.pop(id(tensor), None)

    def _follows(self, name: str, operands: list[Tensor]) -> bool:
        if name in _SOURCES:
            return True
        # Logarithms lead back to logits.
        is_followed = name not in _EMPTY and "log" not in name and any(map(self.made, operands))
        return is_followed and all(map(self._is_fit, operands))


def _read(name: str, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
    """Return the arguments whose values a result is made of."""
    if name == "copy_":
        return args[1:], given
    if name in _CLIPPING:
        # Its bounds are settings, unless they are learned or differ by value.
        bounds = [one for one in _tensors((args[1:], given)) if one.requires_grad or one.numel() > 1]
        return args[:1], bounds
    return args, {key: value for key, value in given.items() if key != "out"}


def _holds(kept: dict[int, ref[Tensor]], tensor: Tensor) -> bool:
    found = kept.get(id(tensor))
    return found is not None and found() is tensor


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, dict):
        yield from _tensors(tuple(values.values()))
    elif isinstance(values, tuple | list):
        for value in values:
            yield from _tensors(value)
