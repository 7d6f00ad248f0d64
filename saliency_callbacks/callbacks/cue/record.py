"""What is written of an evaluation of a cue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from saliency_callbacks.callbacks.runtime.observation import Moment
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.types import Snapshot, Table

__all__ = ["CueRecord"]


@dataclass(frozen=True, eq=False)
class CueRecord:
    """What is written of an evaluation.

    Args:
        moment: When it was made.
        identity: First parts of every tag.
        facts: What was evaluated, and what it took.
        scores: Last part of the tag → number.
        texts: Likewise.
        tables: Likewise.
    """

    moment: Moment
    identity: str
    facts: Mapping[str, Any]
    scores: Mapping[str, float]
    texts: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)

    def snapshot(self, probe: ProbeBatch) -> Snapshot:
        """Return the snapshot, of the samples that are shown."""
        return Snapshot(
            epoch=self.moment.epoch,
            step=self.moment.step,
            stage=self.moment.stage,
            attributions={},
            labels=probe.labels,
            ids=probe.ids,
            scores={f"{self.identity}/{name}": value for name, value in self.scores.items()},
            metadata={**self.facts, "probe": probe.fingerprint},
            texts={f"{self.identity}/{name}": text for name, text in self.texts.items()},
            tables={f"{self.identity}/{name}": table for name, table in self.tables.items()},
        )
