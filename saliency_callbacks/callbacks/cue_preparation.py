"""The probe of a cue, by the kind of the cue."""

from __future__ import annotations

from collections.abc import Sequence

from saliency_callbacks.callbacks.cue_probe import AnyCue, CueProbe
from saliency_callbacks.callbacks.image_cue_probe import ImageCueProbe
from saliency_callbacks.callbacks.token_cue_probe import TokenCueProbe
from saliency_callbacks.capture.tokens import TokenSettings
from saliency_callbacks.errors import CueError
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.removal import Fill
from saliency_callbacks.probe.token_cue import TokenCue

__all__ = ["prepare_cue_probe", "token_settings"]


def token_settings(cue: AnyCue, embedding: str | None) -> TokenSettings | None:
    """Return how texts are explained; ``None`` for a cue of images."""
    if not isinstance(cue, TokenCue):
        return None
    settings = TokenSettings.of(embedding, cue.tokenizer)
    return settings if embedding is not None else TokenSettings(embedding=None)


def prepare_cue_probe(
    batch: ProbeBatch,
    cue: AnyCue,
    suspect_class: int,
    *,
    attribute_to: int | str | None,
    normalization: Sequence[Sequence[float]] | None,
    removal: Fill | None,
    n_shown: int,
    seed: int,
) -> CueProbe:
    """Put a cue into a probe of images or of texts.

    Raises:
        CueError: If the cue does not fit the probe, changes nothing, or no sample can tell anything.
    """
    if not isinstance(cue, TokenCue):
        return ImageCueProbe.prepare(
            batch,
            cue,
            suspect_class,
            attribute_to=attribute_to,
            normalization=normalization,
            removal=removal,
            n_shown=n_shown,
            seed=seed,
        )
    if removal is not None:
        raise CueError(f"removal={removal!r} paints a region of images over, and {cue!r} is for texts; leave it out")
    return TokenCueProbe.prepare(batch, cue, suspect_class, attribute_to=attribute_to, n_shown=n_shown)
