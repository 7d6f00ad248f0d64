"""The probe batch of a run: read once from its own dataloader, and frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.capture.isolation.context import quiescence
from saliency_callbacks.errors import ProbeError
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.dataset_state import preserved
from saliency_callbacks.probe.loaders import candidate_indices, is_batched
from saliency_callbacks.probe.metadata import class_names, rgb_bands
from saliency_callbacks.probe.normalized import images_in, normalized_by
from saliency_callbacks.probe.probe import Probe

__all__ = ["freeze_probe"]


def freeze_probe(
    host: Host,
    probe: Probe,
    saved_indices: Sequence[int] | None = None,
    *,
    shared: Sequence[int | str] | None = None,
) -> ProbeBatch | None:
    """Read the probe as a validation step would receive it, and freeze it on the CPU.

    The dataset is indexed directly: iterating the user's dataloader would draw from the training's random numbers.
    Random transforms are seeded by the probe, so that a resumed run sees the same samples. Only samples that the
    dataloader's sampler can draw are chosen.

    Args:
        host: The run.
        probe: What to read.
        saved_indices: Positions of the probe in a checkpoint. They are read again; others where the probe asks for
            others, or the dataset no longer has them all, which the fingerprint of the result tells.
        shared: Keys or positions of the inputs that all samples share; those of a probe of tensors by default.

    Returns:
        The frozen probe; ``None`` where the dataloader does not exist yet.

    Raises:
        ProbeError: If the data cannot be read, or its parts (labels, masks, groups) do not fit together.
    """
    try:
        loader = host.dataloader(probe.source, probe.dataloader_idx)
    except IndexError as error:
        if not probe.is_fixed:
            raise ProbeError(f"{error}; choose another with Probe(dataloader_idx=…)") from error
        loader = None
    if loader is None and not probe.is_fixed:
        return None
    dataset = getattr(loader, "dataset", None)
    if dataset is None and not probe.is_fixed:
        raise ProbeError(
            f"the {probe.source} dataloader is a {type(loader).__name__} without a `dataset` to choose samples from; "
            "give them with probe=Probe.from_tensors(inputs, labels)"
        )
    with quiescence(host.module, seed=probe.seed):
        batch, indices = probe.read(
            dataset,
            getattr(loader, "collate_fn", None),
            candidate_indices(loader),
            indices=saved_indices,
            batched=is_batched(loader),
        )
        before = None if probe.is_fixed else _images(probe, batch)
        # The module's transfer hooks expect what its dataloaders deliver, not tensors that are given by hand.
        batch = host.converted(batch) if probe.is_fixed else host.received(batch, probe.dataloader_idx)
        # A property may read what it tells from a file that it opens.
        with preserved(dataset):
            names, bands = class_names(dataset), rgb_bands(dataset)
            owners = (dataset, getattr(loader, "collate_fn", None), *host.data_owners)
            found = normalized_by(dataset, before, _images(probe, batch), owners)
        statistics = None if found is None else found.statistics
        frozen = probe.freeze(batch, indices, class_names=names, normalization=statistics, shared=shared)
        is_used = found is not None and frozen.normalization is not None
        return replace(frozen, bands=bands, normalized_by=found.source if found is not None and is_used else None)


def _images(probe: Probe, batch: Any) -> Tensor | None:
    """Return a copy of the images of a batch; ``None`` where it cannot be read, or has none."""
    try:
        images = images_in(probe.unpack(batch)[0])
    except ProbeError:
        # The module's transfer hooks may yet bring it into a form that can be read.
        return None
    return None if images is None else images.detach().cpu().clone()
