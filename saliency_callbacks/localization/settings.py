"""How a mask is found in a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from saliency_callbacks.config.checks import checked_integer, checked_real, is_real
from saliency_callbacks.errors import ConfigurationError, nearest_names

__all__ = ["Localization"]

Mask = Literal["grabcut", "otsu"] | float
_NAMES = ("grabcut", "otsu")
_SMALLEST_SIDE = 8


@dataclass(frozen=True)
class Localization:
    """How a mask and its box are found in a map: the largest connected part of what is kept of it.

    Needs OpenCV: ``pip install 'saliency-callbacks[localization]'``.

    Args:
        mask: ``"grabcut"`` for a GraphCut of the picture whose colors of object and background are those where the map
            is highest and lowest, with holes filled; for 2-D images only. ``"otsu"`` for what is above Otsu's threshold
            of the map, or a number in (0, 1): the share of its maximum above which the map is kept, such as the 0.2 of
            class activation maps. Both look at the map alone, of any number of dimensions, as it is shown: clipped at
            its 99th percentile.
        foreground: For ``"grabcut"``: quantile of the map above which pixels are the object.
        background: For ``"grabcut"``: quantile below which they are the background.
        longest_side: For ``"grabcut"``: height or width to which larger pictures are reduced, as its cost rises faster
            than their area.

    Raises:
        ConfigurationError: If there is no such mask, or a number is out of range.

    Reference:
        Simonyan et al. 2013, arXiv 1312.6034, section 3.2, with its quantiles; Rother et al. 2004, "GrabCut"; Otsu
        1979, "A threshold selection method from gray-level histograms"; Zhou et al. 2016, arXiv 1512.04150, section
        3.2 (a share of 0.2).

    Example:
        >>> Localization(mask=0.2).mask
        0.2
    """

    mask: Mask = "grabcut"
    foreground: float = 0.95
    background: float = 0.30
    longest_side: int = 128

    def __post_init__(self) -> None:
        is_share = is_real(self.mask, 0, 1) and 0 < float(self.mask) < 1
        if not is_share and self.mask not in _NAMES:
            hint = f" {nearest_names(self.mask, _NAMES)}" if isinstance(self.mask, str) else ""
            raise ConfigurationError(
                f"mask={self.mask!r}; expected 'grabcut', 'otsu', or a share of the map's maximum between 0 and 1, "
                f"such as 0.2.{hint}"
            )
        checked_real("foreground", self.foreground, above=0, below=1)
        checked_real("background", self.background, above=0, below=1)
        if self.background >= self.foreground:
            raise ConfigurationError(
                f"foreground={self.foreground} and background={self.background}; expected a background below the "
                "foreground: both are quantiles of the map, such as 0.95 and 0.3"
            )
        checked_integer("longest_side", self.longest_side, _SMALLEST_SIDE)
