"""How samples are split and drawn: by the seed and their order alone."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import fisher_exact

from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.discovery.shares import share, skew_of


def _samples(labels: torch.Tensor, seed: int = 0) -> Samples:
    return Samples(torch.zeros(len(labels), 1, 2, 2), labels, range(len(labels)), seed=seed)


@pytest.mark.parametrize("sizes", [(96, 96, 96), (6, 100, 7), (1, 2, 3)])
def test_a_third_of_each_class_proposes(sizes: tuple[int, ...]) -> None:
    labels = torch.cat([torch.full((size,), 2 * index) for index, size in enumerate(sizes)])
    samples = _samples(labels[torch.randperm(len(labels))])
    assert samples.classes == (0, 2, 4)
    for index, size in zip(samples.classes, sizes, strict=True):
        proposing = samples.of_class(index, samples.proposes)
        assert len(proposing) == max(1, round(size / 3))
        assert len(proposing) + len(samples.of_class(index, samples.counts)) == size
    assert torch.equal(samples.counts, ~samples.proposes)


def test_the_seed_decides_the_split_and_names_of_classes_do_not() -> None:
    labels = torch.arange(60) % 3
    assert torch.equal(_samples(labels).proposes, _samples(labels).proposes)
    assert torch.equal(_samples(labels).proposes, _samples(labels * 4 + 1).proposes)
    assert not torch.equal(_samples(labels).proposes, _samples(labels, seed=1).proposes)


def test_another_order_of_classes_is_another_split_of_the_same_sizes() -> None:
    labels = torch.arange(60) % 3
    samples, reverse = _samples(labels), _samples(labels.flip(0))
    assert int(samples.proposes.sum()) == int(reverse.proposes.sum()) == 21


def test_draws_leave_the_global_generator_alone_and_take_any_seed() -> None:
    state = torch.get_rng_state()
    for seed in (0, 2**32, 2**62, 2**64 - 1):
        samples = _samples(torch.arange(12) % 2, seed)
        positions = torch.arange(5, 12)
        drawn = samples.chosen(positions, 4, "others")
        assert len({*drawn.tolist()}) == 4
        assert {*drawn.tolist()} <= {*positions.tolist()}
        assert torch.equal(drawn, samples.chosen(positions, 4, "others"))
        assert {*samples.chosen(positions, 99, "others").tolist()} == {*positions.tolist()}
        assert int(samples.proposes.sum()) == 4
    assert torch.equal(torch.get_rng_state(), state)


def test_names_of_classes() -> None:
    labels = torch.tensor([0, 1, 7])
    assert Samples(labels, labels, range(3), ["cat", "dog"]).name_of(1) == "dog"
    assert Samples(labels, labels, range(3), ["cat", "dog"]).name_of(7) == "7"
    assert Samples(labels, labels, range(3)).name_of(0) == "0"


def test_shares_are_counted_on_samples_that_count() -> None:
    labels = torch.arange(90) % 3
    samples = _samples(labels)
    bears = samples.proposes.clone()
    assert skew_of(bears, bears, samples, 0) == (0, 1)
    own = samples.of_class(1, samples.counts)
    bears[own[:10]] = True
    may_bear = bears.clone()
    other = samples.of_class(2, samples.counts)
    may_bear[other[:3]] = True
    skew, p_value = skew_of(bears, may_bear, samples, 1)
    assert skew == pytest.approx(10 / 20 - 3 / 20)
    # The test is of copies alone: C(30, 10) of the C(40, 10) ways would leave class 1 without any.
    assert p_value == pytest.approx(2.1796e-4, rel=1e-3)
    assert share(bears, own) == 0.5


def test_the_least_different_class_decides() -> None:
    labels = torch.arange(90) % 3
    samples = _samples(labels)
    bears = (labels == 1) & samples.counts
    assert skew_of(bears, bears, samples, 1)[1] < 1e-9
    bears[samples.of_class(2, samples.counts)] = True
    assert skew_of(bears, bears, samples, 1) == (0, 1)


@pytest.mark.parametrize("sizes", [(6, 60, 60), (60, 7, 6, 8, 9), (12, 12, 12)])
def test_a_class_of_few_samples_does_not_hide_what_is_in_another(sizes: tuple[int, ...]) -> None:
    labels = torch.cat([torch.full((size,), index + 1) for index, size in enumerate(sizes)] + [torch.zeros(60)]).long()
    samples = _samples(labels)
    bears = (labels == 0) & (torch.arange(len(labels)) % 2 == 0)
    _, p_value = skew_of(bears, bears, samples, 0)
    assert p_value < 0.002
    bears |= labels == 1
    skew, p_value = skew_of(bears, bears, samples, 0)
    assert skew < 0, "its share counts all the same"


def test_large_classes_are_tested_one_by_one() -> None:
    labels = torch.arange(96) % 4
    samples = _samples(labels)
    bears = (labels == 0) | ((labels == 1) & (torch.arange(96) < 48))
    table = [bears[samples.of_class(index, samples.counts)] for index in (0, 1)]
    expected = fisher_exact([[int(rows.sum()), int((~rows).sum())] for rows in table], alternative="greater").pvalue
    assert skew_of(bears, bears, samples, 0)[1] == pytest.approx(float(expected))
