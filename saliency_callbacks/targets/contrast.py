"""A target for "why P rather than Q"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from saliency_callbacks.config.hydra import plain
from saliency_callbacks.config.nested import describe
from saliency_callbacks.errors import TargetError
from saliency_callbacks.targets.logits import as_two_classes, read_logits
from saliency_callbacks.targets.named import Columns, NamedTarget, Samples, checked_label, class_index, is_same_value

__all__ = ["ContrastTarget"]

_PREDICTED = ("predicted", "second")
_SIDES = "a class index, the name of a class, 'label', 'predicted', 'second', or one index per sample [N]"


@dataclass(frozen=True, eq=False, repr=False)
class ContrastTarget(NamedTarget):
    r"""Explain why a model says P rather than Q: the difference of two class scores.

    .. math:: s_n = z_{n, a_n} - z_{n, b_n}

    What speaks for both classes alike cancels. A single logit z is read as two classes with the scores -z and z. Where
    a sample can have several labels, the sides are two of the labels.

    Args:
        a: The class that is asked for: an index; the name of a class, as the callback or its data knows it;
            ``"label"``, the sample's label; ``"predicted"``; ``"second"``, the highest class that is not the other
            side; or one index per sample ``[N]``. What is predicted is pinned at the first observation.
        b: The class it is compared with; the same.

    Raises:
        TargetError: If a side is none of these, both are the same, or there is no such class or label.

    Reference:
        Jacovi et al. 2021, arXiv 2103.01378 (contrastive explanations).

    Example:
        >>> import torch
        >>> from saliency_callbacks import explain
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3, bias=False))
        >>> found = explain(model, torch.rand(2, 1, 2, 2), methods="gradient", target=ContrastTarget(2, 0))["gradient"]
        >>> torch.allclose(found.values[0].flatten(), model[1].weight[2] - model[1].weight[0])
        True
    """

    a: int | str | Sequence[int] | Tensor
    b: int | str | Sequence[int] | Tensor

    about_classes = True

    def __post_init__(self) -> None:
        for name in ("a", "b"):
            object.__setattr__(self, name, _checked(name, plain(getattr(self, name))))
        if is_same_value(self.a, self.b):
            raise TargetError(f"a and b are both {self.a!r}; expected two classes, because a - a is always zero")

    @override
    def of(self, samples: Samples) -> NamedTarget:
        a, b = (_classes(name, getattr(self, name), samples) for name in ("a", "b"))
        return _Contrast(a, b, tuple(name for name, side in (("a", a), ("b", b)) if isinstance(side, str)))

    @override
    def __call__(self, output: Any, samples: Tensor) -> Tensor:
        return self.of(Samples(int(samples.max()) + 1))(output, samples)


@dataclass(frozen=True, eq=False)
class _Contrast(NamedTarget):
    """A contrast of classes ``[N]``.

    Args:
        a: The class that is asked for; the name of what is predicted, as long as that is not known.
        b: The class it is compared with; the same.
        sought: Which of the two are looked up in the model's answer.
    """

    a: Tensor | str
    b: Tensor | str
    sought: tuple[str, ...] = ()

    about_classes = True

    @property
    @override
    def needs_pins(self) -> bool:
        return isinstance(self.a, str) or isinstance(self.b, str)

    @property
    @override
    def kept(self) -> dict[str, Tensor]:
        sides = {name: getattr(self, name) for name in self.sought}
        return {name: side for name, side in sides.items() if isinstance(side, Tensor)}

    @override
    def pins_of(self, output: Any, samples: Tensor) -> dict[str, Tensor]:
        logits = as_two_classes(read_logits(output)).detach()
        a, b = (None if isinstance(side, str) else side.to(logits.device)[samples] for side in (self.a, self.b))
        a = logits.argmax(dim=1) if self.a == "predicted" else a
        b = logits.argmax(dim=1) if self.b == "predicted" else b
        a = _highest_but(logits, b) if a is None else a
        return {"a": a, "b": _highest_but(logits, a) if b is None else b}

    @override
    def pinned(self, pins: Mapping[str, Tensor]) -> NamedTarget:
        found: dict[str, Any] = {name: pins[name] for name in self.sought if name in pins}
        return replace(self, **found) if self.needs_pins else self

    @override
    def columns(self) -> Columns | None:
        if isinstance(self.a, str) or isinstance(self.b, str):
            return None
        pairs, of_samples = torch.stack([self.a, self.b], dim=1).unique(dim=0, return_inverse=True)

        def read(output: Any) -> Tensor:
            logits = as_two_classes(read_logits(output))
            a, b = pairs.to(logits.device).unbind(dim=1)
            return logits[:, a] - logits[:, b]

        return Columns(read, of_samples)

    @override
    def __call__(self, output: Any, samples: Tensor) -> Tensor:
        logits = as_two_classes(read_logits(output))
        pins = self.pins_of(output, samples) if self.needs_pins else {}
        a, b = (
            pins[name] if isinstance(side, str) else side.to(logits.device)[samples]
            for name, side in (("a", self.a), ("b", self.b))
        )
        wrong = sorted({int(one) for one in torch.cat([a, b]) if not 0 <= one < logits.shape[1]})
        if wrong:
            raise TargetError(
                f"ContrastTarget compares class {wrong}, but the model has {logits.shape[1]} classes; expected 0 to "
                f"{logits.shape[1] - 1}. Check the target, or the size of the model's head"
            )
        return logits.gather(1, a[:, None])[:, 0] - logits.gather(1, b[:, None])[:, 0]


def _highest_but(logits: Tensor, classes: Tensor | None) -> Tensor:
    if classes is not None:
        logits = logits.scatter(1, classes[:, None], -torch.inf)
    return logits.argmax(dim=1)


def _checked(name: str, side: Any) -> int | str | Tensor:
    if isinstance(side, list | tuple):
        side = torch.tensor(side)
    if not isinstance(side, Tensor):
        return checked_label(name, side)
    if side.ndim > 1 or side.is_floating_point() or side.dtype == torch.bool or bool((side < 0).any()):
        raise TargetError(f"{name} is {describe(side)}; expected {_SIDES}, from 0 up")
    return side.detach().long().cpu()


def _classes(name: str, side: int | str | Tensor, samples: Samples) -> Tensor | str:
    if isinstance(side, str) and side in _PREDICTED:
        return side
    if isinstance(side, Tensor):
        if side.ndim and len(side) != samples.n_samples:
            raise TargetError(
                f"{name} has {len(side)} classes for {samples.n_samples} samples; expected one for each, or one class"
            )
        return side.expand(samples.n_samples)
    if side == "label":
        if samples.probe is None or samples.probe.labels is None:
            several = samples.probe is not None and samples.probe.multi_labels is not None
            problem = "a sample can have several labels" if several else "there are no labels"
            raise TargetError(
                f"{name}='label', but {problem}; expected {_SIDES}. In a callback, labels are those of the probe, e.g. "
                "of Probe(labels=…)"
            )
        return samples.probe.labels
    return torch.full((samples.n_samples,), class_index(name, side, samples))
