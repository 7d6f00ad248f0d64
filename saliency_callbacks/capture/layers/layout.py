"""Where space lies in a layer's output: channels first, channels last, or a sequence of tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor, nn
from torch.nn.modules import batchnorm, conv, instancenorm, pooling

from saliency_callbacks.capture.layers.sizes import is_pooled_from, is_scaled, is_strided, pooled

__all__ = [
    "SpatialLayout",
    "find_layout",
    "has_channels_first",
    "has_frame_rows",
    "has_own_layout",
    "keeps_aspect",
]

# Class, distillation and register tokens come before the patch tokens; published models have at most 1 + 8.
_MAX_PREFIX_TOKENS = 16
# Models that merge patches have a class and a distillation token at most.
_MAX_PREFIX_TOKENS_WHEN_MERGED = 2
# Frames, or slices, and two dimensions in each.
_VIDEO_DIMENSIONS = 3
# Whatever the shapes say: these see channels in the second dimension.
_CHANNELS_FIRST = (
    conv._ConvNd,  # noqa: SLF001 (the only name that covers the transposed ones too)
    batchnorm._BatchNorm,  # noqa: SLF001
    instancenorm._InstanceNorm,  # noqa: SLF001
    pooling._AdaptiveAvgPoolNd,  # noqa: SLF001
    pooling._AdaptiveMaxPoolNd,  # noqa: SLF001
    pooling._AvgPoolNd,  # noqa: SLF001
    pooling._LPPoolNd,  # noqa: SLF001
    pooling._MaxPoolNd,  # noqa: SLF001
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.FractionalMaxPool2d,
    nn.FractionalMaxPool3d,
    nn.GroupNorm,
    nn.LocalResponseNorm,
    nn.PixelShuffle,
    nn.PixelUnshuffle,
    nn.Upsample,
)
_FEATURES_LAST = (
    nn.Linear,
    nn.MultiheadAttention,
    nn.RNNBase,
    nn.TransformerEncoder,
    nn.TransformerEncoderLayer,
)


@dataclass(frozen=True)
class SpatialLayout:
    """How to read a layer's output as a map ``[N, K, *spatial]``.

    Args:
        order: Where the channels are; ``tokens`` is ``[N, T, K]`` with the patches in row-major order.
        spatial: Size of the map.
        n_prefix: Tokens in front of the patch tokens (class and register tokens).
        batch_dim: Where the samples are: 0, or 1 for a sequence ``[T, N, K]``.
        n_suffix: Tokens behind the patch tokens, where registers or memory are appended.
        n_frames: Frames of each sample, where these are rows of their own, ``[N · T, …]``; they come first in
            ``spatial``. 0 where they are not.
        frames_last: Whether the tokens of all frames at one place come in turn, not those of one frame.
    """

    order: Literal["channels_first", "channels_last", "tokens"]
    spatial: tuple[int, ...]
    n_prefix: int = 0
    batch_dim: int = 0
    n_suffix: int = 0
    n_frames: int = 0
    frames_last: bool = False

    def to_map(self, output: Tensor) -> Tensor:
        """Return ``output`` as ``[N, K, *spatial]``; works alike on activations and on their gradients."""
        if self.n_frames:
            frame = replace(self, spatial=self.spatial[1:], n_frames=0)
            maps = frame.to_map(output)
            return maps.reshape(-1, self.n_frames, *maps.shape[1:]).movedim(1, 2)
        output = output.movedim(self.batch_dim, 0)
        if self.order == "channels_first":
            return output
        if self.order == "tokens":
            frames, *space = self.spatial
            order = (*space, frames) if self.frames_last else self.spatial
            output = output[:, self.n_prefix : output.shape[1] - self.n_suffix].unflatten(1, order)
            output = output.movedim(len(order), 1) if self.frames_last else output
        return output.movedim(-1, 1)


def find_layout(
    shape: Sequence[int],
    input_spatial: Sequence[int],
    *,
    n_rows: int | None = None,
    module: nn.Module | None = None,
    known_sizes: Sequence[tuple[int, ...]] = (),
) -> SpatialLayout | None:
    """Find how a layer's output covers the input's space.

    Args:
        shape: Shape of the output, batch first.
        input_spatial: Spatial size of the model's input.
        n_rows: Rows that were fed, where that is known; sequences may have them in the second dimension.
        module: The layer. A convolution, pooling or batch normalization has its channels first, a linear layer or a
            normalization over features has them last, whatever the shape; for all others the shape decides.
        known_sizes: Sizes of the grids that the model is known to have, e.g. of a patch embedding. Where there are
            any, an output is a map only at one of them, or at one that is pooled from them. Where there are none, it
            has to keep the input's aspect ratio.

    Returns:
        The layout, or ``None`` for an output without space: a vector, or a map of a single position; without one
        entry a row, like the windows of an attention; or at no grid of the model, like attention weights.
    """
    if shape and n_rows is not None and has_frame_rows(shape, input_spatial, n_rows):
        return _frame_layout(tuple(shape), input_spatial, module, known_sizes)
    if not shape or (n_rows is not None and shape[0] != n_rows):
        return _sequence_first_layout(tuple(shape), input_spatial, n_rows, known_sizes)
    n_spatial = len(input_spatial)
    layout: SpatialLayout | None = None
    if len(shape) == n_spatial + 2:
        layout = _dense_layout(tuple(shape), tuple(input_spatial), module, known_sizes)
    elif len(shape) == 3 and n_spatial > 1 and not isinstance(module, nn.Unfold):
        layout = _token_layout(shape[1], shape[2], tuple(input_spatial), known_sizes)
    return layout if layout is not None and _has_space(layout) else None


def _has_space(layout: SpatialLayout) -> bool:
    """Whether a map has several positions; those of a sequence of frames are none within the frames."""
    is_sequence = layout.order == "tokens" and len(layout.spatial) == _VIDEO_DIMENSIONS
    return math.prod(layout.spatial[1:] if is_sequence else layout.spatial) > 1


def has_channels_first(module: nn.Module | None) -> bool:
    """Whether a layer's type alone says that space follows the channels."""
    return isinstance(module, _CHANNELS_FIRST)


