"""Maps that show nothing, named in words."""

from __future__ import annotations

from collections.abc import Sequence

from saliency_callbacks.functional.counted import degenerate_counted
from saliency_callbacks.functional.maps import degenerate
from saliency_callbacks.types import Attribution

__all__ = ["describe_degenerate"]

_SHOWN = 8


def describe_degenerate(attribution: Attribution, ids: Sequence[str] | None = None) -> str | None:
    """Return a sentence that names the samples whose map is all zero, constant or not finite; ``None`` if none is.

    Args:
        attribution: The maps.
        ids: A name for each sample; its position by default.
    """
    maps, counted = attribution.magnitude, attribution.counted
    bad = degenerate(maps) if counted is None else degenerate_counted(maps, counted)
    if not bad.any():
        return None
    positions = bad.nonzero()[:, 0].tolist()
    names = [ids[position] if ids else str(position) for position in positions]
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    finite = bool(attribution.magnitude[bad].isfinite().all())
    if not finite:
        cause = "the model's weights, inputs or gradients are not finite (diverged training, or fp16 overflow)"
    elif attribution.layer is not None:
        cause = (
            f"no positive evidence for the target at layer {attribution.layer!r}, a zero-initialized head, or a layer "
            "without gradient; try other `target_layers`"
        )
    else:
        cause = (
            "the score does not depend on the input (dead units, a zero-initialized head, or a part of the model "
            "under `torch.no_grad()`)"
        )
    if finite and bool((attribution.target == -1).all()):
        cause += (
            ", a normalized embedding compared with itself, which has no gradient until it changes, or an object or a "
            "region that is not found yet"
        )
    kind = "zero or constant" if finite else "not finite"
    return f"{attribution.method}: {len(names)} of {len(bad)} maps are {kind} (samples {shown}); likely cause: {cause}"
