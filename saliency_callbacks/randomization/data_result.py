"""What the data randomization test found: a model against a twin trained on permuted labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from saliency_callbacks.config.wording import counted
from saliency_callbacks.randomization.result import PRIMARY, Values
from saliency_callbacks.scores.randomization import FLOOR_LIMIT, Estimate, estimate
from saliency_callbacks.types import Cell, Table

__all__ = ["DataRandomizationResult"]

DEPENDS = "depends on the labels"
DOES_NOT_DEPEND = "does not depend on the labels"


@dataclass(frozen=True, eq=False)
class DataRandomizationResult:
    """How similar a model's maps are to those of a twin that has memorised permuted labels.

    Args:
        values: Similarity (``spearman`` always, and those asked for) → method → value of each sample ``[N]``; NaN
            where a map is constant or not finite.
        accuracy: Share of the permuted labels that the twin has memorised, in [0, 1].
        epochs: Number of epochs that the twin was trained for.
        model_accuracy: Share of the true labels that the model itself has learned; NaN for a model that was given.
        model_epochs: Number of epochs that the model itself was trained for; 0 for a model that was given.
        min_accuracy: Share of its labels that each model has to learn for a verdict.
        target: Explained class of each sample ``[N]``, -1 where the target is a callable.
        target_layers: Names of the target layers; empty where no method has one.
        seed: Seed of the permutation, of both trainings and of all noise.

    Example:
        >>> import torch
        >>> result = DataRandomizationResult(
        ...     values={"spearman": {"gradient": torch.tensor([0.1, 0.0]), "deconvnet": torch.tensor([0.6, 0.7])}},
        ...     accuracy=0.97,
        ...     epochs=60,
        ...     model_accuracy=0.99,
        ...     model_epochs=8,
        ...     min_accuracy=0.95,
        ...     target=torch.tensor([0, 1]),
        ...     target_layers=(),
        ...     seed=0,
        ... )
        >>> result.verdicts
        {'gradient': 'depends on the labels', 'deconvnet': 'does not depend on the labels'}

    Reference:
        Adebayo et al. 2018, arXiv 1810.03292, section 4.2.
    """

    values: Values
    accuracy: float
    epochs: int
    model_accuracy: float
    model_epochs: int
    min_accuracy: float
    target: Tensor
    target_layers: tuple[str, ...]
    seed: int

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods."""
        return tuple(self.values[PRIMARY])

    @property
    def similarities(self) -> tuple[str, ...]:
        """Names of the similarities; ``spearman`` first."""
        return tuple(self.values)

    @property
    def memorised(self) -> bool:
        """Whether the twin has memorised the permuted labels."""
        return self.accuracy >= self.min_accuracy

    def similarity(self, method: str, name: str = PRIMARY) -> Estimate:
        """Return the similarity between the maps of the model and of the twin; ``std`` is NaN, as there is one twin.

        Args:
            method: Name of the method.
            name: Name of the similarity.
        """
        return estimate(self.values[name][method][None])

    @cached_property
    def verdicts(self) -> dict[str, str]:
        """Method → whether its maps depend on the labels, in words; with reasons where that is undecided.

        They do not where the signed Spearman correlation is above 0.3.
        """
        return {method: self._verdict(self.similarity(method)) for method in self.methods}

    def _verdict(self, similarity: Estimate) -> str:
        if not self.memorised:
            return (
                f"undecided: the twin memorized only {_percent(self.accuracy)} of the permuted labels in "
                f"{counted(self.epochs, 'epoch')}; {_percent(self.min_accuracy)} are required"
            )
        if self.model_accuracy < self.min_accuracy:
            return (
                f"undecided: the model itself learned only {_percent(self.model_accuracy)} of the true labels in "
                f"{counted(self.model_epochs, 'epoch')}; {_percent(self.min_accuracy)} are required"
            )
        if math.isnan(similarity.mean):
            return "undecided: all maps are constant or not finite, with true or with permuted labels"
        if similarity.invalid > 0.5:
            return f"undecided: {similarity.invalid:.0%} of the comparisons involve a constant or non-finite map"
        return DOES_NOT_DEPEND if similarity.mean > FLOOR_LIMIT else DEPENDS

    def to_dict(self) -> dict[str, Any]:
        """Return everything as numbers, strings, lists and dicts (NaN as ``None``), ready for JSON."""
        return {
            "accuracy": self.accuracy,
            "epochs": self.epochs,
            "memorised": self.memorised,
            "model_accuracy": _finite(self.model_accuracy),
            "model_epochs": self.model_epochs,
            "min_accuracy": self.min_accuracy,
            "seed": self.seed,
            "target": self.target.tolist(),
            "target_layers": list(self.target_layers),
            "verdicts": dict(self.verdicts),
            "similarity": {
                name: {method: [_finite(value) for value in values.tolist()] for method, values in methods.items()}
                for name, methods in self.values.items()
            },
        }

    @property
    def verdict_table(self) -> Table:
        """The result as a table, one row per method."""
        rows = []
        for method in self.methods:
            numbers = [f"{self.similarity(method, name).mean:.2f}" for name in self.similarities]
            rows.append(tuple(map(Cell, (method, *numbers, self.verdicts[method]))))
        return Table(("method", *self.similarities, "verdict"), tuple(rows))

    def table(self) -> str:
        """Return :attr:`verdict_table` as Markdown."""
        return self.verdict_table.markdown()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _percent(share: float) -> str:
    # Rounded down: 94.9% are not the 95% that were asked for.
    return f"{math.floor(round(share * 100, 6))}%"
