"""The whole number, written again in float64 and NumPy, and by brute force over all orders of a tiny input."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import stats
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits
from torch import Tensor, nn

from saliency_callbacks import Compute, ModelReading, Perturbation
from saliency_callbacks.callbacks.faithfulness.trial import Trial
from saliency_callbacks.callbacks.runtime.ranks import ALONE
from saliency_callbacks.callbacks.runtime.settings import engine_settings
from saliency_callbacks.engine.removal import run_removals
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.errors import SaliencyWarning
from saliency_callbacks.functional.faithfulness.gains import Gain
from saliency_callbacks.functional.images.blur import gaussian_blur
from saliency_callbacks.methods import ExternalMethod
from saliency_callbacks.scores.faithfulness import FaithfulnessResult
from saliency_callbacks.types import Pass, Quantity, RawMap

_BLURRED = Perturbation(replacements=["blurred"], n_noisy=0)


class Given:
    """A method whose maps are given."""

    def __init__(self, name: str, maps: Tensor) -> None:
        self.name, self.maps = name, maps

    def requires(self) -> dict[Pass, Quantity]:
        return {Pass(): Quantity.GRADIENT}

    def attribute(self, evidence: Any) -> RawMap:
        return RawMap(self.maps[:, None], "sum")


def _tested(
    model: nn.Module,
    inputs: Tensor,
    methods: Any,
    *,
    target: Any = 0,
    perturbation: Perturbation = _BLURRED,
    **how: Any,
) -> FaithfulnessResult:
    settings = engine_settings(methods, ModelReading(), Compute(**how), target_layers="auto")
    explanation = run_engine(model, inputs, settings, [target])
    return Trial(model, inputs, len(inputs), settings, target, perturbation, ALONE, explanation).run()


def _network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, 3))
    return layers.double().eval()


def _inputs(n_samples: int = 6, size: tuple[int, ...] = (8, 8)) -> Tensor:
    return torch.rand(n_samples, 1, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


Array = npt.NDArray[np.float64]


def _blur(image: Array) -> Array:
    # Padded as far as the kernel reaches, whose radius is rounded up from three deviations, as it is for small sides.
    reach = [max(1, round(3 * 0.1 * side)) for side in image.shape]
    found: Array = image
    for axis, (side, radius) in enumerate(zip(image.shape, reach, strict=True)):
        found = gaussian_filter(
            found, [0.1 * side * (axis == other) for other in range(2)], mode="nearest", radius=radius
        )
    return found


def _halves(values: Array) -> Array:
    padded = np.pad(values, [(0, side % 2) for side in values.shape])
    rows, columns = padded.shape
    return padded.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))


def _doubled(coarse: Array, size: tuple[int, ...]) -> Array:
    found = coarse
    for axis, side in enumerate(size):
        places = np.clip((np.arange(side) + 0.5) * coarse.shape[axis] / side - 0.5, 0, coarse.shape[axis] - 1)
        known = np.arange(coarse.shape[axis])
        found = np.apply_along_axis(lambda line, at, of: np.interp(at, of, line), axis, found, places, known)
    return found


def _inpaint(image: Array, missing: npt.NDArray[np.bool_]) -> Array:
    def fill(values: Array, known: npt.NDArray[np.bool_]) -> Array:
        if max(values.shape) == 1 or known.all():
            return np.where(known, values, image.mean())
        share = _halves(known.astype(float))
        pooled = _halves(values * known) / np.where(share > 0, share, 1)
        return np.where(known, values, _doubled(fill(pooled, share > 0), values.shape))

    return fill(image, ~missing)


def _ranks_of_removal(values: Array, ties: Array) -> npt.NDArray[np.int64]:
    turns = np.empty(values.size, dtype=np.int64)
    turns[np.lexsort((-ties.ravel(), -values.ravel()))] = np.arange(values.size)
    return turns.reshape(values.shape)


def _elsewhere(turns: npt.NDArray[np.int64], drawn: Array) -> npt.NDArray[np.int64]:
    mirrored = np.pad(turns, [(0, 2 * side) for side in turns.shape], mode="symmetric")
    row, column = (int(one * 2 * side) for one, side in zip(drawn, turns.shape, strict=True))
    crop = mirrored[row : row + turns.shape[0], column : column + turns.shape[1]]
    return _ranks_of_removal(-crop, -np.arange(turns.size))


def _twin(model: nn.Module, inputs: Tensor, maps: Tensor, fills: list[Callable[..., Array]]) -> dict[str, float]:
    def score(image: Array) -> float:
        with torch.no_grad():
            return float(model(torch.as_tensor(image)[None, None])[0, 0])

    size, count = tuple(inputs.shape[2:]), inputs.shape[2] * inputs.shape[3]
    ties = torch.rand((len(inputs), count), generator=torch.Generator().manual_seed(0))
    drawn = torch.rand((len(inputs), 2), generator=torch.Generator().manual_seed(1))
    areas: dict[str, list[Array]] = {"removed": [], "shown": [], "random removed": [], "random shown": []}
    images = [image[0].numpy() for image in inputs]
    clean = np.array([score(image) for image in images])
    for fill in fills:
        gone = np.array([score(fill(image, np.ones(size, dtype=bool))) for image in images])
        spans = abs(clean - gone)
        found = {name: np.full(len(images), np.nan) for name in areas}
        for number, image in enumerate(images):
            if spans[number] < 0.1 * np.sort(spans)[(len(spans) - 1) // 2]:
                continue

            def left(
                missing: Any, fill: Any = fill, image: Any = image, ends: Any = (clean[number], gone[number])
            ) -> float:
                share = (score(fill(image, missing)) - ends[1]) / (ends[0] - ends[1])
                return min(1.0, max(0.0, share))

            quarter, most = count // 4, count - count // 4
            mine = _ranks_of_removal(maps[number].numpy(), -ties[number].numpy())
            found["removed"][number] = np.mean([left(mine < quarter), left(mine < most)])
            found["shown"][number] = np.mean([left(mine >= quarter), left(mine >= most)])
            other = _elsewhere(mine, drawn[number].numpy())
            # To show a quarter of what knows nothing is to remove three.
            found["random removed"][number] = np.mean([left(other < quarter), left(other < most)])
            found["random shown"][number] = np.mean([left(other < most), left(other < quarter)])
        for name, values in found.items():
            areas[name].append(values)
    mean = {name: np.nanmean(values, axis=0) for name, values in areas.items()}
    return {
        "deletion_gain": _gain(mean["removed"], mean["random removed"]),
        "insertion_gain": _gain(1 - mean["shown"], 1 - mean["random shown"]),
    }


def _gain(area: Array, random_area: Array) -> float:
    known = np.isfinite(area)
    difference, room = (random_area - area)[known].mean(), random_area[known].mean()
    return float(difference / room if difference >= 0 else difference / (1 - room))


@pytest.mark.parametrize("replacements", [["blurred"], ["inpainted"], ["inpainted", "blurred"]])
def test_the_gains_are_those_of_the_formula_written_again(replacements: list[str]) -> None:
    model, inputs = _network(), _inputs()
    known: dict[str, Callable[..., Array]] = {
        "blurred": lambda image, missing: np.where(missing, _blur(image), image),
        "inpainted": _inpaint,
    }
    maps = torch.rand(6, 8, 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    # Of other smoothness, with ties, and with one that has no order.
    maps[2] = maps[2].round(decimals=1)
    maps[3] = torch.nn.functional.avg_pool2d(maps[3:4], 5, 1, 2)[0]
    found = _tested(
        model, inputs, [Given("given", maps)], perturbation=Perturbation(replacements=replacements, n_noisy=0)
    )
    expected = _twin(model, inputs, maps, [known[name] for name in replacements])
    scores = found.methods["given"].scores()
    assert {name: scores[name] for name in expected} == pytest.approx(expected, abs=1e-9)


class Linear(nn.Module):
    """The sum of the pixels, weighted."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self, inputs: Tensor) -> Tensor:
        score = (inputs * self.weights).flatten(1).sum(dim=1, keepdim=True)
        return torch.cat([score, -score], dim=1)


