"""Scores of partly removed samples, from forwards alone: which positions are replaced, and by what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.isolation.arithmetic import UNCHANGED
from saliency_callbacks.capture.isolation.context import unchanged_state
from saliency_callbacks.capture.isolation.generators import isolated_generators
from saliency_callbacks.capture.isolation.rng import seed_all
from saliency_callbacks.capture.text.inputs import TokenInputs
from saliency_callbacks.capture.torch_errors import known_failures
from saliency_callbacks.engine.pins import settled_target
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.engine.settled import settled
from saliency_callbacks.errors import ConfigurationError, nearest_names
from saliency_callbacks.functional.faithfulness.filling import blurred, inpainted
from saliency_callbacks.targets.selectors import Selector, Target, selector

__all__ = ["REPLACEMENTS", "Removal", "RemovalScores", "replacements_for", "run_removals"]

Removal = Callable[[Tensor], Tensor]
"""Positions of samples ``[M]`` among those that this process runs → which positions are replaced, bool ``[M, P]``."""

_Fill = Callable[[ModelInputs, Tensor], Callable[[Tensor], Tensor]]
"""Batch, numbers of the samples ``[M]`` → (positions, bool ``[M, *spatial]``, → explained ``[M, C, *spatial]``)."""


class RemovalScores(NamedTuple):
    """What was scored.

    Args:
        clean: The samples as they are, ``[M]``.
        replaced: With everything replaced, ``[replacements, M]``.
        removed: After each removal, ``[replacements, removals, M]``.
    """

    clean: Tensor
    replaced: Tensor
    removed: Tensor


def _inpainting(batch: ModelInputs, samples: Tensor) -> Callable[[Tensor], Tensor]:
    rows = batch.explained.index_select(0, samples)
    # Half precision has too few digits for means of means.
    wide = rows.to(torch.promote_types(rows.dtype, torch.float32))
    return lambda removed: inpainted(wide, removed).to(rows.dtype)


def _blurring(batch: ModelInputs, samples: Tensor) -> Callable[[Tensor], Tensor]:
    rows = batch.explained.index_select(0, samples)
    wide = rows.to(torch.promote_types(rows.dtype, torch.float32))
    return _between(rows, blurred(wide).to(rows.dtype))


def _token(baseline: str) -> _Fill:
    def fill(batch: ModelInputs, samples: Tensor) -> Callable[[Tensor], Tensor]:
        start = batch.start(baseline).index_select(0, samples)
        return _between(batch.explained.index_select(0, samples), start)

    return fill


def _between(rows: Tensor, others: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda removed: torch.where(removed[:, None], others, rows)


_OF_PICTURES: Mapping[str, _Fill] = {"inpainted": _inpainting, "blurred": _blurring}
_OF_TEXTS: Mapping[str, _Fill] = {"mask_token": _token("mask_token"), "pad_token": _token("pad_token")}

REPLACEMENTS = (*_OF_PICTURES, *_OF_TEXTS)
"""What may take the place of what is removed: the first ones of images, signals, volumes; the last ones of texts."""


def replacements_for(batch: ModelInputs, asked: Sequence[str] = ()) -> tuple[str, ...]:
    """Return what takes the place of what is removed of a batch.

    Args:
        batch: What is explained.
        asked: Names of :data:`REPLACEMENTS`; none for all that fit, and for texts the first that there is.

    Raises:
        ConfigurationError: If one does not fit, or none does.
    """
    is_text = isinstance(batch, TokenInputs)
    known = _OF_TEXTS if is_text else _OF_PICTURES
    for name in asked:
        if name not in known:
            kind = "text inputs" if is_text else "images, signals and volumes"
            raise ConfigurationError(f"replacement {name!r} is not for {kind}; {nearest_names(name, known)}")
    if not is_text:
        return tuple(asked) or tuple(known)
    assert isinstance(batch, TokenInputs), "as said above"
    has = {"mask_token": batch.settings.mask_id is not None, "pad_token": batch.pad_id is not None}
    usable = [name for name in asked or known if has[name]]
    if batch.layer is None or not usable or (asked and len(usable) < len(asked)):
        given = "embeddings in place of token ids" if batch.layer is None else "no such token is known"
        raise ConfigurationError(
            f"the words of a text are removed by putting {' or '.join(asked or known)} in their place, but "
            f"{given}; expected text inputs as ids, and a `tokenizer=` that has a mask or padding token"
        )
    return tuple(usable) if asked else (usable[0],)


def run_removals(
    model: nn.Module,
    inputs: Any,
    settings: Settings,
    target: Target,
    removals: Sequence[Removal],
    replacements: Sequence[str] = (),
) -> tuple[RemovalScores, tuple[str, ...]]:
    """Score samples of which some positions are replaced, from forwards without graph.

    One of the samples as they are, and for each replacement one with everything replaced and one for each removal.

    Whatever ``arithmetic`` the settings have: scores are those of the model as it is trained. Each forward runs as if
    it were the first one: what a model draws, or keeps, is the same in all.

    Args:
        model: The model.
        inputs: The batch.
        settings: How it is run, and which samples are.
        target: The explained score; of the classes that stay the same, not ``"predicted"``.
        removals: Which positions are replaced.
        replacements: By what; see :func:`replacements_for`.

    Returns:
        The scores, and the names of what took the place.

    Raises:
        ConfigurationError: If an input, output or replacement cannot be used.
    """
    settings = replace(settings, arithmetic=UNCHANGED)
    target = settled_target(model, inputs, settings, target)
    return settings.within_memory(
        inputs, lambda fitting: _scored(model, inputs, fitting, target, removals, replacements)
    )


def _scored(
    model: nn.Module,
    inputs: Any,
    settings: Settings,
    target: Target,
    removals: Sequence[Removal],
    asked: Sequence[str],
) -> tuple[RemovalScores, tuple[str, ...]]:
    settings = settled(model, inputs, settings, target)
    with settings.quiescent(model, target) as running, torch.no_grad(), known_failures(model):
        batch = running.read(model, inputs)
        names = replacements_for(batch, asked)
        fills = [{**_OF_PICTURES, **_OF_TEXTS}[name] for name in names]
        runner = _Runner(model, batch, running, selector(target, batch.n_samples, settings.output_fn))
        own = settings.samples_of(batch.n_samples)
        samples = torch.arange(own.start, own.stop, device=batch.explained.device)
        chunks = [
            _scored_rows(runner, rows, rows - own.start, removals, fills)
            for rows in samples.split(settings.rows_at_once(batch.n_samples))
        ]
    return RemovalScores(*(torch.cat(parts, dim=-1) for parts in zip(*chunks, strict=True))), names


def _scored_rows(
    runner: _Runner, samples: Tensor, places: Tensor, removals: Sequence[Removal], fills: Sequence[_Fill]
) -> RemovalScores:
    explained = runner.batch.explained
    clean = runner.scores(explained.index_select(0, samples), samples)
    everything = _countable(runner.batch, samples)
    replaced, removed = [], []
    for fill in fills:
        filled = fill(runner.batch, samples)
        replaced.append(runner.scores(filled(everything), samples))
        masks = (removal(places).reshape(everything.shape).to(explained.device) for removal in removals)
        removed.append(torch.stack([runner.scores(filled(mask), samples) for mask in masks]))
    return RemovalScores(clean, torch.stack(replaced), torch.stack(removed))


def _countable(batch: ModelInputs, samples: Tensor) -> Tensor:
    if batch.counted is not None:
        return batch.counted.index_select(0, samples)
    explained = batch.explained
    return torch.ones((len(samples), *explained.shape[2:]), dtype=torch.bool, device=explained.device)


class _Runner(NamedTuple):
    """A quiescent model and what of its output is scored."""

    model: nn.Module
    batch: ModelInputs
    settings: Settings
    select: Selector

    def scores(self, rows: Tensor, samples: Tensor) -> Tensor:
        with _as_first(self.model, self.settings.seed), self.settings.forward_context():
            output = self.batch.call(self.model, self.batch.copied(rows), samples)
        return self.select(output, samples)[0].detach().clone()


@contextmanager
def _as_first(model: nn.Module, seed: int) -> Iterator[None]:
    seed_all(seed)
    with isolated_generators(model, seed), unchanged_state(model):
        yield
