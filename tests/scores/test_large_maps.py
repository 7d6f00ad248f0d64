"""Scores of maps of very many positions, which are taken at some of them."""

import math

import pytest
import torch
from scipy.stats import rankdata, spearmanr

from saliency_callbacks.functional.concentration import entropy, gini
from saliency_callbacks.scores import concentration, drift, ranks
from saliency_callbacks.scores.drift import MOST_RANKED, ranks_of_most
from saliency_callbacks.types import Attribution


def _attribution(values: torch.Tensor, counted: torch.Tensor | None = None) -> Attribution:
    magnitude = values.abs().amax(dim=1)
    nothing = torch.zeros(len(values))
    return Attribution("m", values, magnitude, magnitude, nothing.long(), nothing, counted=counted)


def _noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("mix", [0.0, 0.3, 1.0])
def test_drift_of_large_maps_is_that_of_all_their_positions(mix):
    before = _noise(8, 3, 300, 400)
    now = (1 - mix) * before + mix * _noise(8, 3, 300, 400, seed=1)
    found = drift(ranks(_attribution(now)), ranks(_attribution(before)))
    expected = [
        1 - spearmanr(one.sum(0).flatten(), other.sum(0).flatten())[0]
        for one, other in zip(now.numpy(), before.numpy(), strict=True)
    ]
    # Five standard errors of a correlation of 7056 pairs.
    torch.testing.assert_close(found, torch.tensor(expected).float(), rtol=0, atol=5 / math.sqrt(MOST_RANKED))


def test_up_to_84_by_84_every_position_is_ranked():
    values = _noise(2, 3, 84, 84)
    assert ranks(_attribution(values)).sort(dim=1).values[0].tolist() == list(range(1, MOST_RANKED + 1))
    assert ranks(_attribution(_noise(2, 1, 85, 84))).shape == (2, MOST_RANKED)


def test_a_value_that_is_not_finite_counts_wherever_it_is():
    values = _noise(3, 1, 200, 200)
    for place in range(2, 50):
        values[1, 0, 0, place] = torch.inf
    found = ranks(_attribution(values))
    assert found.isnan().all(dim=1).tolist() == [False, True, False]


def test_padding_need_not_be_finite():
    values, counted = _noise(1, 1, 20_000), torch.ones(1, 20_000, dtype=torch.bool)
    values[..., 10_000:], counted[..., 10_000:] = torch.nan, False
    assert not ranks(_attribution(values, counted)).isnan().any()


def test_ranks_of_all_positions_become_those_of_the_chosen_ones():
    """As of a checkpoint that was written when all were kept."""
    values = _noise(2, 1, 150, 150).round(decimals=1)
    order = [torch.from_numpy(rankdata(one)) for one in values.flatten(1).numpy()]
    assert torch.equal(ranks_of_most(torch.stack(order).float()), ranks(_attribution(values)))


@pytest.mark.parametrize("power", [1, 2, 4])
def test_concentration_of_large_maps_is_that_of_all_their_positions(power):
    values = _noise(4, 1, 400, 500) ** power
    found = concentration(_attribution(values))
    magnitude = values[:, 0].abs()
    torch.testing.assert_close(found["entropy"], entropy(magnitude), rtol=0, atol=0.005)
    torch.testing.assert_close(found["gini"], gini(magnitude), rtol=0, atol=0.005)


def test_a_sparse_map_is_looked_at_whole():
    values = torch.zeros(3, 1, 400, 500)
    values[0, 0, 7, 11] = 2.0
    values[1, 0, 3, :4] = 1.0
    found = concentration(_attribution(values))
    assert found["entropy"][:2].tolist() == pytest.approx([0.0, math.log(4) / math.log(200_000)])
    assert found["gini"][:2].tolist() == pytest.approx([1 - 1 / 200_000, 1 - 4 / 200_000])
    assert found["entropy"].isnan().tolist() == found["gini"].isnan().tolist() == [False, False, True]


def test_up_to_256_by_256_every_position_counts():
    values = _noise(2, 1, 256, 256)
    found = concentration(_attribution(values))
    assert torch.equal(found["entropy"], entropy(values[:, 0].abs()))
    assert torch.equal(found["gini"], gini(values[:, 0].abs()))
