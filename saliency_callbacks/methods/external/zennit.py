"""Layer-wise relevance propagation, by the composites of zennit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.config.hydra import plain
from saliency_callbacks.errors import ExternalMethodError, MethodError
from saliency_callbacks.methods.external.calls import check_call
from saliency_callbacks.methods.external.method import Explainer, ModelRun
from saliency_callbacks.methods.external.packages import imported, member, resolved_arguments, snake_case
from saliency_callbacks.types import TargetLayers

__all__ = ["ZennitMethod"]

_ONE_INPUT = (
    "expected a composite whose rules are on modules with one input. Let gradients through the others as they are, "
    "e.g. arguments={'layer_map': [((torch.nn.MultiheadAttention,), zennit.core.Hook())]}, or use a composite that has "
    "no rule for them, e.g. 'ExcitationBackprop'"
)
_SEVERAL_INPUTS = "has returned an incorrect number of values"
"""What torch says of a rule that returns one gradient for several inputs."""


@dataclass(frozen=True, repr=False)
class ZennitMethod(ModelRun):
    """Any composite of zennit with any of its attributors.

    What is propagated back is 1 at the explained class and 0 elsewhere.

    Args:
        composite: Name of a class of ``zennit.composites``, or the dotted path of a class, or of a function that
            returns a composite; ``None`` for an attributor alone.
        arguments: Arguments of the composite, beside ``canonizers``. Strings with dots are dotted paths of objects.
        canonizers: Classes of ``zennit.canonizers``, or dotted paths such as ``"zennit.torchvision.ResNetCanonizer"``.
        attributor: Name of a class of ``zennit.attribution``, or a dotted path.
        attributor_arguments: Arguments of the attributor, beside the model.
        name: As of :class:`~saliency_callbacks.methods.ExternalMethod`; by default e.g. ``zennit_epsilon_plus_flat``.
        layer: Always ``None``: relevance is that of the input.
        signed: As of :class:`~saliency_callbacks.methods.ExternalMethod`.
        reduction: As of :class:`~saliency_callbacks.methods.ExternalMethod`; by default the absolute value of the sum:
            the relevance of a pixel is the sum over its channels.
        stochastic: As of :class:`~saliency_callbacks.methods.ExternalMethod`.
        rows: As of :class:`~saliency_callbacks.methods.ExternalMethod`.

    Raises:
        MethodError: If zennit is not installed, or an argument cannot be used.

    Example:
        >>> import torch
        >>> from saliency_callbacks import explain
        >>> from torch.nn import Conv2d, Flatten, Linear, ReLU, Sequential
        >>> model = Sequential(Conv2d(3, 4, 3), ReLU(), Flatten(), Linear(16, 2))
        >>> found = explain(model, torch.rand(5, 3, 4, 4), methods=ZennitMethod("EpsilonPlusFlat", name="lrp"))["lrp"]
        >>> found.values.shape, found.reduction
        (torch.Size([5, 3, 4, 4]), 'sum')

    Reference:
        Anders et al. 2021, arXiv 2106.13200.
    """

    # OmegaConf, in which Hydra keeps an object in a list, knows no unions of callables.
    composite: Any = "EpsilonPlusFlat"
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    canonizers: Sequence[Any] = ()
    attributor: str = "Gradient"
    attributor_arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    reduction: Any = field(default="sum", kw_only=True)
    name: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        kind = self._composite()
        named = self.attributor if kind is None else getattr(kind, "__name__", "composite")
        self._set("name", self.name or f"zennit_{snake_case(named)}")
        self._set("canonizers", _checked_canonizers(plain(self.canonizers)))
        for one in ("arguments", "attributor_arguments"):
            self._set(one, resolved_arguments(f"{self.name}: {one}", getattr(self, one)))
        self._canonizers()
        if self.layer is not None:
            raise MethodError(f"{self.name}: layer={self.layer!r}; expected None, as relevance is that of the input")
        super().__post_init__()
        if kind is not None:
            own = ["canonizers"] if self.canonizers else []
            check_call(f"{self.name}: arguments", kind, self.arguments, own=own)
        of_run = ["model", "composite"]
        check_call(f"{self.name}: attributor_arguments", self._attributor(), self.attributor_arguments, own=of_run)

    def check(self, model: nn.Module, layers: Mapping[str, nn.Module]) -> None:
        """Refuse attention that a rule for modules of one input is put on.

        zennit counts ``nn.MultiheadAttention`` among the activations, for the file of torch that it is defined in.
        """
        of_one_input = (_zennit("core").BasicHook, _zennit("rules").Pass)
        try:
            rules = self._rules_of_attention(model)
        except Exception:
            # What a composite fails at, the observation tells.
            return
        for name, rule in rules.items():
            if isinstance(rule, of_one_input):
                raise ExternalMethodError(
                    f"method {self.name!r} puts the rule {type(rule).__name__} on the nn.MultiheadAttention {name!r}, "
                    f"which has three inputs; {_ONE_INPUT}"
                )

    def explainer(self, model: nn.Module, layers: TargetLayers) -> Explainer:
        """Return the attributor for the model as it is now."""
        composite, attributor = self._made_composite(), self._attributor()

        def attribute(inputs: Tensor, target: Tensor, samples: Tensor) -> Any:
            def one_hot(output: Tensor) -> Tensor:
                # An attributor may run several copies of the inputs, one after the other.
                return torch.zeros_like(output).scatter_(1, target.repeat(len(output) // len(target))[:, None], 1)

            with attributor(model=model, composite=composite, **self.attributor_arguments) as run:
                try:
                    _, relevance = run(inputs, one_hot)
                except RuntimeError as error:
                    if _SEVERAL_INPUTS not in str(error):
                        raise
                    raise ExternalMethodError(
                        f"method {self.name!r} puts a rule on a module with several inputs ({error}); {_ONE_INPUT}"
                    ) from error
            return relevance

        return attribute

    def _rules_of_attention(self, model: nn.Module) -> Mapping[str, Any]:
        """Return the rule of every ``nn.MultiheadAttention`` by its name, ``None`` for none."""
        composite = self._made_composite()
        if composite is None:
            return {}
        # The rule of a module may depend on those that come before it.
        context: dict[str, Any] = {}
        # The names that zennit meets them under.
        named = model.named_modules(prefix="model")
        rules = [(name, module, composite.module_map(context, name, module)) for name, module in named]
        return {
            name.removeprefix("model."): rule
            for name, module, rule in rules
            if isinstance(module, nn.MultiheadAttention)
        }

    def _made_composite(self) -> Any:
        kind = self._composite()
        given = {"canonizers": self._canonizers()} if self.canonizers else {}
        return None if kind is None else kind(**given, **self.arguments)

    def _composite(self) -> Any:
        if self.composite is None or callable(self.composite):
            return self.composite
        return member(_zennit("composites"), self.composite, what="ZennitMethod: composite")

    def _attributor(self) -> Any:
        return member(_zennit("attribution"), self.attributor, what="ZennitMethod: attributor")

    def _canonizers(self) -> list[Any]:
        made = []
        for one in self.canonizers:
            kind = member(_zennit("canonizers"), one, what="ZennitMethod: canonizers") if isinstance(one, str) else one
            made.append(kind() if callable(kind) else kind)
        return made


def _checked_canonizers(given: Any) -> tuple[Any, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise MethodError(f"ZennitMethod: canonizers={given!r}; expected a list, such as ['SequentialMergeBatchNorm']")
    return tuple(given)


def _zennit(module: str) -> Any:
    return imported(f"zennit.{module}", preset="ZennitMethod", package="zennit", extra="zennit")
