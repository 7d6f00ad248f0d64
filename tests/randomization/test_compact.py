"""Maps that are kept in 16 bits compare as those that are not."""

from __future__ import annotations

import pytest
import torch

from saliency_callbacks.functional.ranks import unit_ranks
from saliency_callbacks.randomization.compact import compacted
from saliency_callbacks.scores.similarities import SIMILARITIES

CPU = torch.device("cpu")


def kept(name, values):
    similarity = SIMILARITIES[name]
    found = compacted({name: {"gradient": values}}, [similarity])
    return found, found.restored(CPU)[name]["gradient"]


@pytest.mark.parametrize("n_positions", [4, 49, 64, 3000, 50_176])
def test_correlations_of_ranks_change_by_little(n_positions):
    generator = torch.Generator().manual_seed(0)
    one, noise = torch.randn(2, 20, n_positions, generator=generator)
    a, b = unit_ranks(one), unit_ranks(one + noise)
    compare = SIMILARITIES["spearman"].compare
    found, restored = kept("spearman", b)
    difference = compare(a, restored) - compare(a, b)
    assert difference.abs().max() < (1e-6 if n_positions >= 3000 else 1e-4)
    compared = found.compared({"spearman": {"gradient": a}}, [SIMILARITIES["spearman"]])["spearman", "gradient"]
    torch.testing.assert_close(compared, compare(a, restored), rtol=0, atol=1e-6)


def test_ranks_with_many_ties():
    a = unit_ranks(torch.randn(4, 900, generator=torch.Generator().manual_seed(0)).relu())
    torch.testing.assert_close(kept("abs_spearman", a)[1], a, rtol=0, atol=1e-5)


def test_a_map_that_compares_with_none_still_does():
    ranks = unit_ranks(torch.tensor([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0], [1.0, torch.inf, 0.0]]))
    found, restored = kept("spearman", ranks)
    assert restored.isnan().any(dim=1).tolist() == [False, True, True]
    compared = found.compared({"spearman": {"gradient": ranks}}, [SIMILARITIES["spearman"]])["spearman", "gradient"]
    assert compared.isnan().tolist() == [False, True, True]


def test_they_take_half_the_memory():
    ranks = unit_ranks(torch.randn(4, 1000, generator=torch.Generator().manual_seed(0)))
    assert kept("spearman", ranks)[0].n_bytes == ranks.nbytes // 2 + 4 * 4


@pytest.mark.parametrize("name", ["ssim", "hog", "cosine", "top_k"])
def test_what_is_no_rank_is_kept_to_the_bit(name):
    values = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(0))
    found, restored = kept(name, values)
    assert torch.equal(restored, values)
    compared = found.compared({name: {"gradient": values.flip(0)}}, [SIMILARITIES[name]])[name, "gradient"]
    expected = SIMILARITIES[name].compare(values, values.flip(0))
    torch.testing.assert_close(compared, expected, rtol=0, atol=0, equal_nan=True)
    assert found.n_bytes == values.nbytes


def test_only_similarities_of_ranks_are_rounded():
    assert [name for name, one in SIMILARITIES.items() if one.is_of_ranks] == ["spearman", "abs_spearman"]
