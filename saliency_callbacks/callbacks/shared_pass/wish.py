"""What a callback wants explained of the model at a moment, and whether another wants the same explained."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property, partial
from typing import Any

from torch import Tensor, nn

from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.capture.isolation.arithmetic import UNCHANGED
from saliency_callbacks.engine.explanation import Explanation
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.engine.wants import needs_layers
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.targets.multi_label import MultiLabels
from saliency_callbacks.targets.named import NamedTarget
from saliency_callbacks.targets.other_class import OtherClass
from saliency_callbacks.targets.selectors import Labels, Target

__all__ = ["Explain", "Wish", "is_same_target"]

_COMPARED_BY_VALUE = (Labels, MultiLabels, OtherClass)


@dataclass(frozen=True, eq=False)
class Wish:
    """What a callback wants explained.

    Args:
        model: The explained module.
        load: Returns the samples, where it is.
        inputs_name: What tells them from others.
        n_samples: How many there are.
        settings: How they are explained, with the methods.
        targets: The explained scores; what is shared is about the first.
        shards_probe: Whether each process explains a part of the samples.
    """

    model: nn.Module
    load: Callable[[], Any]
    inputs_name: Hashable
    n_samples: int
    settings: Settings
    targets: tuple[Target, ...]
    shards_probe: bool = False

    @classmethod
    def of_probe(
        cls, model: nn.Module, probe: ProbeBatch, settings: Settings, targets: Sequence[Target], host: Host
    ) -> Wish:
        """Return the wish for some scores of all samples of a probe."""
        return cls(
            model=model,
            load=partial(host.to_device, probe.inputs),
            inputs_name=probe.identity,
            n_samples=probe.size,
            settings=settings,
            targets=tuple(targets),
            shards_probe=host.ranks.shards_probe,
        )

    @cached_property
    def inputs(self) -> Any:
        """The samples, which are moved there only if they are explained for this wish."""
        return self.load()

    def agrees_with(self, other: Wish) -> bool:
        """Return whether one run of the engine can serve both: everything but methods and further targets is the same.

        Where no method of one is of target layers, it has no say in which they are.
        """
        own, theirs = self._layers, other._layers
        return (
            self.model is other.model
            and self.inputs_name == other.inputs_name
            and self.shards_probe == other.shards_probe
            and (not own or not theirs or own == theirs)
            and _shared_part(self.settings) == _shared_part(other.settings)
            and is_same_target(self.targets[0], other.targets[0])
        )

    @property
    def _layers(self) -> tuple[Any, ...]:
        if not needs_layers(self.settings.methods):
            return ()
        given = self.settings.target_layers
        return tuple(given) if isinstance(given, list | tuple) else (given,)


Explain = Callable[[Wish], Explanation]
"""Explains what is wished, of the samples that this process explains."""


def is_same_target(one: Any, other: Any) -> bool:
    """Return whether two targets are sure to be the same score; of a person's own functions only the function itself.

    Example:
        >>> import torch
        >>> is_same_target(Labels(torch.tensor([1])), Labels(torch.tensor([1])))
        True
        >>> is_same_target(lambda output: output[:, 0], lambda output: output[:, 0])
        False
    """
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and bool((one == other).all())
    if isinstance(one, NamedTarget):
        return bool(one == other)
    if isinstance(one, _COMPARED_BY_VALUE) and is_dataclass(one):
        return all(is_same_target(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    return isinstance(one, int | str) and one == other


def _shared_part(settings: Settings) -> Settings:
    return replace(
        settings,
        methods=(),
        target_layers=(),
        # Of the same training for all.
        forward_context=nullcontext,
        back_off=None,
        # What was chosen counts, not that there was a choice.
        is_fast=False,
        # Whoever wants errors to be raised is explained together with others as long as there are none.
        leaves_out_failing=False,
        arithmetic=UNCHANGED if settings.full_precision else settings.arithmetic,
    )
