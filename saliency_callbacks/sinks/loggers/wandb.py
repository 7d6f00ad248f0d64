"""Pictures, texts, tables and alerts to Weights & Biases, and one table of samples that grows with the run."""

from __future__ import annotations

import html
import inspect
import io
import itertools
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from saliency_callbacks.sinks.image_files import encode_gif, is_animation
from saliency_callbacks.sinks.loggers.clients import logger_package
from saliency_callbacks.sinks.sample_table import SampleTable, sample_table
from saliency_callbacks.types import Picture, Snapshot

__all__ = ["GrowingTable", "WandbSink"]

_MOST_INCREMENTS = 100


class _Prepared(NamedTuple):
    step: int
    media: dict[str, Any]
    rows: SampleTable | None
    alerts: Mapping[str, str]


class WandbSink:
    """Write one observation in one call, so that all its media share one step of the slider.

    Several callbacks make one call each, and Lightning one for its metrics: W&B counts these as steps of their own.
    What they share is ``trainer/global_step``, which can be chosen as the key of all sliders.

    In addition to pictures, animations, texts and tables, a W&B table, e.g. ``saliency/samples``, has one row for each
    sample and observation: moment, epoch, step, sample, label, prediction, confidence, and the sample's value behind
    each score. See :class:`~saliency_callbacks.sinks.loggers.wandb.GrowingTable` for long runs and for wandb before
    0.20.

    Scalars are not written: the callbacks log them through Lightning, which sends them to every logger.

    Args:
        logger: Lightning's ``WandbLogger``, or an object with its ``log_metrics`` and ``experiment``.

    Raises:
        ConfigurationError: If the package ``wandb`` is not installed.

    Example:
        A ``WandbLogger`` among the Trainer's loggers gets its sink by itself; one that is wrapped does not:

        >>> from saliency_callbacks import SaliencyMonitor
        >>> def monitor_for(wrapper):
        ...     return SaliencyMonitor(sinks=[WandbSink(wrapper.wandb_logger)])
    """

    def __init__(self, logger: Any) -> None:
        self._wandb: Any = logger_package("wandb", logger=logger, extra="wandb")
        self._table: GrowingTable | None = None
        self._last_step: int | None = None
        self._prepared: deque[_Prepared] = deque()
        self.logger = logger

    def add_report(self, path: Path, title: str) -> None:
        """Add a report as HTML, at the step of the last observation, which the page shows, and as an artifact."""
        run = self.logger.experiment
        html = self._wandb.Html(path.read_text(encoding="utf-8"), inject=False)
        self.logger.log_metrics({title: html}, step=self._last_step)
        artifact = self._wandb.Artifact(f"{title.replace('/', '-')}-{run.id}", type="report")
        artifact.add_file(str(path))
        run.log_artifact(artifact)

    def write(self, snapshot: Snapshot, pictures: Mapping[str, Picture]) -> None:
        """Prepare pictures, texts, tables, rows and alerts; see :class:`~saliency_callbacks.types.PreparingSink`."""
        media = {tag: self._medium(picture, snapshot.moment) for tag, picture in pictures.items()}
        texts = {tag: _preformatted(text) for tag, text in snapshot.markdown.items()} | dict(snapshot.html)
        media |= {f"{tag}/text": self._wandb.Html(text) for tag, text in texts.items()}
        self._prepared.append(_Prepared(snapshot.step, media, sample_table(snapshot), snapshot.alerts))

    def commit(self) -> None:
        """Log what is prepared; only the thread that trains, and logs metrics, may call it.

        A W&B run counts its steps without a lock: of two threads that log at once, one loses what it logged.
        """
        while self._prepared:
            prepared = self._prepared.popleft()
            self._last_step = prepared.step
            media = prepared.media | self._rows(prepared.rows)
            if media:
                self.logger.log_metrics(media, step=prepared.step)
            for title, text in prepared.alerts.items():
                self.logger.experiment.alert(title=title, text=text, level=self._wandb.AlertLevel.WARN)

    def _medium(self, picture: Picture, caption: str) -> Any:
        if is_animation(picture):
            # Given as an array, W&B would need another package to encode it.
            return self._wandb.Video(io.BytesIO(encode_gif(picture)), caption=caption, format="gif")
        # Never as floats, which W&B casts to a black picture.
        return self._wandb.Image(picture, caption=caption)

    def _rows(self, added: SampleTable | None) -> dict[str, Any]:
        if added is None:
            return {}
        run = self.logger.experiment
        if self._table is None or not self._table.takes(added, run):
            self._table = GrowingTable(self._wandb, run, added)
        return {self._table.key: self._table.add(added)}


class GrowingTable:
    """A ``wandb.Table`` to which every observation adds rows; only the new rows are sent.

    W&B shows the latest 100 increments of a table, and each increment refers to those before it. So a new table begins
    under the next free key (``name``, ``name_2``, ...) every hundred observations and when the columns change. Traffic
    and memory per observation do not grow with the run.

    Before wandb 0.20 a table cannot grow. There every observation logs a table of its own rows under the same key; a
    query panel with ``runs.history.concat["<key>"]`` joins them.

    Args:
        wandb: The package.
        run: The W&B run.
        first: The first rows, which give the name and the columns.
    """

    def __init__(self, wandb: Any, run: Any, first: SampleTable) -> None:
        self._wandb = wandb
        self._table: Any = None
        self._run = run
        self.columns = first.columns
        self.grows = "log_mode" in inspect.signature(wandb.Table).parameters
        self.key = self._free_key(first.name) if self.grows else first.name
        self._additions = 0

    def takes(self, added: SampleTable, run: Any) -> bool:
        """Return whether the rows belong in this table."""
        is_full = self.grows and self._additions == _MOST_INCREMENTS
        return self._run is run and not is_full and set(added.columns) <= set(self.columns)

    def add(self, added: SampleTable) -> Any:
        """Add rows, and return what is to be logged under :attr:`key`."""
        self._additions += 1
        rows = added.under(self.columns)
        if not self.grows:
            return self._wandb.Table(columns=list(self.columns), data=rows)
        if self._table is None:
            self._table = self._wandb.Table(columns=list(self.columns), log_mode="INCREMENTAL")
        for row in rows:
            self._table.add_data(*row)
        return self._table

    def _free_key(self, name: str) -> str:
        # A resumed run, or a second training in the same run, must not hide the rows of the first.
        used = [str(key) for key in self._run.summary.keys()]  # noqa: SIM118 - W&B's summary cannot be iterated
        candidates = itertools.chain([name], (f"{name}_{n}" for n in itertools.count(2)))
        # The logger may put a prefix before the keys.
        return next(key for key in candidates if not any(other.endswith(key) for other in used))


def _preformatted(text: str) -> str:
    return f'<pre style="white-space: pre-wrap">{html.escape(text)}</pre>'
