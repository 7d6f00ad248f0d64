"""A run in a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from os import PathLike

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.report.document import report_page
from saliency_callbacks.report.runs import read_run

__all__ = ["ShownRun", "show"]


@dataclass(frozen=True, repr=False)
class ShownRun:
    """What a notebook shows where this is the value of a cell.

    Args:
        name: Name of the run.
        page: The page, in HTML.
        height: Height of its frame in pixels.
    """

    name: str
    page: str
    height: int

    def __repr__(self) -> str:
        return f"<saliency report of {self.name}, {len(self.page) / 1e6:.1f} MB>"

    def _repr_html_(self) -> str:
        # Without allow-same-origin: the page can neither read nor change the notebook.
        return (
            f'<iframe srcdoc="{escape(self.page)}" sandbox="allow-scripts" title="{escape(self.name)}" '
            f'width="100%" height="{self.height}" style="border:0"></iframe>'
        )


def show(run_directory: str | PathLike[str], *, height: int = 800, max_megabytes: float = 5) -> ShownRun:
    """Show in a notebook what a run has found so far: the report's page, in a frame.

    The page is embedded in the notebook rather than fetched from a server, so it survives exporting the notebook as
    HTML, opening it elsewhere, or running it without a browser. To follow a run while it trains, use
    ``saliency-callbacks view`` or TensorBoard.

    Args:
        run_directory: What a Trainer's run left (``lightning_logs/version_0``), or one of DiskSink's directories.
        height: Height of the frame in pixels.
        max_megabytes: Largest size of the page, and so about what the notebook grows by, in units of 10^6 bytes.

    Returns:
        What the notebook shows, if it is the last expression of a cell.

    Raises:
        ConfigurationError: If nothing in the directory can be read, the page cannot be made small enough, or the
            height is not a number of pixels.

    Example:
        >>> import tempfile
        >>> from saliency_callbacks.sinks import DiskSink
        >>> from saliency_callbacks.types import Snapshot
        >>> sink = DiskSink(tempfile.mkdtemp())
        >>> sink.write(Snapshot(epoch=0, step=10, stage="fit", attributions={}, scores={"drift": 0.5}), {})
        >>> show(sink.directory, height=600).height
        600
    """
    if isinstance(height, bool) or not isinstance(height, int) or height < 1:
        raise ConfigurationError(f"height={height!r}; expected a height in pixels, e.g. 800")
    run = read_run(run_directory)
    page = report_page([run], max_megabytes).decode()
    return ShownRun(run.name, page, height)
