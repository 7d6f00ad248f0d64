"""Which samples of a probe are tested."""

from __future__ import annotations

from collections.abc import Sequence

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.settings import ModelReading
from saliency_callbacks.callbacks.streaming.others import freeze_shown, is_streamed
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.probe import Probe

__all__ = ["freeze_tested"]


def freeze_tested(
    host: Host, probe: Probe, saved_indices: Sequence[int] | None, reading: ModelReading, title: str
) -> ProbeBatch | None:
    """Freeze the shown samples of a large probe, and say so; ``None`` where all are shown. All ranks must call it.

    A test runs each sample many times; what it tells are means, which hardly change with more samples than are shown.

    Args:
        host: The run.
        probe: The whole probe.
        saved_indices: Positions of the tested samples in a checkpoint.
        reading: How the model is read.
        title: What the line begins with.

    Raises:
        ProbeError: If the data cannot be read.
    """
    if not is_streamed(host, probe):
        return None
    with host.ranks.together():
        shown, _ = freeze_shown(host, probe, saved_indices, module=reading.module, shared=reading.shared)
    notices.tell(
        f"{title}: the {shown.size} samples that are shown of the {probe.size} of the probe are tested, because a "
        "test runs each of them many times; Probe(shown=…) tells how many"
    )
    return shown
