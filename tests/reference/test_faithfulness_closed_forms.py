"""Curves of linear models, whose evidence is a sum that can be written down, and intervals against the bootstrap."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import stats
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from saliency_callbacks import Compute, ModelReading, Perturbation
from saliency_callbacks.callbacks.faithfulness.trial import Trial
from saliency_callbacks.callbacks.runtime.ranks import ALONE
from saliency_callbacks.callbacks.runtime.settings import engine_settings
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.functional.faithfulness.gains import gain_over_random
from saliency_callbacks.scores.faithfulness import FaithfulnessResult
from tests import texts

_SHARES = (0.2, 0.4, 0.6, 0.8)
_WORDS = 10
_MASK = 29


class BagOfWords(nn.Module):
    """The sum of what each word is worth."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(32, 5, padding_idx=0)
        self.head = nn.Linear(5, 1, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        worth: Tensor = self.head(self.embedding(ids)).sum(dim=1)
        return torch.cat([worth, -worth], dim=1)


def _texts() -> Tensor:
    """Ten words each, none of them twice, between padding."""
    generator = torch.Generator().manual_seed(0)
    words = torch.stack([4 + torch.randperm(25, generator=generator)[:_WORDS] for _ in range(8)])
    return nn.functional.pad(words, (1, 2))


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    bag = BagOfWords().double().eval()
    with torch.no_grad():
        # Every word is worth more than the mask, so that no share of the evidence is cut off.
        bag.head.weight.abs_()
        bag.embedding.weight.abs_()
        bag.embedding.weight[[0, _MASK]] = 0
    return bag


def _tested(model: nn.Module, ids: Tensor, target: Any = 0) -> FaithfulnessResult:
    settings = engine_settings(
        "input_x_gradient", ModelReading(embedding="auto"), Compute(), target_layers="auto", tokenizer=texts.tokenizer()
    )
    explanation = run_engine(model, ids, settings, [target])
    perturbation = Perturbation(shares=_SHARES, n_noisy=0)
    return Trial(model, ids, len(ids), settings, target, perturbation, ALONE, explanation).run()


@pytest.mark.parametrize("target", [0, 1], ids=["rises", "falls"])
def test_words_that_a_token_replaces_take_their_worth_with_them(model: nn.Module, target: int) -> None:
    """The map is the worth of each word, so its order is that of the worths: nothing removes more."""
    ids = _texts()
    found = _tested(model, ids, target).methods["input_x_gradient"]
    assert found.replacements == ("mask_token",)
    with torch.no_grad():
        worth = (model.head(model.embedding(ids)))[:, 1:-2, 0].numpy()  # type: ignore[operator, union-attr]
    ranked = -np.sort(-worth, axis=1)
    gone = np.cumsum(ranked, axis=1)[:, [1, 3, 5, 7]].T / worth.sum(axis=1)
    np.testing.assert_allclose(found.evidence.removed[0].numpy(), 1 - gone, atol=1e-9)
    np.testing.assert_allclose(found.evidence.inserted[0].numpy(), gone, atol=1e-9)
    # Somewhere else: the turns are moved along the words, as far as is drawn for each text.
    possible = np.stack([_moved(worth, offset) for offset in range(1, _WORDS)])
    is_one = np.isclose(possible, found.by_chance.removed[0].numpy(), atol=1e-9).all(axis=1)
    assert is_one.any(axis=0).all()


def _moved(worth: npt.NDArray[np.float64], offset: int) -> npt.NDArray[np.float64]:
    """Return the evidence that is left ``[shares, texts]`` where the order is moved along the words."""
    turns = np.roll((-worth).argsort(axis=1).argsort(axis=1), -offset, axis=1)
    left = [(worth * (turns >= round(_WORDS * share))).sum(axis=1) for share in _SHARES]
    moved: npt.NDArray[np.float64] = np.stack(left) / worth.sum(axis=1)
    return moved


class Weighted(nn.Module):
    """The sum of the pixels, weighted."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self, images: Tensor) -> Tensor:
        return (images * self.weights).flatten(1).sum(dim=1, keepdim=True)


def test_the_curve_of_a_linear_model_is_a_sum_of_contributions() -> None:
    """Of pixels that another picture replaces: what is left is 1 less the share of w·Δ that was removed."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(6, 1, 10, 10, generator=generator, dtype=torch.float64)
    network = Weighted(torch.randn(10, 10, generator=generator, dtype=torch.float64)).eval()
    settings = engine_settings("gradient", ModelReading(), Compute())
    order = network.weights.detach().abs().flatten().argsort(descending=True)
    explanation = run_engine(network, images, settings, [0])
    perturbation = Perturbation(shares=_SHARES, replacements=["blurred"], n_noisy=0)
    found = Trial(network, images, 6, settings, 0, perturbation, ALONE, explanation).run().methods["gradient"]
    others = np.stack([gaussian_filter(image[0].numpy(), 1.0, mode="nearest", radius=3) for image in images])
    worth = network.weights.detach().numpy() * (images[:, 0].numpy() - others)
    ranked = worth.reshape(6, -1)[:, order.numpy()]
    gone = ranked.cumsum(axis=1)[:, [19, 39, 59, 79]].T / ranked.sum(axis=1)
    left, shown = (1 - gone).clip(0, 1), gone.clip(0, 1)
    is_known = found.evidence.removed[0].isfinite().numpy()
    assert is_known.sum() > len(_SHARES) * 3
    np.testing.assert_allclose(found.evidence.removed[0].numpy()[is_known], left[is_known], atol=1e-6)
    np.testing.assert_allclose(found.evidence.inserted[0].numpy()[is_known], shown[is_known], atol=1e-6)


@pytest.mark.parametrize("gain", [0.0, 0.4])
def test_the_interval_is_nearly_that_of_the_bootstrap(gain: float) -> None:
    """Of the whole gain, denominator included, which the interval takes for known."""
    draws = np.random.default_rng(0)
    random_areas = draws.uniform(0.2, 0.8, 64)
    areas = (random_areas * (1 - gain) + draws.normal(0, 0.1, 64)).clip(0, 1)

    def whole(mine: npt.NDArray[np.float64], random: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
        differences, room = (random - mine).mean(axis=axis), random.mean(axis=axis)
        return np.where(differences >= 0, differences / room, differences / (1 - room))

    both = (areas, random_areas)
    drawn = stats.bootstrap(both, whole, paired=True, vectorized=True, n_resamples=4000, rng=draws)
    found = gain_over_random(torch.tensor(areas), torch.tensor(random_areas), low_is_good=True)
    assert (found.lower, found.upper) == pytest.approx(tuple(drawn.confidence_interval), abs=0.02)