def has_own_layout(module: nn.Module | None) -> bool:
    """Whether a layer's type alone says where the channels of a dense output are."""
    return has_channels_first(module) or _has_features_last(module)


def keeps_aspect(shape: Sequence[int], input_spatial: Sequence[int]) -> bool:
    """Whether a dense output has the input's aspect ratio to the last digit if read channels first, and only then."""
    first, last = (_aspect_error(spatial, tuple(input_spatial)) for spatial in (tuple(shape[2:]), tuple(shape[1:-1])))
    return first == 0 < last


def has_frame_rows(shape: Sequence[int], input_spatial: Sequence[int], n_rows: int) -> bool:
    """Whether an output has each frame of a video as a row, ``[N · T, …]``."""
    return len(input_spatial) == _VIDEO_DIMENSIONS and shape[0] == n_rows * input_spatial[0] > n_rows


def _frame_layout(
    shape: tuple[int, ...],
    input_spatial: Sequence[int],
    module: nn.Module | None,
    known_sizes: Sequence[tuple[int, ...]],
) -> SpatialLayout | None:
    """Return the layout of a layer that is given each frame of a video as a row, ``[N · T, …]``."""
    n_frames = input_spatial[0]
    known = [spatial[1:] for spatial in known_sizes if spatial[0] == n_frames]
    layout = find_layout(shape, input_spatial[1:], module=module, known_sizes=known)
    return None if layout is None else replace(layout, spatial=(n_frames, *layout.spatial), n_frames=n_frames)


def _sequence_first_layout(
    shape: tuple[int, ...], input_spatial: Sequence[int], n_rows: int | None, known_sizes: Sequence[tuple[int, ...]]
) -> SpatialLayout | None:
    if len(shape) != 3 or shape[1] != n_rows:
        return None
    batch_first = (shape[1], shape[0], shape[2])
    if len(input_spatial) == 1:
        layout = _signal_tokens(shape[0], known_sizes) if shape[0] > 1 else None
    else:
        layout = find_layout(batch_first, input_spatial, known_sizes=known_sizes)
    return None if layout is None else replace(layout, batch_dim=1)


