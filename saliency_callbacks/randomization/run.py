"""The parameter randomization test of a model and a batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, Literal

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.text.settings import TokenSettings
from saliency_callbacks.capture.weights.randomizer import Redraw, randomizer
from saliency_callbacks.config.checks import checked_integer
from saliency_callbacks.config.dotted_paths import resolve_callable
from saliency_callbacks.engine.explanation import Explanation
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.engine.settled import settled
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.methods.resolution import resolve_methods
from saliency_callbacks.randomization.comparison import check_any, compared, nested
from saliency_callbacks.randomization.result import PRIMARY, RandomizationResult
from saliency_callbacks.randomization.states import (
    Maps,
    check_randomized,
    explain_reference,
    random_maps,
    weight_layers,
)
from saliency_callbacks.randomization.steps import Order, Step, check_order, steps_of
from saliency_callbacks.scores.similarities import Similarity, resolve_similarities
from saliency_callbacks.targets.selectors import Target
from saliency_callbacks.types import AnyMethod

__all__ = ["check_draws", "check_redraw", "randomization_test", "run_test", "with_primary"]

_NAMED = ("reinitialize", "permute")


def randomization_test(
    model: nn.Module,
    inputs: Any,
    *,
    methods: str | AnyMethod | Sequence[str | AnyMethod] = ("gradient", "grad_cam"),
    target: Target = "predicted",
    order: Order = "full",
    n_draws: int = 5,
    seed: int = 0,
    randomize: Literal["reinitialize", "permute"] | str | Callable[[nn.Module], Any] = "reinitialize",
    similarities: str | Sequence[str] = ("spearman", "abs_spearman"),
    random_logit: bool = True,
    target_layers: Any = "auto",
    reshape_transform: Callable[[Tensor], Tensor] | None = None,
    output_fn: Callable[[Any], Any] | None = None,
    attribute_to: int | str | None = None,
    shared: Sequence[int | str] | None = None,
    layout: str | None = None,
    embedding: Any = None,
    tokenizer: Any = None,
    internal_batch_size: int | None = None,
    progress: Callable[[int, int], Any] | None = None,
) -> RandomizationResult:
    """Compare the maps of a model with those of the same model with random weights, for the same inputs and classes.

    A method whose maps hardly change does not explain what the model has learned. The floor gives the scale: it is the
    similarity between the maps of two random copies. The model state is restored byte for byte, also after an
    exception; one copy of the weights is kept meanwhile.

    Args:
        model: Any module.
        inputs: As for :func:`~saliency_callbacks.explain`.
        methods: Names or method objects; all of them share the passes of each state.
        target: The explained score. ``"predicted"`` is settled with the trained weights.
        order: ``full`` redraws all weights at once; ``top_down`` layer by layer from the output to the input, each on
            top of the previous ones; ``bottom_up`` the other way; ``independent`` each layer alone. Layers are ordered
            as the forward pass runs them.
        n_draws: Number of random copies, at least 2.
        seed: Seed of the draws and of all noise.
        randomize: ``"reinitialize"`` as the layers initialize themselves (values of parameters that no layer
            initializes are permuted), ``"permute"`` the values of every parameter, or a callable ``module -> None``
            that changes a module's own parameters in place; also as a dotted import path. Changes to submodules that
            are layers themselves are undone.
        similarities: Names of :data:`saliency_callbacks.scores.SIMILARITIES`; ``spearman`` is always computed.
        random_logit: Whether to compare the maps of the explained class and of another one as well; one more backward
            pass.
        target_layers: As for :func:`~saliency_callbacks.explain`; found once, with the trained weights.
        reshape_transform: As for :func:`~saliency_callbacks.explain`.
        output_fn: As for :func:`~saliency_callbacks.explain`.
        attribute_to: As for :func:`~saliency_callbacks.explain`.
        shared: As for :func:`~saliency_callbacks.explain`.
        layout: As for :func:`~saliency_callbacks.explain`.
        embedding: As for :func:`~saliency_callbacks.explain`; one number per token is then compared.
        tokenizer: As for :func:`~saliency_callbacks.explain`.
        internal_batch_size: As for :func:`~saliency_callbacks.explain`.
        progress: Called with the number of states that are done and the total number.

    Returns:
        Similarities per step, method, draw and sample, with floors and verdicts.

    Raises:
        ConfigurationError: If the model has no weights that could be randomized, or an argument cannot be used.

    Example:
        >>> import torch
        >>> from torch.nn import Flatten, Linear, Sequential, Tanh
        >>> model = Sequential(Flatten(), Linear(9, 4), Tanh(), Linear(4, 2))
        >>> result = randomization_test(model, torch.rand(2, 1, 3, 3), methods="gradient", n_draws=2)
        >>> list(result.verdicts)
        ['gradient']

    Reference:
        Adebayo et al. 2018, arXiv 1810.03292.
    """
    settings = Settings(
        methods=resolve_methods(methods),
        target_layers=target_layers,
        reshape_transform=reshape_transform,
        output_fn=output_fn,
        attribute_to=attribute_to,
        shared=shared,
        layout=layout,
        internal_batch_size=internal_batch_size,
        seed=seed,
        tokens=TokenSettings.where_given(embedding, tokenizer),
    )
    return run_test(
        model,
        inputs,
        settings,
        target,
        order=check_order(order),
        n_draws=check_draws(n_draws),
        redraw=check_redraw(randomize),
        similarities=with_primary(similarities),
        random_logit=random_logit,
        progress=progress,
    )


def run_test(
    model: nn.Module,
    inputs: Any,
    settings: Settings,
    target: Target,
    *,
    order: Order,
    n_draws: int,
    redraw: Redraw,
    similarities: Sequence[Similarity],
    random_logit: bool = True,
    progress: Callable[[int, int], Any] | None = None,
    is_over: Callable[[int], bool] | None = None,
    explanation: Explanation | None = None,
) -> RandomizationResult:
    """Run the test with checked arguments; see :func:`randomization_test`.

    ``is_over`` is asked after each step of the first draw, with the number of states that there would be with one more
    step: whether that takes too long, so that all draws end with this one. ``explanation`` is that of the model as it
    is, where there is one.
    """
    settings = settled(model, inputs, settings, target)
    layers = weight_layers(model, inputs, settings)
    reference = explain_reference(
        model, inputs, settings, target, similarities, random_logit=random_logit, explanation=explanation
    )
    steps = steps_of(order, layers)
    left_out: tuple[Step, ...] = ()
    needs_whole = order == "independent"
    total = n_draws * (len(steps) + needs_whole)
    # Similarity and method → draw → step → [N].
    values: defaultdict[tuple[str, str], list[list[Tensor]]] = defaultdict(list)
    finals: list[Maps] = []
    done = 0
    with randomizer(model, redraw, seed=settings.seed) as weights:
        for number in range(n_draws):
            found: defaultdict[tuple[str, str], list[Tensor]] = defaultdict(list)
            for n_steps, maps in enumerate(random_maps(model, inputs, reference, weights, steps, number), 1):
                for key, value in compared(maps, reference.maps, similarities).items():
                    found[key].append(value)
                done = _told(progress, done, total)
                # And one state with all layers, for the floor.
                if is_over is not None and number == 0 and n_steps < len(steps) and is_over(n_draws * (n_steps + 2)):
                    steps, left_out, needs_whole = steps[:n_steps], steps[n_steps:], True
                    total = n_draws * (n_steps + 1)
                    break
            for key, per_step in found.items():
                values[key].append(per_step)
            if needs_whole:
                (whole,) = steps_of("full", layers)
                (maps,) = random_maps(model, inputs, reference, weights, [whole], number)
                done = _told(progress, done, total)
            finals.append(maps)
            check_randomized(model, weights, layers)
        unchanged = tuple(sorted(weights.unchanged))
    # A method of another library may have failed on some of the copies.
    pairs = _floors(finals, similarities)
    whole_values = {
        key: torch.stack([torch.stack(draw) for draw in draws], 1)
        for key, draws in values.items()
        if key in pairs and len(draws) == n_draws and all(len(draw) == len(steps) for draw in draws)
    }
    check_any(whole_values)
    return RandomizationResult(
        order=order,
        steps=tuple(step.name for step in steps),
        values=nested(whole_values),
        floors=nested({key: floor for key, floor in pairs.items() if key in whole_values}),
        ceilings=nested(compared(reference.ceilings, reference.maps, similarities)),
        random_logit=nested(compared(reference.others or {}, reference.maps, similarities)),
        unchanged=unchanged,
        n_draws=n_draws,
        seed=settings.seed,
        target=reference.explained,
        target_layers=reference.target_layers,
        left_out=tuple(step.name for step in left_out),
    )


def check_draws(n_draws: Any, argument: str = "n_draws", or_else: str | None = None) -> int:
    """Return ``n_draws``; ``or_else`` is what else the argument takes, for the message.

    Raises:
        ConfigurationError: If it is not a whole number of at least 2.
    """
    expected = "a whole number of at least 2, because the floor compares two random copies"
    expected += f", or {or_else}" if or_else else ""
    return checked_integer(argument, n_draws, 2, expected=expected)


def check_redraw(randomize: Any) -> Redraw:
    """Return ``randomize``, with a dotted path resolved.

    Raises:
        ConfigurationError: If it is an unknown name, or neither a name nor a callable.
    """
    if randomize is None or (isinstance(randomize, str) and randomize not in _NAMED and "." not in randomize):
        raise ConfigurationError(
            f"randomize={randomize!r} is unknown; expected one of {list(_NAMED)}, a callable (module -> None), or the "
            "dotted path of one"
        )
    return randomize if randomize in _NAMED else resolve_callable("randomize", randomize)  # type: ignore[return-value]


def with_primary(names: str | Sequence[str]) -> tuple[Similarity, ...]:
    """Return similarities, the primary one first whether asked for or not.

    Raises:
        ConfigurationError: If a name is unknown or given twice.
    """
    asked = resolve_similarities(names)
    return (*resolve_similarities(PRIMARY), *(similarity for similarity in asked if similarity.name != PRIMARY))


def _told(progress: Callable[[int, int], Any] | None, done: int, total: int) -> int:
    if progress is not None:
        progress(done + 1, total)
    return done + 1


def _floors(finals: Sequence[Maps], similarities: Sequence[Similarity]) -> dict[tuple[str, str], Tensor]:
    pairs = [compared(one, other, similarities) for one, other in combinations(finals, 2)]
    of_all = [key for key in pairs[0] if all(key in pair for pair in pairs)]
    return {key: torch.stack([pair[key] for pair in pairs]) for key in of_all}
