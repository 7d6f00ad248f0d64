"""What a randomization test found."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from saliency_callbacks._html import picture_html, table_html
from saliency_callbacks.config.wording import counted
from saliency_callbacks.rendering.curves import Curve, draw_curves
from saliency_callbacks.scores.means import mean_of_finite
from saliency_callbacks.scores.randomization import LEAST_RANGE, Estimate, calibrate, estimate, verdict
from saliency_callbacks.types import Cell, Table
from saliency_callbacks.types.tables import as_number

__all__ = ["PRIMARY", "RandomizationResult"]

PRIMARY = "spearman"
"""The similarity that verdicts rest on: signed, as ties inflate that of magnitudes."""

_STEPS_LABELS = {
    "full": "randomized weights",
    "top_down": "weights randomized from the output (left) to the input (right)",
    "bottom_up": "weights randomized from the input (left) to the output (right)",
    "independent": "randomized layer (one at a time)",
}

Values = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True, eq=False)
class RandomizationResult:
    """How similar a model's maps are to those of the model with randomized weights.

    Similarities are by name (``spearman`` always, and those asked for) and method. Entries without a value (a map was
    constant or not finite) are NaN.

    Args:
        order: ``full``, ``top_down``, ``bottom_up`` or ``independent``.
        steps: What was randomized last in each step, in order.
        values: Similarity → method → between trained and randomized maps, ``[steps, draws, N]``.
        floors: Similarity → method → between two fully randomized models, ``[pairs, N]``.
        ceilings: Similarity → method → between two seeds of the method, ``[N]``; only of methods that draw noise.
        random_logit: Similarity → method → between the maps of the explained and of another class, ``[N]``; empty
            where there is no other class.
        unchanged: Parameters that every draw left bit-identical: constants that nothing initializes or that are
            initialized to the same value, and statistics of frozen normalization layers.
        n_draws: Number of draws.
        seed: Seed of the draws and of all noise.
        target: Explained class of each sample ``[N]``, -1 where the target is a callable.
        target_layers: Names of the target layers; empty where no method has one.
        left_out: What would have been randomized in further steps, for which there was no time. The last step is then
            not the one with everything randomized, and there is no verdict.

    Example:
        >>> import torch
        >>> similarity, floor = torch.full((1, 2, 3), 0.1), torch.full((1, 3), 0.1)
        >>> result = RandomizationResult(
        ...     order="full",
        ...     steps=("all layers",),
        ...     values={"spearman": {"gradient": similarity}},
        ...     floors={"spearman": {"gradient": floor}},
        ...     ceilings={},
        ...     random_logit={},
        ...     unchanged=(),
        ...     n_draws=2,
        ...     seed=0,
        ...     target=torch.tensor([0, 1, 1]),
        ...     target_layers=(),
        ... )
        >>> result.verdicts
        {'gradient': 'depends on the weights'}

    Reference:
        Adebayo et al. 2018, arXiv 1810.03292; random logit: Sixt et al. 2020, arXiv 1912.09818.
    """

    order: str
    steps: tuple[str, ...]
    values: Values
    floors: Values
    ceilings: Values
    random_logit: Values
    unchanged: tuple[str, ...]
    n_draws: int
    seed: int
    target: Tensor
    target_layers: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    def of_methods(self, names: Container[str]) -> RandomizationResult:
        """Return the result of some of the methods."""
        return self._changed(lambda methods: {name: one for name, one in methods.items() if name in names})

    def mapped(self, function: Callable[[Tensor], Tensor]) -> RandomizationResult:
        """Return the result with ``function`` applied to everything that has a value for each sample, ``[…, N]``."""
        of_all = self._changed(lambda methods: {name: function(one) for name, one in methods.items()})
        return replace(of_all, target=function(self.target))

    def _changed(self, change: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]) -> RandomizationResult:
        def of_all(values: Values) -> Values:
            return {similarity: change(by_method) for similarity, by_method in values.items()}

        return replace(
            self,
            values=of_all(self.values),
            floors=of_all(self.floors),
            ceilings=of_all(self.ceilings),
            random_logit=of_all(self.random_logit),
        )

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods."""
        return tuple(self.values[PRIMARY])

    @property
    def n_states(self) -> int:
        """Number of states of the weights that were explained, the trained one among them."""
        # No state with a single random layer, or some of them, is the fully random model that the floor needs.
        return 1 + self.n_draws * (len(self.steps) + (self.order == "independent" or bool(self.left_out)))

    @property
    def similarities(self) -> tuple[str, ...]:
        """Names of the similarities; ``spearman`` first."""
        return tuple(self.values)

    def similarity(self, method: str, name: str = PRIMARY, step: int | None = None) -> Estimate:
        """Return the similarity between trained and randomized maps.

        Args:
            method: Name of the method.
            name: Name of the similarity.
            step: Index of a step; by default the final one, with everything randomized, or for ``independent`` the
                mean over the layers.
        """
        return estimate(self.last_values(method, name) if step is None else self.values[name][method][step])

    def last_values(self, method: str, name: str = PRIMARY) -> Tensor:
        """Return the final similarities, ``[draws, N]``: everything randomized, or the mean over single layers."""
        values = self.values[name][method]
        return values.nanmean(dim=0) if self.order == "independent" else values[-1]

    def floor(self, method: str, name: str = PRIMARY) -> Estimate:
        """Return the similarity between two randomized models."""
        return estimate(self.floors[name][method])

    def ceiling(self, method: str, name: str = PRIMARY) -> float:
        """Return the similarity between two seeds of a method that draws noise; 1 for any other."""
        seeds = self.ceilings.get(name, {})
        return mean_of_finite(seeds[method]) if method in seeds else 1.0

    def calibrated(self, method: str, name: str = PRIMARY) -> float:
        """Return (similarity - floor) / (ceiling - floor); NaN where ceiling and floor are closer than 0.2."""
        return calibrate(self.similarity(method, name).mean, self.floor(method, name).mean, self.ceiling(method, name))

    def calibrated_std(self, method: str, name: str = PRIMARY) -> float:
        """Return the standard deviation of the calibrated similarity over the draws, for this floor and ceiling."""
        scale = self.ceiling(method, name) - self.floor(method, name).mean
        return self.similarity(method, name).std / scale if scale >= LEAST_RANGE else math.nan

    def logit(self, method: str, name: str = PRIMARY) -> float:
        """Return the similarity between the maps of two classes; NaN where there is no other class."""
        return mean_of_finite(self.random_logit[name][method]) if self.random_logit else math.nan

    @cached_property
    def verdicts(self) -> dict[str, str]:
        """Method → whether its maps depend on the weights, in words; with reasons where that is undecided."""
        if self.left_out:
            return dict.fromkeys(
                self.methods,
                f"undecided: max_seconds was reached before {counted(len(self.left_out), 'layer')} could be randomized",
            )
        return {
            method: verdict(self.similarity(method), self.floor(method), self.ceiling(method))
            for method in self.methods
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything as numbers, strings, lists and dicts (NaN as ``None``), ready for JSON."""
        return {
            "order": self.order,
            "steps": list(self.steps),
            "left_out": list(self.left_out),
            "n_draws": self.n_draws,
            "seed": self.seed,
            "unchanged": list(self.unchanged),
            "verdicts": dict(self.verdicts),
            "similarity": _plain(self.values),
            "floor": _plain(self.floors),
            "ceiling": _plain(self.ceilings),
            "random_logit": _plain(self.random_logit),
        }

    @property
    def verdict_table(self) -> Table:
        """The result as a table, one row per method."""
        rows = []
        for method in self.methods:
            similarity, floor = self.similarity(method), self.floor(method)
            numbers = [
                f"{as_number(similarity.mean)} ± {as_number(similarity.std)}",
                f"{as_number(floor.mean)} ± {as_number(floor.std)}",
                as_number(self.calibrated(method)),
                as_number(self.logit(method)),
            ]
            rows.append(tuple(map(Cell, (method, *numbers, self.verdicts[method]))))
        return Table(("method", "similarity", "floor", "calibrated", "random logit", "verdict"), tuple(rows))

    def table(self) -> str:
        """Return :attr:`verdict_table` as Markdown."""
        return self.verdict_table.markdown()

    @property
    def cascade_table(self) -> Table:
        """The similarity after each step as a table, one row per step and one column per method."""
        rows = []
        for index, step in enumerate(self.steps):
            numbers = [as_number(self.similarity(method, step=index).mean) for method in self.methods]
            rows.append((Cell(step, "name"), *map(Cell, numbers)))
        floors = [as_number(self.floor(method).mean) for method in self.methods]
        rows.append((Cell("floor", "emphasis"), *map(Cell, floors)))
        n_layers = len(self.steps) + len(self.left_out)
        note = (
            (f"{len(self.steps)} of {counted(n_layers, 'layer')} randomized; max_seconds was reached before the others")
            if self.left_out
            else None
        )
        return Table(("randomized", *self.methods), tuple(rows), note=note)

    def _repr_html_(self) -> str:
        table = table_html(self.verdict_table)
        return (
            table + picture_html(self.plot(), "similarity after each step", width=640) if len(self.steps) > 1 else table
        )

    def steps_table(self) -> str:
        """Return :attr:`cascade_table` as Markdown."""
        return self.cascade_table.markdown()

    def plot(self, name: str = PRIMARY, methods: Sequence[str] | None = None) -> npt.NDArray[np.uint8]:
        """Draw one curve per method, with the band of its floor.

        Args:
            name: Name of the similarity.
            methods: Which methods; all by default.

        Returns:
            ``uint8 [height, width, 3]``.
        """
        curves = []
        for method in self.methods if methods is None else methods:
            points = [self.similarity(method, name, step) for step in range(len(self.steps))]
            floor = self.floor(method, name)
            curves.append(
                Curve(
                    name=method,
                    values=[point.mean for point in points],
                    spreads=[point.std for point in points],
                    band=(floor.mean - _known(floor.std), floor.mean + _known(floor.std)),
                )
            )
        return draw_curves(
            curves,
            self.steps,
            title=f"Similarity of the maps after randomizing the weights ({name})",
            steps_label=_STEPS_LABELS[self.order],
            values_label="similarity with the trained model's maps\n(shaded: floor, between two random copies)",
        )


def _known(std: float) -> float:
    return 0.0 if math.isnan(std) else std


def _plain(values: Values) -> dict[str, dict[str, Any]]:
    return {
        name: {method: _finite(tensor.tolist()) for method, tensor in methods.items()}
        for name, methods in values.items()
    }


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return value if math.isfinite(value) else None
