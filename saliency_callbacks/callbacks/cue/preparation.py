"""The probe of a cue, by the kind of the cue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from saliency_callbacks.callbacks.cue.confirmation import Confirmation
from saliency_callbacks.callbacks.cue.image_probe import ImageCueProbe
from saliency_callbacks.callbacks.cue.probe import AnyCue, CueProbe
from saliency_callbacks.callbacks.cue.survey import FurtherSamples, no_further_samples
from saliency_callbacks.callbacks.cue.text_probe import TokenCueProbe
from saliency_callbacks.callbacks.runtime.arguments import OnError
from saliency_callbacks.callbacks.runtime.settings import Compute, ModelReading, engine_settings
from saliency_callbacks.capture.text.settings import TokenSettings
from saliency_callbacks.cues.token import TokenCue
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import ConfigurationError, CueError
from saliency_callbacks.methods import InputXGradient
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.types import AnyMethod

__all__ = ["chosen_method", "cue_settings", "for_text_inputs", "prepare_cue_probe"]


def cue_settings(
    cue: AnyCue, confirmation: Confirmation, reading: ModelReading, compute: Compute, on_error: OnError = "raise"
) -> Settings:
    """Return how the model is run and explained, for a cue of images or of text inputs.

    Args:
        cue: The cue.
        confirmation: What is shown beside the test.
        reading: How the model is read.
        compute: What an evaluation may cost.
        on_error: As of the callback.

    Raises:
        ConfigurationError: If one of them cannot be used.
    """
    settings = engine_settings(
        chosen_method(cue, confirmation.method),
        replace(reading, embedding=None, tokenizer=None),
        compute,
        on_error,
        target_layers=confirmation.target_layers,
    )
    return for_text_inputs(settings, cue, reading.embedding, has_maps=confirmation.method is not None)


def chosen_method(cue: AnyCue, method: str | AnyMethod | None) -> str | AnyMethod:
    """Return the method of the maps, which ``auto`` leaves to the cue.

    Gradients of images are shown by their size. What a word adds or takes has a sign, which only the sum of their
    product with its embedding has.

    Raises:
        ConfigurationError: If a cue of images is to have no maps.
    """
    if method is None and not isinstance(cue, TokenCue):
        raise ConfigurationError(
            f"confirmation.method=None computes no maps, but the panel of the image cue {cue.name!r} needs them; "
            "expected a method, or 'auto'"
        )
    if method not in ("auto", None):
        return method
    return InputXGradient(reduction="sum") if isinstance(cue, TokenCue) else "gradient"


def for_text_inputs(settings: Settings, cue: AnyCue, embedding: Any, *, has_maps: bool) -> Settings:
    """Return settings that explain text inputs, for a cue that is put into such; those of a cue of images as they are.

    What the cue tells of padding and special tokens comes before what its tokenizer does.

    Args:
        settings: How images would be explained.
        cue: The cue.
        embedding: The layer that embeds the token ids; ``None`` to find it.
        has_maps: Whether there are maps, which need that layer.
    """
    if not isinstance(cue, TokenCue):
        return settings
    tokens = TokenSettings.of(embedding, cue.tokenizer)
    special, padding = cue.known_ids()
    pad_id = tokens.pad_id if padding is None else padding
    tokens = replace(tokens, special_ids=(*tokens.special_ids, *special), pad_id=pad_id)
    return replace(settings, tokens=tokens, methods=settings.methods if has_maps else ())


def prepare_cue_probe(
    batch: ProbeBatch,
    cue: AnyCue,
    suspect_class: int,
    *,
    settings: Settings,
    normalization: Sequence[Sequence[float]] | None,
    confirmation: Confirmation,
    others: FurtherSamples = no_further_samples,
) -> CueProbe:
    """Put a cue into a probe of images or of text inputs.

    Args:
        batch: The probe.
        cue: The cue.
        suspect_class: The class that it might give away.
        settings: How the model is explained.
        normalization: Mean and standard deviation of each channel; by default those that the data tells.
        confirmation: What is removed, and how many samples the picture has at most.
        others: Yields the samples of the probe that are not in ``batch``.

    Raises:
        CueError: If the cue does not fit the probe, changes nothing, or no sample can tell anything.
    """
    removal, n_shown = confirmation.removal, confirmation.panel_size
    if not isinstance(cue, TokenCue):
        return ImageCueProbe.prepare(
            batch,
            cue,
            suspect_class,
            settings=settings,
            normalization=normalization,
            removal=removal,
            n_shown=n_shown,
            others=others,
        )
    if removal is not None:
        raise CueError(
            f"removal={removal!r} paints over a region of an image, but {cue!r} is for text inputs. Leave out `removal`"
        )
    return TokenCueProbe.prepare(
        batch, cue, suspect_class, attribute_to=settings.attribute_to, n_shown=n_shown, others=others
    )