def _dense_layout(
    shape: tuple[int, ...],
    input_spatial: tuple[int, ...],
    module: nn.Module | None,
    known_sizes: Sequence[tuple[int, ...]],
) -> SpatialLayout | None:
    channels_first = SpatialLayout("channels_first", shape[2:])
    channels_last = SpatialLayout("channels_last", shape[1:-1])
    if len(input_spatial) == 1:
        channels_last = _signal_tokens(shape[1], known_sizes)
    possible = [channels_first, channels_last]
    if has_own_layout(module):
        possible = [channels_first if has_channels_first(module) else channels_last]
    if known_sizes:
        exact = [layout for layout in possible if layout.spatial in known_sizes]
        possible = exact or [layout for layout in possible if is_pooled_from(layout.spatial, known_sizes)]
    elif len(input_spatial) == 1:
        possible = [layout for layout in possible if is_strided(layout.spatial, input_spatial)]
    elif not has_own_layout(module):
        possible = [layout for layout in possible if is_scaled(layout.spatial, input_spatial)]
    # A map keeps the input's aspect ratio, or has a part of a signal's length; channels taken for space do not.
    return min(possible, key=lambda layout: _aspect_error(layout.spatial, input_spatial), default=None)


def _has_features_last(module: nn.Module | None) -> bool:
    # A subclass of the layer normalization may well turn its input around, as torchvision's does, and one over several
    # dimensions has space among them.
    if isinstance(module, nn.LayerNorm):
        return type(module) is nn.LayerNorm and len(module.normalized_shape) == 1
    return isinstance(module, _FEATURES_LAST)


def _signal_tokens(n_tokens: int, known_sizes: Sequence[tuple[int, ...]]) -> SpatialLayout:
    if (n_tokens,) not in known_sizes:
        for spatial in reversed(known_sizes):
            n_prefix = n_tokens - math.prod(spatial)
            if len(spatial) == 1 and spatial[0] > 1 and 0 < n_prefix <= _MAX_PREFIX_TOKENS:
                return SpatialLayout("tokens", tuple(spatial), n_prefix)
    return SpatialLayout("channels_last", (n_tokens,))


def _aspect_error(spatial: tuple[int, ...], input_spatial: tuple[int, ...]) -> float:
    scales = [math.log(size / whole) if size else math.inf for size, whole in zip(spatial, input_spatial, strict=True)]
    return max(scales) - min(scales)


def _token_layout(
    n_tokens: int, n_features: int, input_spatial: tuple[int, ...], known_sizes: Sequence[tuple[int, ...]]
) -> SpatialLayout | None:
    for spatial in reversed(known_sizes):
        n_prefix = n_tokens - math.prod(spatial)
        if len(spatial) == len(input_spatial) and 0 <= n_prefix <= _MAX_PREFIX_TOKENS:
            return SpatialLayout("tokens", tuple(spatial), n_prefix)
    if known_sizes:
        is_flat_map = any(n_features == math.prod(spatial) for spatial in known_sizes)
        return None if is_flat_map else _merged_tokens(n_tokens, known_sizes)
    if n_tokens == math.prod(input_spatial):
        return SpatialLayout("tokens", input_spatial)
    return _square_tokens(n_tokens, input_spatial) if len(input_spatial) == 2 else None


def _merged_tokens(n_tokens: int, known_sizes: Sequence[tuple[int, ...]]) -> SpatialLayout | None:
    for n_prefix in range(_MAX_PREFIX_TOKENS_WHEN_MERGED + 1):
        for grid in reversed(known_sizes):
            for spatial in pooled(grid):
                if math.prod(spatial) > 1 and math.prod(spatial) + n_prefix == n_tokens:
                    return SpatialLayout("tokens", spatial, n_prefix)
    return None


def _square_tokens(n_tokens: int, input_spatial: tuple[int, ...]) -> SpatialLayout | None:
    aspect = input_spatial[0] / input_spatial[1]
    for n_prefix in range(min(_MAX_PREFIX_TOKENS, n_tokens - 1) + 1):
        n_patches = n_tokens - n_prefix
        height = max(1, round(math.sqrt(n_patches * aspect)))
        width = n_patches // height
        if height * width == n_patches and abs(math.log(height / width / aspect)) < 0.05:
            return SpatialLayout("tokens", (height, width), n_prefix)
    return None