def test_no_order_removes_more_from_a_linear_model_than_that_of_its_contributions() -> None:
    """Against all subsets of nine pixels, and by the number that is reported."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(1, 1, 3, 3, generator=generator, dtype=torch.float64)
    model = Linear(torch.rand(3, 3, generator=generator, dtype=torch.float64))
    settings = engine_settings("gradient", ModelReading(), Compute())

    def removal(removed: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
        mask = torch.zeros(1, 9, dtype=torch.bool)
        mask[:, list(removed)] = True
        return lambda places: mask[places]

    subsets = {count: list(combinations(range(9), count)) for count in (2, 7)}
    removals = [removal(one) for ones in subsets.values() for one in ones]
    scores, _ = run_removals(model, inputs, settings, 0, removals, ["blurred"])
    single, _ = run_removals(model, inputs, settings, 0, [removal((place,)) for place in range(9)], ["blurred"])
    # w·Δ: what each pixel contributes to the difference.
    contributions = (single.clean - single.removed[0])[:, 0].reshape(1, 3, 3)
    order = contributions.flatten().argsort(descending=True).tolist()
    begin = 0
    for count, ones in subsets.items():
        of_count = scores.removed[0, begin : begin + len(ones), 0]
        best = ones[int(of_count.argmin())]
        assert sorted(best) == sorted(order[:count])
        begin += len(ones)
    # The order of a map is by its magnitude, which has to be that of the contributions.
    ranked = contributions - contributions.min()
    shuffles = [ranked.flatten()[torch.randperm(9, generator=generator)].reshape(1, 3, 3) for _ in range(30)]
    methods = [Given("true", ranked), *(Given(f"shuffled_{number}", one) for number, one in enumerate(shuffles))]
    found = _tested(model, inputs, methods).methods
    # Each has a random order of its own: the evidence that is left does not depend on that.
    left = {name: float(one.evidence.removed.mean()) for name, one in found.items()}
    assert left["true"] == min(left.values())
    shown = {name: float(one.evidence.inserted.mean()) for name, one in found.items()}
    assert shown["true"] == max(shown.values())


def test_the_gain_is_1_where_the_first_share_holds_all_the_evidence() -> None:
    weights = torch.zeros(8, 8, dtype=torch.float64)
    weights[2:4, 5:7] = 1
    inputs = _inputs(12)
    methods = [Given("true", weights.expand(12, 8, 8)), Given("reversed", 1 - weights.expand(12, 8, 8))]
    found = _tested(Linear(weights), inputs, methods).methods
    assert found["true"].scores()["deletion_gain"] == pytest.approx(1)
    assert found["true"].scores()["insertion_gain"] == pytest.approx(1)
    # The four pixels are among those that are removed last.
    assert found["reversed"].scores()["deletion_gain"] < -0.5


@pytest.fixture(scope="module")
def digits() -> tuple[nn.Module, Tensor, Tensor]:
    """A small network for digits, and digits that it was not trained on."""
    pixels, labels = load_digits(return_X_y=True)
    images, truth = torch.tensor(pixels / 16, dtype=torch.float32).reshape(-1, 1, 8, 8), torch.tensor(labels)
    images = nn.functional.interpolate(images, size=16, mode="bilinear")
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1024, 10),
    )
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for rows in torch.randint(1500, (150, 64)):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images[rows]), truth[rows]).backward()
        optimizer.step()
    return network.eval(), images[1500:], truth[1500:]


def _field(cells: int | None, seed: int) -> Tensor:
    """Random maps ``[64, 16, 16]`` whose regions are about so many along a side; single positions for ``None``."""
    noise = torch.randn(64, 1, 48, 48, generator=torch.Generator().manual_seed(seed))
    smooth = noise if cells is None else gaussian_blur(noise, 16 / cells / 2.5)
    return smooth[:, 0, 16:32, 16:32] - smooth.min()


def test_random_maps_gain_nothing_however_smooth_they_are(digits: tuple[nn.Module, Tensor, Tensor]) -> None:
    """As many intervals as one of 95% allows leave 0 outside, and the mean of each kind is near 0.

    In-painted, where the length of edges matters: with maps moved around a torus, which break where opposite sides
    meet, 16% leave 0 outside, and maps of one region gain 0.1 in deletion and lose it in insertion.
    """
    model, images, labels = digits
    sizes = (1, 2, 4, 7, 14, None)
    gains: dict[int | None, list[Gain]] = {cells: [] for cells in sizes}
    for seed in range(16):
        rows = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:64]
        methods = [Given(str(cells), _field(cells, 100 * seed + place)) for place, cells in enumerate(sizes)]
        found = _tested(
            model,
            images[rows],
            methods,
            target=labels[rows],
            perturbation=Perturbation(replacements=["inpainted"], n_noisy=0),
            seed=seed,
        )
        for cells in sizes:
            gains[cells] += [found.methods[str(cells)].gains[name] for name in ("deletion_gain", "insertion_gain")]
    for cells, of_size in gains.items():
        # In-painting restores most of scattered pixels: where a random order leaves little room, gains vary.
        most = 0.06 if cells is not None and cells < 7 else 0.12
        # Deletion and insertion apart: what is missing from one is not made up for by the other.
        for half in (of_size[::2], of_size[1::2]):
            assert abs(math.fsum(gain.value for gain in half) / len(half)) < most
    every = [gain for of_size in gains.values() for gain in of_size]
    assert sum(not gain.lower <= 0 <= gain.upper for gain in every) <= 0.08 * len(every)


def test_a_map_that_knows_the_model_gains() -> None:
    weights = torch.rand(8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64).pow(6)
    found = _tested(Linear(weights), _inputs(64), ["gradient", "input_x_gradient"], perturbation=Perturbation())
    for method in found.methods.values():
        assert method.gains["deletion_gain"].lower > 0.1
        assert method.gains["insertion_gain"].value > 0.2


def test_a_method_that_fails_on_noisy_samples_has_gains_and_no_stability() -> None:
    model, inputs = _network(), _inputs()

    def explained(model: nn.Module, given: Tensor, target: Tensor, samples: Tensor) -> Tensor:
        if not torch.allclose(given.to(inputs), inputs[samples]):
            raise ValueError("noise")
        return given

    settings = engine_settings(
        ["gradient", ExternalMethod("picky", explained)], ModelReading(), Compute(), on_error="warn"
    )
    explanation = run_engine(model, inputs, settings, [0])
    trial = Trial(model, inputs, len(inputs), settings, 0, Perturbation(), ALONE, explanation)
    with pytest.warns(SaliencyWarning, match="picky"):
        found = trial.run().methods
    assert found["picky"].stability is None
    assert found["gradient"].stability is not None
    assert math.isfinite(found["picky"].scores()["deletion_gain"])


def test_the_stability_is_the_rank_correlation_of_scipy() -> None:
    model, inputs = _network(), _inputs()
    noisy = Perturbation(noise=0.1, n_noisy=2, replacements=["blurred"])
    found = _tested(model, inputs, ["gradient"], perturbation=noisy, seed=3).methods["gradient"].stability
    expected = []
    for seed in (3, 4):
        noise = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32).double()
        span = inputs.flatten(1).amax(dim=1) - inputs.flatten(1).amin(dim=1)
        both = []
        for fed in (inputs, inputs + 0.1 * span.reshape(-1, 1, 1, 1) * noise):
            leaf = fed.clone().requires_grad_()
            both.append(torch.autograd.grad(model(leaf)[:, 0].sum(), leaf)[0].abs().flatten(1).numpy())
        expected.append([float(stats.spearmanr(one, other).statistic) for one, other in zip(*both, strict=True)])
    assert found is not None
    assert found.tolist() == pytest.approx(np.mean(expected, axis=0), abs=1e-5)


def test_maps_without_an_order_and_broken_scores_are_counted() -> None:
    model, inputs = _network(), _inputs()
    maps = torch.rand(6, 8, 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    maps[1], maps[2, 0, 0], maps[3] = 0.7, torch.nan, 0
    found = _tested(model, inputs, [Given("given", maps)]).methods["given"]
    assert found.undefined == pytest.approx(0.5)
    assert found.gains["deletion_gain"].samples.isnan().tolist() == [False, True, True, True, False, False]
    nothing = _tested(model, inputs, [Given("given", torch.zeros_like(maps))]).methods["given"].scores()
    assert math.isnan(nothing["deletion_gain"])
    assert nothing["undefined"] == 1


def test_a_part_of_the_samples_and_few_rows_at_once_are_scored_as_all_are() -> None:
    model, inputs = _network(), _inputs()
    settings = engine_settings("gradient", ModelReading(), Compute())
    turns = torch.rand(6, 64, generator=torch.Generator().manual_seed(0)).argsort(dim=1)
    whole, names = run_removals(model, inputs, settings, 1, [lambda places: turns[places] < 20])
    assert names == ("inpainted", "blurred")
    part = replace(settings, samples=range(2, 5), internal_batch_size=2)
    found, _ = run_removals(model, inputs, part, 1, [lambda places: turns[2:5][places] < 20])
    for one, other in zip(whole, found, strict=True):
        torch.testing.assert_close(one[..., 2:5], other)


def test_probabilities_and_maps_of_another_resolution() -> None:
    network = nn.Sequential(
        *_network()[:2], nn.AvgPool2d(2), nn.Flatten(), nn.Linear(128, 3), nn.Softmax(dim=1)
    ).double()
    found = _tested(network, _inputs(12), ["grad_cam", "layer_cam"], target="predicted", perturbation=Perturbation())
    for method in found.methods.values():
        assert method.undefined < 0.5
        assert method.stability is not None
        assert all(-1 <= gain.value <= 1 for gain in method.gains.values())
