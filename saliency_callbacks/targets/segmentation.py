"""A target for models that give each position a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from saliency_callbacks.config.hydra import plain
from saliency_callbacks.config.nested import describe
from saliency_callbacks.errors import OutputError, TargetError
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.targets.logits import as_two_classes
from saliency_callbacks.targets.named import NamedTarget, Samples, checked_label, class_index
from saliency_callbacks.types.outlines import Outlines

__all__ = ["SegmentationTarget", "read_dense"]

_REGIONS = "None (everywhere), 'predicted', 'mask' (the probe's masks), or a mask [*spatial] or [N, *spatial]"
_AXES = {1: "length", 2: "height, width", 3: "depth, height, width"}
_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}
# Of MaskFormer, Mask2Former and DETR: as many channels as queries, which look like classes.
_MASKS_OF_QUERIES = ("masks_queries_logits", "pred_masks")
_SCORES_OF_QUERIES = ("class_queries_logits", "pred_logits", "logits")


@dataclass(frozen=True, eq=False, repr=False)
class SegmentationTarget(NamedTarget):
    r"""Explain a class of a segmentation: its mean logit within a region.

    .. math:: s_n = \sum_p w_{n,p} \, z_{n, c, p} \Big/ \sum_p w_{n,p}

    with the logit :math:`z_{n, c, p}` of the class c at position p, and the weight w of the position in the region. The
    model returns ``[N, classes, *spatial]`` (as a tensor, its ``"out"``, ``.logits``, or in a tuple), of any number of
    dimensions and any resolution: logits are resized (bilinearly) to a mask. A single channel z is read as two classes,
    0 with -z and 1 with z. ``Snapshot.explained`` holds the regions.

    Args:
        label: The class: an index, or a name that the callback or its data knows.
        region: Where it is explained: ``None`` for everywhere; ``"predicted"`` for where the class is predicted, pinned
            at the first observation at which it is predicted anywhere in the sample; ``"mask"`` for the masks of the
            probe, where these say the class of each pixel for what is of the class; or a mask of the size of the input,
            bool or shares in [0, 1], one for all samples or one for each.
            A sample with an empty region has a map of zeros.

    Raises:
        TargetError: If there is no such class or region, or a mask has another size.

    Reference:
        Vinogradova et al. 2020, arXiv 2002.11434 (Seg-Grad-CAM).

    Example:
        >>> import torch
        >>> from saliency_callbacks import explain
        >>> segmenter = torch.nn.Conv2d(3, 5, kernel_size=1)
        >>> mask = torch.zeros(8, 8, dtype=torch.bool)
        >>> mask[2:4, 2:4] = True
        >>> target = SegmentationTarget(1, mask)
        >>> found = explain(segmenter, torch.rand(2, 3, 8, 8), methods="gradient", target=target)["gradient"]
        >>> bool((found.values[:, :, ~mask] == 0).all())
        True
    """

    label: int | str
    region: str | Sequence[Any] | Tensor | None = None

    def __post_init__(self) -> None:
        checked_label("label", self.label)
        given = plain(self.region)
        if given is None or (isinstance(given, str) and given in ("predicted", "mask")):
            return
        object.__setattr__(self, "region", _checked_mask(given))

    @override
    def of(self, samples: Samples) -> NamedTarget:
        label = class_index("label", self.label, samples)
        region: Any = self.region
        if isinstance(region, str) and region == "mask":
            region = None if samples.probe is None else _given(samples.probe, label)
            if region is None:
                raise TargetError(
                    "region='mask', but there are no masks; expected a probe with masks, e.g. Probe(masks=…), "
                    f"Probe.from_tensors(inputs, masks=…) or a batch with 'mask', or {_REGIONS}"
                )
        if isinstance(region, Tensor):
            _check_size(region, samples)
            region = region.expand(samples.n_samples, *region.shape[-_rank(region, samples) :])
        name = self.label if isinstance(self.label, str) else _name(self.label, samples)
        is_sought = isinstance(region, str)
        n_dims = None if samples.size is None else len(samples.size)
        return _Region(label, None if is_sought else region, is_sought, name, samples.n_samples, n_dims)

    @override
    def __call__(self, output: Any, samples: Tensor) -> Tensor:
        return self.of(Samples(int(samples.max()) + 1))(output, samples)


@dataclass(frozen=True, eq=False)
class _Region(NamedTarget):
    """A class within regions.

    Args:
        label: The class.
        region: Weights of the positions ``[N, *spatial]``; ``None`` for everywhere, or nothing yet.
        is_sought: Whether the regions are those where the class is predicted; empty ones are yet to be found.
        name: What the class is called.
        n_samples: Number of samples N.
        n_dims: How many spatial dimensions the input has; ``None`` where that is not known.
    """

    label: int
    region: Tensor | None
    is_sought: bool
    name: str
    n_samples: int
    n_dims: int | None

    @property
    @override
    def needs_pins(self) -> bool:
        return self.is_sought and (self.region is None or not bool(_holds_any(self.region).all()))

    @property
    @override
    def kept(self) -> dict[str, Tensor]:
        return {"region": self.region} if self.is_sought and self.region is not None else {}

    @override
    def pins_of(self, output: Any, samples: Tensor) -> dict[str, Tensor]:
        logits = self._read(output).detach()
        return {"region": logits.argmax(dim=1) == self.label}

    @override
    def pinned(self, pins: Mapping[str, Tensor]) -> NamedTarget:
        found = pins.get("region")
        if found is None or not self.needs_pins or len(found) != self.n_samples:
            return self
        found = found.cpu()
        if self.region is not None and self.region.shape == found.shape:
            is_known = _holds_any(self.region).view(-1, *[1] * (found.ndim - 1))
            found = torch.where(is_known, self.region, found)
        return replace(self, region=found)

    @override
    def reaching(self, output: Any, samples: Tensor) -> Tensor:
        return self(output, samples) + self._read(output)[:, self.label].flatten(1).mean(dim=1)

    @override
    def outlines(self, samples: Samples) -> Outlines | None:
        if self.region is None or samples.size is None:
            return None
        masks = self.region.float()
        if masks.shape[1:] != samples.size:
            masks = F.interpolate(masks[:, None], samples.size, mode="nearest")[:, 0]
        return Outlines(masks=masks > 0.5, names=(self.name,) * len(masks))

    @override
    def __call__(self, output: Any, samples: Tensor) -> Tensor:
        own = self._read(output)[:, self.label]
        if self.region is not None:
            region = self.region.to(own.device)[samples.to(own.device)]
        elif self.is_sought:
            region = self.pins_of(output, samples)["region"]
        else:
            return own.flatten(1).mean(dim=1)
        if region.shape[1:] != own.shape[1:]:
            mode = _MODES[own.ndim - 1]
            own = F.interpolate(own[:, None], region.shape[1:], mode=mode, align_corners=False)[:, 0]
        weights = region.to(own).flatten(1)
        return (own.flatten(1) * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=torch.finfo(own.dtype).tiny)

    def _read(self, output: Any) -> Tensor:
        logits = as_two_classes(read_dense(output, self.n_dims))
        if self.label >= logits.shape[1]:
            raise TargetError(
                f"SegmentationTarget explains class {self.label}, but the model has {logits.shape[1]} classes at each "
                f"position; expected 0 to {logits.shape[1] - 1}"
            )
        return logits


def read_dense(output: Any, n_dims: int | None = None) -> Tensor:
    """Return the class scores of every position, ``[N, classes, *spatial]``, of a model's output.

    The output itself, its ``"out"`` or ``logits``, the only tensor of this form in a dictionary, or the first one in a
    tuple or list.

    Args:
        output: What the model returned.
        n_dims: How many spatial dimensions its input has: the scores of a vision transformer's patches, or of the
            queries of a detector, are none of positions. ``None`` for one to three.

    Raises:
        OutputError: If there is none, or it is not known which.
    """
    if isinstance(output, Mapping):
        parts = _named_dense(output, n_dims)
    elif isinstance(output, list | tuple):
        parts = list(output)
    else:
        parts = [output, getattr(output, "logits", None)]
    found = next((part for part in parts if _is_dense(part, n_dims)), None)
    if found is None:
        axes = "*spatial" if n_dims is None else _AXES[n_dims]
        raise OutputError(
            f"SegmentationTarget needs class scores of every position [N, classes, {axes}], but the model returned "
            f"{describe(output)}. Select them with output_fn=…, in a callback ModelReading(output_fn=…), where scores "
            "of patches [N, tokens, classes] are laid out with transpose(1, 2).unflatten(2, grid)"
        )
    return found


def _named_dense(output: Mapping[str, Any], n_dims: int | None) -> list[Any]:
    usual = [part for part in (output.get("out"), output.get("logits")) if _is_dense(part, n_dims)]
    if usual:
        return usual
    masks = next((name for name in _MASKS_OF_QUERIES if name in output), None)
    if masks is not None:
        scores = next((name for name in _SCORES_OF_QUERIES if name in output), "class_queries_logits")
        raise OutputError(
            f"the model returned masks of queries, {masks!r} {describe(output[masks])}, which have no fixed class; "
            "SegmentationTarget needs class scores of every position. Give output_fn=lambda output: torch.einsum("
            f"'nqc,nqhw->nchw', output[{scores!r}].softmax(-1)[:, :, :-1], output[{masks!r}].sigmoid()), in a callback "
            "ModelReading(output_fn=…)"
        )
    named = {name: part for name, part in output.items() if _is_dense(part, n_dims)}
    if len(named) > 1:
        raise OutputError(
            f"{list(named)} of the model's output may be class scores of every position; expected 'out', 'logits' or "
            f"only one. Select it with output_fn=lambda output: output[{next(iter(named))!r}], in a callback "
            "ModelReading(output_fn=…)"
        )
    return list(named.values())


def _is_dense(part: Any, n_dims: int | None) -> TypeGuard[Tensor]:
    ranks = range(3, 6) if n_dims is None else (2 + n_dims,)
    return isinstance(part, Tensor) and part.is_floating_point() and part.ndim in ranks


def _holds_any(region: Tensor) -> Tensor:
    return region.flatten(1).any(dim=1)


def _checked_mask(given: Any) -> Tensor:
    try:
        mask = given.detach().cpu() if isinstance(given, Tensor) else torch.tensor(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TargetError(f"region={given!r}; expected {_REGIONS}") from error
    if mask.is_complex() or not 1 <= mask.ndim <= 4:
        raise TargetError(f"region is {describe(given)}; expected {_REGIONS}")
    if bool((mask < 0).any()) or (mask.is_floating_point() and bool((mask > 1).any())):
        raise TargetError("region has values outside of [0, 1]; expected a mask, bool or shares in [0, 1]")
    if not bool(mask.any()):
        raise TargetError("region is empty, so that nothing would be explained; expected a mask with positions in it")
    return mask if mask.is_floating_point() else mask != 0


def _rank(mask: Tensor, samples: Samples) -> int:
    if samples.size is not None:
        return len(samples.size)
    return mask.ndim - 1 if mask.shape[0] == samples.n_samples and mask.ndim > 1 else mask.ndim


def _check_size(mask: Tensor, samples: Samples) -> None:
    if samples.size is None:
        return
    if tuple(mask.shape) not in {samples.size, (1, *samples.size), (samples.n_samples, *samples.size)}:
        raise TargetError(
            f"region has shape {list(mask.shape)}, but the inputs have the size {list(samples.size)}; expected "
            f"{list(samples.size)} or {[samples.n_samples, *samples.size]}. Resize the mask to the input"
        )


def _given(probe: ProbeBatch, label: int) -> Tensor | None:
    return probe.masks if probe.class_masks is None else probe.class_masks == label


def _name(label: int, samples: Samples) -> str:
    names = samples.class_names
    return str(names[label]) if names is not None and label < len(names) else str(label)
