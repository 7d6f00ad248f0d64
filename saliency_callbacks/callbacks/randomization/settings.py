"""What a randomization test draws and compares, and the cascade at the end of the training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from saliency_callbacks.callbacks.runtime.settings import set_field
from saliency_callbacks.config.checks import checked_choice, checked_flag, checked_real
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.randomization.run import check_draws, with_primary
from saliency_callbacks.randomization.steps import Layerwise, Order, check_order

__all__ = ["Cascade", "Draws"]


@dataclass(frozen=True)
class Draws:
    """The random copies of a model, and how its maps are compared with theirs.

    Args:
        n_draws: How many random copies, at least 2. ``"auto"`` takes 5, and up to 20 while the verdict could still
            change: until floor and similarity are four of their standard errors away from the limits of the verdict.
        order: What is randomized: ``full`` all weights at once, or layer by layer ``top_down``, ``bottom_up`` or
            ``independent``, of which the last step, or the mean over the layers, is logged.
        randomize: ``reinitialize``, ``permute``, or a callable or dotted path of one; see
            :func:`~saliency_callbacks.randomization_test`.
        similarities: Names of :data:`saliency_callbacks.scores.SIMILARITIES`; ``spearman`` is always computed.
        random_logit: Whether to compare the maps of the explained class and of another one as well; one more backward
            pass.
        max_mib: Memory limit, in MiB, for the maps of the copies: they are then explained only once, with ``n_draws``
            times the passes of the methods, and each further test explains only the trained model. 0 explains all at
            every test, as happens if the copies depend on the trained weights: with another order or ``permute``, for
            parameters that no layer initializes, and for ``target="predicted"`` or a function as target.

    Raises:
        ConfigurationError: If there are fewer than two draws, no such order or similarity, or the memory is negative.

    Example:
        >>> Draws(n_draws=10).order
        'full'
    """

    n_draws: int | str = "auto"
    order: Order = "full"
    randomize: str | Callable[..., Any] = "reinitialize"
    similarities: str | Sequence[str] = ("spearman", "abs_spearman")
    random_logit: bool = True
    max_mib: float = 512

    def __post_init__(self) -> None:
        if self.n_draws != "auto":
            set_field(self, "n_draws", check_draws(self.n_draws, or_else='"auto"'))
        set_field(self, "max_mib", checked_real("max_mib", self.max_mib, at_least=0))
        check_order(self.order)
        checked_flag("random_logit", self.random_logit)
        set_field(self, "similarities", plain(self.similarities))
        with_primary(self.similarities)


@dataclass(frozen=True)
class Cascade:
    """The layer-by-layer randomization when the training ends.

    Args:
        at_fit_end: Whether there is one.
        order: ``top_down`` from the output down to the input, ``bottom_up``, or ``independent``.
        n_draws: How many times it is drawn; at least 2. It costs as many explanations for each layer.
        max_seconds: Approximate time limit; the last layers in the order are left out if necessary, and the table says
            so. No limit by default.

    Raises:
        ConfigurationError: If there are fewer than two draws, no such order, or the limit is no positive number.

    Example:
        >>> Cascade(order="independent").n_draws
        3
    """

    at_fit_end: bool = True
    order: Layerwise = "top_down"
    n_draws: int = 3
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        checked_flag("at_fit_end", self.at_fit_end)
        checked_choice("cascade.order", self.order, get_args(Layerwise))
        set_field(self, "n_draws", check_draws(self.n_draws, "cascade.n_draws"))
        if self.max_seconds is not None:
            set_field(self, "max_seconds", checked_real("cascade.max_seconds", self.max_seconds, above=0))
