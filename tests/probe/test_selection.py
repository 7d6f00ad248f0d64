"""The choice is balanced, deterministic, sparing, and leaves global random state alone."""

import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saliency_callbacks.errors import ProbeError, SaliencyWarning
from saliency_callbacks.probe import stratified
from saliency_callbacks.probe.reading import read_items
from saliency_callbacks.probe.selection import check_range, random_sample, select_indices


class Counting:
    """Counts what is read of it; its items are ``(index, label)``."""

    def __init__(self, labels):
        self.items = labels
        self.read = []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.read.append(index)
        return index, self.items[index]


def label_of(item):
    return item[1]


LABELS = st.lists(st.integers(-1, 6), min_size=1, max_size=60)


@given(labels=LABELS, size=st.integers(1, 70), seed=st.integers(0, 2**31))
def test_stratified_is_as_balanced_as_the_classes_allow(labels, size, seed):
    chosen = stratified(labels, size, seed)
    assert len(set(chosen)) == len(chosen) == min(size, len(labels))
    available, counts = Counter(labels), Counter(labels[index] for index in chosen)
    most = max(counts.values())
    for label, total in available.items():
        assert counts[label] >= most - 1 or counts[label] == total


@given(labels=LABELS, size=st.integers(1, 70), seed=st.integers(0, 2**31))
def test_stratified_takes_classes_in_turn(labels, size, seed):
    chosen = stratified(labels, size, seed)
    turns = Counter()
    order = []
    for index in chosen:
        order.append((turns[labels[index]], labels[index]))
        turns[labels[index]] += 1
    assert order == sorted(order)
    for label in set(labels):
        mine = [index for index in chosen if labels[index] == label]
        assert mine == sorted(mine)


@given(labels=LABELS, size=st.integers(1, 20), seed=st.integers(0, 2**31))
def test_the_same_seed_makes_the_same_choice(labels, size, seed):
    torch.manual_seed(size)
    first = stratified(labels, size, seed), random_sample(len(labels), min(size, len(labels)), seed)
    torch.manual_seed(size + 1)
    second = stratified(torch.tensor(labels), size, seed), random_sample(len(labels), min(size, len(labels)), seed)
    assert first == second


def test_other_seeds_make_other_choices():
    labels = [index % 10 for index in range(1000)]
    assert len({stratified(labels, 16, seed) for seed in range(20)}) == 20
    assert len({random_sample(1000, 16, seed) for seed in range(20)}) == 20


def test_which_classes_give_one_more_is_drawn():
    labels = [index % 5 for index in range(100)]
    extra = {
        max(Counter(labels[i] for i in stratified(labels, 6, seed)).items(), key=lambda c: c[1])[0]
        for seed in range(50)
    }
    assert extra == {0, 1, 2, 3, 4}


def test_every_item_of_a_class_can_be_chosen():
    labels = [0] * 5 + [1] * 5
    assert {index for seed in range(100) for index in stratified(labels, 2, seed)} == set(range(10))


@given(length=st.integers(1, 400), data=st.data(), seed=st.integers(0, 2**31))
def test_a_random_sample_is_distinct_and_in_range(length, data, seed):
    size = data.draw(st.integers(0, length))
    chosen = random_sample(length, size, seed)
    assert len(set(chosen)) == len(chosen) == size
    assert all(0 <= index < length for index in chosen)


def test_a_random_sample_is_uniform_in_both_regimes():
    for length in (10, 40):
        counts = Counter(index for seed in range(2000) for index in random_sample(length, 4, seed))
        assert set(counts) == set(range(length))
        expected = 2000 * 4 / length
        assert all(abs(count - expected) < 5 * expected**0.5 for count in counts.values())


def test_a_random_sample_of_a_very_long_dataset_needs_no_permutation():
    assert len(random_sample(10**15, 64, 0)) == 64


def choose(dataset, size, *, stratify=True, seed=0):
    return select_indices(dataset, size, stratify=stratify, seed=seed, read_label=label_of)


def test_no_item_is_read_where_an_attribute_holds_the_labels():
    dataset = Counting(list(range(4)) * 50)
    dataset.targets = dataset.items
    chosen = choose(dataset, 8)
    assert dataset.read == []
    assert Counter(dataset.items[index] for index in chosen) == dict.fromkeys(range(4), 2)


def test_labels_that_only_items_hold_are_scanned_at_a_bounded_number_of_positions():
    dataset = Counting(list(range(4)) * 500)
    chosen = choose(dataset, 8)
    assert len(dataset.read) == len(set(dataset.read)) == 16 * 8
    assert set(chosen) <= set(dataset.read)
    assert Counter(dataset.items[index] for index in chosen) == dict.fromkeys(range(4), 2)
    assert choose(Counting(dataset.items), 8) == chosen


def test_a_dataset_without_labels_is_read_once():
    dataset = Counting([None] * 500)
    chosen = choose(dataset, 8)
    assert len(dataset.read) == 1
    assert len(set(chosen)) == 8


def test_without_stratification_nothing_is_read():
    dataset = Counting(list(range(4)) * 50)
    assert choose(dataset, 8, stratify=False) == random_sample(200, 8, 0)
    assert dataset.read == []


def test_global_random_state_is_left_alone():
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002

    def state():
        return random.getstate(), torch.get_rng_state().numpy().tobytes(), np.random.get_state()[1].tobytes()  # noqa: NPY002

    before = state()
    for stratify in (True, False):
        choose(Counting(list(range(4)) * 50), 8, stratify=stratify)
    assert state() == before


def test_a_small_dataset_is_taken_as_a_whole_with_a_warning():
    with pytest.warns(SaliencyWarning, match="3 samples instead of 8"):
        assert choose(Counting([1, 0, 1]), 8) == (0, 1, 2)


def test_an_exact_fit_does_not_warn(recwarn):
    assert choose(Counting([1, 0, 1]), 3) == (0, 1, 2)
    assert not recwarn.list


def test_an_empty_dataset_is_an_error():
    with pytest.raises(ProbeError, match=r"empty.*from_tensors"):
        choose(Counting([]), 8)


@pytest.mark.parametrize("indices", [[0, 5], [-1]])
def test_indices_out_of_range_are_named(indices):
    check_range([0, 4], 5)
    with pytest.raises(ProbeError, match=rf"\[{indices[-1]}\].* 5 items.*0 to 4"):
        check_range(indices, 5)


def test_scanning_for_labels_does_not_change_what_random_transforms_draw():
    class Noisy(torch.utils.data.Dataset):
        def __len__(self):
            return 12

        def __getitem__(self, index):
            return index % 3 + torch.rand(2), index % 3

    def read(**changes):
        torch.manual_seed(0)
        return read_items(Noisy(), 4, indices=None, stratify=True, seed=0, read_label=lambda item: item[1], **changes)

    items, chosen = read()
    again, _ = read(saved=chosen)
    assert all(torch.equal(one[0], other[0]) for one, other in zip(items, again, strict=True))
