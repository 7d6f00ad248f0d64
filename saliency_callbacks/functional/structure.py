"""How alike the visible structure of two maps is: their local statistics, and the directions of their edges.

What is compared is the picture of a map, so each map is first clipped and scaled on its own. A map that is constant,
also once it is clipped, or not finite is similar to nothing: the result is NaN. Computed in float64 (float32 on
``mps``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.functional.maps import percentile
from saliency_callbacks.functional.precision import score_dtype, widen
from saliency_callbacks.functional.similarity import pearson, require_same_shape

__all__ = ["clip_and_scale", "hog", "hog_similarity", "ssim"]

_WINDOW_MEAN: Mapping[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_SMALLEST_WINDOW = 3
_SMALLEST_HOG_SIDE = 48
# As in scikit-image.
_LUMINANCE_CONSTANT, _CONTRAST_CONSTANT = 0.01**2, 0.03**2
_HOG_EPSILON = 1e-5


def clip_and_scale(maps: Tensor) -> Tensor:
    """Clip each map at its own 1st and 99th percentile and scale it to [0, 1] by these.

    Args:
        maps: ``[N, *spatial]``.

    Returns:
        ``[N, *spatial]`` in [0, 1], in float64 (float32 on ``mps``); all NaN for a map that is constant once it is
        clipped, or not finite.

    Example:
        >>> clip_and_scale(torch.tensor([[-1.0, 0.0, 3.0]]))
        tensor([[0.0000, 0.2500, 1.0000]], dtype=torch.float64)
    """
    flat = widen(maps).flatten(1)
    low, high = (widen(percentile(maps, q))[:, None] for q in (0.01, 0.99))
    return ((flat.clamp(low, high) - low) / (high - low)).reshape(maps.shape)


def ssim(a: Tensor, b: Tensor, *, window: int = 7) -> Tensor:
    """Return the mean structural similarity of the maps of each sample, after ``clip_and_scale``.

    The mean over all windows that lie inside the map of
    (2 μ_a μ_b + C₁)(2 σ_ab + C₂) / ((μ_a² + μ_b² + C₁)(σ_a² + σ_b² + C₂)) with C₁ = 0.01², C₂ = 0.03² (a data range of
    1), uniform windows and sample (co)variances.

    Args:
        a: ``[N, *spatial]`` with one to three spatial dimensions.
        b: ``[N, *spatial]``.
        window: Side of the windows, odd and at least 3. In a smaller map, the largest odd side that fits.

    Returns:
        ``[N]`` in [-1, 1]; NaN where ``a`` or ``b`` is constant once it is clipped, or not finite, and for maps with a
        side below 3.

    Raises:
        ConfigurationError: If the shapes differ, there are not one to three spatial dimensions, or ``window`` is even
            or below 3.

    Reference:
        Wang et al. 2004, IEEE Transactions on Image Processing 13(4), eq. 13, 17.

    Example:
        >>> a = torch.arange(64.0).reshape(1, 8, 8)
        >>> ssim(a, 2 * a + 1), ssim(a, a.flip(1))
        (tensor([1.]), tensor([-0.9257]))
    """
    require_same_shape(a, b)
    if window < _SMALLEST_WINDOW or window % 2 == 0:
        raise ConfigurationError(f"window={window} has no center or no neighbor; give an odd number from 3, such as 7")
    spatial = tuple(a.shape[1:])
    if len(spatial) not in _WINDOW_MEAN:
        raise ConfigurationError(f"maps have spatial size {spatial}; give maps with 1 to 3 spatial dimensions")
    result_dtype = torch.promote_types(score_dtype(a), score_dtype(b))
    if min(spatial) < _SMALLEST_WINDOW:
        return torch.full((len(a),), math.nan, dtype=result_dtype, device=a.device)
    side = min(window, min(spatial) - 1 + min(spatial) % 2)
    similarity = _local_similarity(clip_and_scale(a), clip_and_scale(b), side)
    return similarity.flatten(1).mean(dim=1).clamp(-1, 1).to(result_dtype)


def hog(maps: Tensor, *, orientations: int = 9, pixels_per_cell: int = 8, cells_per_block: int = 3) -> Tensor:
    """Return the histograms of oriented gradients of each map.

    Central differences (0 at the border) vote with their mean norm for the ``orientations`` equal bins of [0°, 180°) of
    each cell. Each block of cells v is normalized by L2-Hys: v / sqrt(‖v‖² + ε²), clipped at 0.2, and normalized again.
    Equal to scikit-image's ``feature.hog`` up to the single precision in which that one sums a cell.

    Args:
        maps: ``[N, H, W]``.
        orientations: Number of bins.
        pixels_per_cell: Side of a cell in pixels; what does not fill a cell at the right and lower edge is left out.
        cells_per_block: Side of a block in cells; blocks overlap and move by one cell.

    Returns:
        Features ``[N, F]`` in [0, 1] in float64 (float32 on ``mps``), ordered by row and column of the block, row and
        column in the block, and bin.

    Raises:
        ConfigurationError: If the maps are not two-dimensional or smaller than one block, or a number is below 1.

    Reference:
        Dalal and Triggs 2005, Histograms of Oriented Gradients for Human Detection, §6.

    Example:
        >>> hog(torch.arange(100.0).reshape(1, 10, 10), pixels_per_cell=5, cells_per_block=2).shape
        torch.Size([1, 36])
    """
    _require_two_dimensions(maps)
    if min(orientations, pixels_per_cell, cells_per_block) < 1:
        raise ConfigurationError(
            f"orientations={orientations}, pixels_per_cell={pixels_per_cell} and cells_per_block={cells_per_block} "
            "are counts; give whole numbers from 1 up"
        )
    block = pixels_per_cell * cells_per_block
    if min(maps.shape[1:]) < block:
        raise ConfigurationError(
            f"maps of {tuple(maps.shape[1:])} pixels are smaller than one block of {block}; resize them or lower "
            "pixels_per_cell or cells_per_block"
        )
    histograms = _cell_histograms(widen(maps), orientations, pixels_per_cell)
    windows = histograms.unfold(2, cells_per_block, 1).unfold(3, cells_per_block, 1)
    blocks = windows.permute(0, 2, 3, 4, 5, 1).flatten(3)
    return _unit_norm(_unit_norm(blocks).clamp(max=0.2)).flatten(1)


def hog_similarity(a: Tensor, b: Tensor) -> Tensor:
    """Return Pearson's correlation of the ``hog`` features of the maps of each sample, after ``clip_and_scale``.

    Without the scaling, the ε of the block norm would make the result depend on the unit of the maps.

    Args:
        a: ``[N, H, W]``.
        b: ``[N, H, W]``.

    Returns:
        ``[N]`` in [-1, 1]; NaN where ``a`` or ``b`` is constant once it is clipped, or not finite, and for maps with a
        side below 48: they have too few blocks for a correlation to mean anything.

    Raises:
        ConfigurationError: If the shapes differ or the maps are not two-dimensional.

    Reference:
        Adebayo et al. 2018, arXiv 1810.03292, §3.

    Example:
        >>> ramp = torch.arange(48.0 * 48).reshape(1, 48, 48)
        >>> hog_similarity(ramp, 2 * ramp + 1)
        tensor([1.])
    """
    require_same_shape(a, b)
    _require_two_dimensions(a)
    result_dtype = torch.promote_types(score_dtype(a), score_dtype(b))
    if min(a.shape[1:]) < _SMALLEST_HOG_SIDE:
        return torch.full((len(a),), math.nan, dtype=result_dtype, device=a.device)
    return pearson(hog(clip_and_scale(a)), hog(clip_and_scale(b))).to(result_dtype)


def _local_similarity(a: Tensor, b: Tensor, side: int) -> Tensor:
    """Return the structural similarity in every window of scaled maps."""
    n_spatial = a.ndim - 1
    moments: Tensor = _WINDOW_MEAN[n_spatial](torch.stack([a, b, a * a, b * b, a * b], dim=1), side, stride=1)
    mean_a, mean_b, square_a, square_b, product = moments.unbind(dim=1)
    n_pixels: int = side**n_spatial
    unbiased = n_pixels / (n_pixels - 1)
    variance_a, variance_b = unbiased * (square_a - mean_a**2), unbiased * (square_b - mean_b**2)
    covariance = unbiased * (product - mean_a * mean_b)
    luminance = (2 * mean_a * mean_b + _LUMINANCE_CONSTANT) / (mean_a**2 + mean_b**2 + _LUMINANCE_CONSTANT)
    contrast = (2 * covariance + _CONTRAST_CONSTANT) / (variance_a + variance_b + _CONTRAST_CONSTANT)
    return luminance * contrast


def _cell_histograms(maps: Tensor, orientations: int, pixels_per_cell: int) -> Tensor:
    """Return the mean gradient norm of each direction in each cell, ``[N, orientations, rows, columns]``."""
    down, right = torch.zeros_like(maps), torch.zeros_like(maps)
    down[:, 1:-1] = maps[:, 2:] - maps[:, :-2]
    right[:, :, 1:-1] = maps[:, :, 2:] - maps[:, :, :-2]
    norm = torch.hypot(down, right)
    angle = torch.rad2deg(torch.atan2(down, right)) % 180
    edges = [180 * bin_ / orientations for bin_ in range(orientations + 1)]
    votes = [norm * ((angle >= low) & (angle < high)) for low, high in pairwise(edges)]
    return torch.cat([F.avg_pool2d(vote[:, None], pixels_per_cell) for vote in votes], dim=1)


def _unit_norm(blocks: Tensor) -> Tensor:
    return blocks / ((blocks**2).sum(dim=-1, keepdim=True) + _HOG_EPSILON**2).sqrt()


def _require_two_dimensions(maps: Tensor) -> None:
    if maps.ndim != 3:
        raise ConfigurationError(
            f"gradients have directions only in two-dimensional maps, but maps are {list(maps.shape)}; give [N, H, "
            "W], or compare these with ssim or spearman"
        )
