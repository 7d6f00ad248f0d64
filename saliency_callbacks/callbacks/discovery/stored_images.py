"""Reading the probe of a discovery as its images are stored, without the augmentation of the training."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.probe_loader import freeze_probe
from saliency_callbacks.capture.isolation.context import quiescence
from saliency_callbacks.errors import CollateError
from saliency_callbacks.probe.augmentation import differs, varies, without_augmentation
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.normalized import images_in
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.probe.stream import is_map_style

__all__ = ["freeze_stored"]

_READ_AGAIN = 16
_ADVICE = (
    "Copies of a cue then differ between images, so fewer shortcuts are found. Give the unaugmented images with "
    "probe=Probe.from_tensors(inputs, labels)"
)


_SEVERAL_SIZES = (
    "Images of several sizes can be searched only for properties, including their sizes: give them as a list to "
    "saliency_callbacks.discover_shortcuts(model, images, labels)"
)


def freeze_stored(host: Host, probe: Probe, saved_indices: Sequence[int] | None, **parts: Any) -> ProbeBatch | None:
    """Read a probe as :func:`~saliency_callbacks.callbacks.runtime.probe_loader.freeze_probe` does, but as stored.

    Random transforms that are known are left out. What is random beyond these is found by reading a few samples twice,
    and said.

    Args:
        host: The run.
        probe: What to read.
        saved_indices: Positions of the probe in a checkpoint.
        parts: Further arguments of ``freeze_probe``.
    """
    if probe.is_fixed:
        return freeze_probe(host, probe, saved_indices, **parts)
    left_out: list[str] = []

    def stored(dataset: Any) -> Any:
        view = without_augmentation(dataset)
        left_out[:] = view.left_out
        return view.dataset

    try:
        frozen = freeze_probe(host, probe, saved_indices, dataset_of=stored, **parts)
    except Exception as error:
        # Without a random crop, say, images may be of several sizes.
        if not left_out:
            if isinstance(error, CollateError):
                raise CollateError(f"{error} {_SEVERAL_SIZES}") from error
            raise
        frozen = freeze_probe(host, probe, saved_indices, **parts)
        _warn(f"its random transforms ({_listed(left_out)}) cannot be skipped ({type(error).__name__}: {error})")
        return frozen
    if frozen is None:
        return None
    if left_out:
        notices.tell_once(
            "left out", f"the images to search are read without the random transforms {_listed(left_out)}"
        )
    where = _random_part(host, probe, frozen, stored, parts)
    if where is not None:
        _warn(f"{where} changes the samples at random, which cannot be skipped")
    return frozen


def _random_part(host: Host, probe: Probe, frozen: ProbeBatch, stored: Any, parts: Any) -> str | None:
    """Return what still changes the samples at random, in words; ``None`` where nothing does."""
    loader = host.dataloader(probe.source, probe.dataloader_idx)
    dataset = stored(getattr(loader, "dataset", None))
    few = None if frozen.indices is None else frozen.indices[:_READ_AGAIN]
    if few and is_map_style(dataset):
        with quiescence(host.module, seed=probe.seed):
            if varies(dataset, few):
                return f"the dataset {type(dataset).__name__}"
    again = copy.copy(probe)
    again.size, again.seed = min(_READ_AGAIN, frozen.size), probe.seed + 1
    again.indices = None if few is None else tuple(few)
    try:
        second = freeze_probe(host, again, dataset_of=stored, **parts)
    except Exception:
        # A few samples may not look like the whole probe; and what can be read only once is still worth a search.
        return None
    images, others = images_in(frozen.inputs), None if second is None else images_in(second.inputs)
    if images is None or others is None or not differs(images[: len(others)], others):
        return None
    return "the collate function, a stream, or a hook of the module"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def _warn(what: str) -> None:
    notices.warn("augmented", f"the images to search for shortcuts are augmented: {what}. {_ADVICE}")
