"""What is written of a test."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.observation import Moment
from saliency_callbacks.errors import DegenerateMapWarning
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.randomization.result import RandomizationResult
from saliency_callbacks.randomization.scores import sample_scores, scores
from saliency_callbacks.types import Snapshot, Table

__all__ = ["TestRecord", "warn_of_untold_verdicts"]


@dataclass(frozen=True, eq=False)
class TestRecord:
    """What is written of a test.

    Args:
        moment: When it was made.
        namespace: First part of every tag.
        result: What was found.
        facts: What was tested, and what it took.
    """

    moment: Moment
    namespace: str
    result: RandomizationResult
    facts: Mapping[str, Any]

    def tested(self, probe: ProbeBatch) -> Snapshot:
        """Return the snapshot of a test of some samples."""
        return self._snapshot(labels=probe.labels, ids=probe.ids)

    def summarized(self, tables: Mapping[str, Table]) -> Snapshot:
        """Return the snapshot at the end of the training."""
        return self._snapshot(tables=tables)

    def _snapshot(self, **changes: Any) -> Snapshot:
        return Snapshot(
            epoch=self.moment.epoch,
            step=self.moment.step,
            stage=self.moment.stage,
            attributions={},
            scores=scores(self.result, self.namespace),
            sample_scores=sample_scores(self.result, self.namespace),
            metadata={**self.facts, **self._found},
            **changes,
        )

    @property
    def _found(self) -> Mapping[str, Any]:
        result = self.result
        return {
            "target_layers": list(result.target_layers),
            "order": result.order,
            "n_draws": result.n_draws,
            "not_randomized": list(result.unchanged),
            "verdicts": dict(result.verdicts),
        }


def warn_of_untold_verdicts(result: RandomizationResult, namespace: str) -> None:
    """Warn of methods whose maps could not be compared, once each."""
    for method in result.methods:
        if not math.isfinite(result.similarity(method).mean):
            kind = ("untold verdict", namespace, method)
            notices.warn(kind, f"{namespace}: {method} {result.verdicts[method]}", DegenerateMapWarning)
