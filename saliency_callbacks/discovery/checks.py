"""What samples must be for shortcuts to be searched among them, and what is said where there are few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from saliency_callbacks.config.nested import describe
from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.errors import ProbeError, warn

__all__ = ["check_sides", "checked_ids", "checked_images", "checked_labels", "checked_samples", "searched_classes"]

_ADVISED = 24
"""With fewer samples a class less is found: 4 of 5 planted cues with 48 a class, and 3 of 5 with 24."""

_FEWEST = 6
"""A class with fewer leaves no more than 3 samples to count, which can neither bear out nor refute anything."""

_IMAGE_DIMENSIONS = 4
_SMALLEST_SIDE = 2
_TOLERANCE = 1e-3
_SHOWN = 5


def checked_samples(
    images: Any,
    labels: Any,
    *,
    ids: Sequence[object] | None = None,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
    sizes: Tensor | None = None,
) -> Samples:
    """Return images with their classes, for a search.

    Args:
        images: Display images ``[N, C, H, W]`` in [0, 1], or ``uint8``.
        labels: Class of each, integers ``[N]``.
        ids: A name for each; 0 to N - 1 by default.
        class_names: Name of each class; their indices by default.
        seed: Decides the split, and every draw.
        sizes: Height and width of each as it was stored, ``[N, 2]``.

    Raises:
        ProbeError: If the images are not of one size or not in [0, 1], the labels are no classes, or fewer than two
            classes have enough images.

    Warns:
        SaliencyWarning: A class has fewer than 24 images.

    Example:
        >>> samples = checked_samples(torch.rand(48, 1, 8, 8), torch.arange(48) % 2)
        >>> samples.size, samples.classes
        (48, (0, 1))
    """
    found = checked_images(images)
    classes = checked_labels(labels, len(found))
    names = checked_ids(ids, len(found))
    stored = _checked_sizes(sizes, len(found))
    kept = searched_classes(classes)
    if not bool(kept.all()):
        found, classes = found[kept], classes[kept]
        stored = None if stored is None else stored[kept]
        names = tuple(name for name, is_kept in zip(names, kept.tolist(), strict=True) if is_kept)
    return Samples(found, classes, names, class_names, seed, stored)


def checked_images(images: Any) -> Tensor:
    """Return display images ``[N, C, H, W]`` in [0, 1] on the CPU, at least float32.

    Raises:
        ProbeError: If they are something else.
    """
    if isinstance(images, list | tuple) and images and all(isinstance(image, Tensor) for image in images):
        images = _stacked(images)
    if not isinstance(images, Tensor) or images.ndim != _IMAGE_DIMENSIONS or not len(images):
        raise ProbeError(
            f"the images are {describe(images)}; expected a tensor [N, C, H, W] of display images in [0, 1]. "
            "Shortcuts in signals, volumes and tables are not supported; text inputs are, with embedding='auto'"
        )
    check_sides(images)
    found = images.detach().cpu()
    if found.dtype == torch.uint8:
        return found.float() / 255
    found = found.to(torch.promote_types(found.dtype, torch.float32))
    if not bool(found.isfinite().all()):
        raise ProbeError("some images have non-finite values; expected display images in [0, 1]")
    low, high = float(found.min()), float(found.max())
    if low < -_TOLERANCE or high > 1 + _TOLERANCE:
        raise ProbeError(
            f"the images have values from {low:.3g} to {high:.3g}; expected display images in [0, 1]. Undo their "
            "normalization, and give the normalization as preprocess=…"
        )
    return found.clamp(0, 1)


def check_sides(images: Tensor) -> None:
    """Raise for what has the shape of images but no area, such as signals ``[N, C, 1, T]``.

    Raises:
        ProbeError: If images are less than 2 pixels high or wide.
    """
    if min(images.shape[2:]) < _SMALLEST_SIDE:
        raise ProbeError(
            f"the images are {describe(images)}; expected at least {_SMALLEST_SIDE}×{_SMALLEST_SIDE} pixels. "
            "Shortcuts in signals are not supported"
        )


def checked_labels(labels: Any, n_samples: int) -> Tensor:
    """Return the class of each sample, ``int64 [N]`` on the CPU.

    Raises:
        ProbeError: If they are no classes, or not one for each sample.
    """
    expected = "expected one class per sample, integers [N] from 0 up"
    try:
        found = torch.as_tensor(labels).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ProbeError(f"the labels are {describe(labels)}; {expected}") from error
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.shape != (n_samples,):
        raise ProbeError(
            f"the labels are {describe(found)} for {n_samples} samples; {expected}. With multi-label samples, search "
            "one label at a time, as classes 0 and 1"
        )
    if found.is_complex() or (found.is_floating_point() and not bool((found == found.round()).all())):
        raise ProbeError(f"the labels are numbers such as {float(found[0]):.3g}, not classes; {expected}")
    if int(found.min()) < 0:
        raise ProbeError(f"the labels go down to {int(found.min())}; {expected}")
    return found.long()


def checked_ids(ids: Sequence[object] | None, n_samples: int) -> tuple[object, ...]:
    """Return a name for each sample; 0 to N - 1 by default.

    Raises:
        ProbeError: If there are more or fewer names than samples, or two of one name: the bearers of a cue, by which
            it is recognized, could not be told apart.
    """
    names = tuple(range(n_samples)) if ids is None else tuple(ids)
    n_different = len({*map(str, names)})
    if not len(names) == n_different == n_samples:
        raise ProbeError(
            f"there are {len(names)} ids, {n_different} of them different, for {n_samples} samples; expected a unique "
            "id per sample"
        )
    return names


def searched_classes(labels: Tensor) -> Tensor:
    """Return which samples are of a class with enough of them to be searched, bool ``[N]``.

    Args:
        labels: ``int64 [N]``.

    Raises:
        ProbeError: If there are fewer than two such classes.

    Warns:
        SaliencyWarning: A class has fewer than 24.
    """
    classes, counts = labels.unique(return_counts=True)
    if len(classes) < 2:
        raise ProbeError(
            f"all {len(labels)} samples are of class {classes.tolist()}; expected samples of at least two classes, "
            "because a shortcut distinguishes one class from others"
        )
    searched = classes[counts >= _FEWEST]
    if len(searched) < 2:
        raise ProbeError(
            f"{len(labels)} samples of {len(classes)} classes leave at most {int(counts.max())} per class; expected "
            f"at least {_FEWEST} for two classes, and preferably {_ADVISED} per class. Use a larger probe, "
            f"Probe(size={_ADVISED * len(classes)}, source='train'), or search fewer classes with Probe(indices=…)"
        )
    _tell_of_few(classes, counts)
    return torch.isin(labels, searched)


def _tell_of_few(classes: Tensor, counts: Tensor) -> None:
    few = {int(one): int(count) for one, count in zip(classes, counts, strict=True) if count < _ADVISED}
    if not few:
        return
    shown = ", ".join(f"{count} of class {one}" for one, count in list(few.items())[:_SHOWN])
    more = ", …" if len(few) > _SHOWN else ""
    left_out = sum(count < _FEWEST for count in few.values())
    said = f". Classes with fewer than {_FEWEST} samples are left out ({left_out})" if left_out else ""
    warn(
        "few samples a class",
        f"there are fewer than {_ADVISED} samples in {len(few)} of {len(classes)} classes ({shown}{more}), so fewer "
        f"shortcuts are found (in tests, 4 of 5 planted patches with 48 samples per class, and 3 with 24){said}. Use "
        f"a larger probe, size={_ADVISED * len(classes)} or more",
    )


def _checked_sizes(sizes: Any, n_samples: int) -> Tensor | None:
    if sizes is None:
        return None
    expected = f"for {n_samples} images; expected the height and width of each in pixels, [N, 2]"
    try:
        found = torch.as_tensor(sizes).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ProbeError(f"sizes={describe(sizes)} {expected}") from error
    if found.shape != (n_samples, 2) or not bool((found > 0).all()):
        raise ProbeError(f"sizes={describe(found)} {expected}")
    return found


def _stacked(images: Sequence[Tensor]) -> Tensor:
    sizes = {tuple(image.shape) for image in images}
    if len(sizes) > 1:
        shown = ", ".join(str(list(size)) for size in sorted(sizes)[:_SHOWN])
        raise ProbeError(
            f"the {len(images)} images are of {len(sizes)} sizes ({shown}); expected one size, so that pixels can be "
            "compared and exchanged. Resize them first"
        )
    return torch.stack(list(images))
