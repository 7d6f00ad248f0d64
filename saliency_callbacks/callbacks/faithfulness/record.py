"""What is written of a test of how faithful maps are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.observation import Moment
from saliency_callbacks.errors import DegenerateMapWarning
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.scores.faithfulness import FaithfulnessResult
from saliency_callbacks.types import Snapshot

__all__ = ["FaithfulnessRecord", "tell_of_undefined"]


@dataclass(frozen=True, eq=False)
class FaithfulnessRecord:
    """What is written of a test.

    Args:
        moment: When it was made.
        namespace: First part of every tag.
        result: What was found.
        facts: What was tested, and how.
    """

    moment: Moment
    namespace: str
    result: FaithfulnessResult
    facts: Mapping[str, Any]

    def tested(self, probe: ProbeBatch) -> Snapshot:
        """Return the snapshot of a test of some samples."""
        found = self.result.sample_scores(self.namespace)
        return self._snapshot(labels=probe.labels, ids=probe.ids, sample_scores=found)

    def summarized(self) -> Snapshot:
        """Return the snapshot at the end of the training."""
        return self._snapshot(tables={f"{self.namespace}/summary": self.result.table()})

    def _snapshot(self, **changes: Any) -> Snapshot:
        found = next(iter(self.result.methods.values()))
        told = {
            "target_layers": list(self.result.target_layers),
            "shares": list(self.result.shares),
            "replacements": list(found.replacements),
            "n_forwards": round(found.n_forwards * len(self.result.methods)),
        }
        return Snapshot(
            epoch=self.moment.epoch,
            step=self.moment.step,
            stage=self.moment.stage,
            attributions={},
            scores=self.result.scores(self.namespace),
            metadata={**self.facts, **told},
            **changes,
        )


def tell_of_undefined(result: FaithfulnessResult, namespace: str) -> None:
    """Say once that some samples have no gain, and why; warn of methods without a gain in any of them."""
    n_samples = len(result.target)
    counts = {name: round(found.undefined * n_samples) for name, found in result.methods.items()}
    told = ", ".join(f"{count} with {name}" for name, count in counts.items() if 0 < count < n_samples)
    if told:
        notices.tell_once(
            ("no gain", namespace),
            f"{namespace}: some of {n_samples} samples have no gain ({told}): their score hardly changes when "
            "everything is replaced, or their map is constant, not finite, or too small to remove a share of it",
        )
    for name in (name for name, count in counts.items() if count == n_samples):
        notices.warn(
            ("no gain at all", namespace, name),
            f"{namespace}: none of {n_samples} samples has a gain with {name}: their maps are constant (a "
            "zero-initialized head), their maps or scores are not finite (diverged training, or fp16 overflow), or "
            "their scores hardly change when everything is replaced",
            DegenerateMapWarning,
        )
