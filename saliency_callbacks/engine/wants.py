"""Who wants what of one run of the engine: several may share its passes, as the methods of one do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from saliency_callbacks.capture.attention.observer import ATTENTION
from saliency_callbacks.capture.passes.adaptive import measured_by
from saliency_callbacks.methods.external.method import TARGET_LAYERS
from saliency_callbacks.types import AnyMethod, ModelMethod, Pass, Quantity

__all__ = [
    "Want",
    "are_independent",
    "asking",
    "distinct",
    "is_same_method",
    "needs_attention",
    "needs_layers",
    "run_by_themselves",
    "shares",
    "union",
]


@dataclass(frozen=True)
class Want:
    """Some methods for some of the targets.

    Args:
        methods: What is computed.
        targets: Positions of the targets among those of the run.
    """

    methods: tuple[AnyMethod, ...]
    targets: tuple[int, ...]


def union(methods: Sequence[AnyMethod]) -> dict[Pass, Quantity]:
    """Return every distinct pass of some methods, with all that is kept of it."""
    plan: dict[Pass, Quantity] = {}
    for method in methods:
        for pass_, quantities in method.requires().items():
            plan[pass_] = plan.get(pass_, Quantity(0)) | quantities
    # The point pass goes first: it also settles the predicted class and the score of the unchanged input.
    return dict(sorted(plan.items(), key=lambda item: item[0] != Pass()))


def is_same_method(one: AnyMethod, other: AnyMethod) -> bool:
    """Return whether two methods are sure to be the same; of one that cannot be compared only itself."""
    if one is other:
        return True
    try:
        return type(one) is type(other) and (one == other) is True
    except Exception:
        # As of a dataclass with an array in it, of which a comparison is an array, too.
        return False


def distinct(methods: Iterable[AnyMethod]) -> tuple[AnyMethod, ...]:
    """Return methods without those that are there twice."""
    found: list[AnyMethod] = []
    for method in methods:
        if not any(is_same_method(method, one) for one in found):
            found.append(method)
    return tuple(found)


def needs_layers(methods: Sequence[AnyMethod]) -> bool:
    """Return whether any of some methods is of the target layers."""
    uses_them = any(method.layer == TARGET_LAYERS for method in run_by_themselves(methods))
    return uses_them or any(Quantity.ACTIVATIONS in quantities for quantities in union(methods).values())


def run_by_themselves(methods: Iterable[AnyMethod]) -> tuple[ModelMethod, ...]:
    """Return those that run the model themselves."""
    return tuple(method for method in methods if isinstance(method, ModelMethod))


def needs_attention(methods: Sequence[AnyMethod]) -> bool:
    """Return whether any of some methods is of the model's attention."""
    return any(bool(quantities & ATTENTION) for quantities in union(methods).values())


def asking(pass_: Pass, wants: Sequence[Want]) -> tuple[int, ...]:
    """Return the targets that a pass is run for; the point pass tells the scores of all."""
    of_pass = [want for want in wants if pass_ == Pass() or pass_ in union(want.methods)]
    return tuple(sorted({target for want in of_pass for target in want.targets}))


def are_independent(wants: Sequence[Want], *, any_graph: bool = False) -> bool:
    """Return whether each want gets, bit by bit, what it gets alone, and all of them share a pass with another.

    Three things make a pass run in another way for the sake of others: with squares it is summed up in float64; with a
    gradient of the input, its forward records a graph from there on, for which torch may choose another kernel; and one
    that goes on until an error is small runs as many samples together as any of its targets needs.

    Args:
        wants: Who wants what.
        any_graph: Whether the model was seen to compute the same with a graph as without.

    Example:
        >>> from saliency_callbacks.methods import resolve_methods
        >>> smooth, variance = (resolve_methods(name) for name in ("smooth_grad", "var_grad"))
        >>> are_independent([Want(smooth, (0,)), Want(smooth, (0, 1))])
        True
        >>> are_independent([Want(smooth, (0,)), Want(variance, (0,))])
        False
    """
    compared = 1 if any_graph else 2
    whole = _measured([method for want in wants for method in want.methods])
    plans = [_measured(want.methods) for want in wants]
    return all(
        (Pass() in plan) == (Pass() in whole)
        and all(_arithmetic(one)[:compared] == _arithmetic(whole[pass_])[:compared] for pass_, one in plan.items())
        and all(asking(pass_, wants) == want.targets for pass_ in plan if measured_by(pass_))
        and any(plan.keys() & other.keys() for other in plans if other is not plan)
        for want, plan in zip(wants, plans, strict=True)
    )


def shares(seconds: Mapping[Pass, float], wants: Sequence[Want]) -> list[float]:
    """Return each want's part of the time of a run: that of each pass is divided among those who asked for it.

    So nobody is charged for passes that only others want.

    Args:
        seconds: Of each pass; the unchanged inputs are run for all.
        wants: Who wanted what.

    Example:
        >>> from saliency_callbacks.methods import resolve_methods
        >>> gradient, smooth = (resolve_methods(name) for name in ("gradient", "smooth_grad"))
        >>> wants = [Want(gradient, (0,)), Want(gradient + smooth, (0,))]
        >>> shares({Pass(): 2.0, next(iter(union(smooth))): 6.0}, wants)
        [0.125, 0.875]
    """
    plans = [{Pass(), *union(want.methods)} for want in wants]
    spent = [
        sum(time / sum(pass_ in other for other in plans) for pass_, time in seconds.items() if pass_ in plan)
        for plan in plans
    ]
    whole = sum(spent)
    return [one / whole if whole else 1 / len(wants) for one in spent]


def _measured(methods: Sequence[AnyMethod]) -> dict[Pass, Quantity]:
    return {pass_: quantities | measured_by(pass_) for pass_, quantities in union(methods).items()}


def _arithmetic(quantities: Quantity) -> tuple[bool, bool]:
    return Quantity.GRADIENT_SQUARE in quantities, bool(quantities & ~Quantity.ACTIVATIONS)
