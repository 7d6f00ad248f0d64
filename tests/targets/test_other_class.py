"""Another class than the explained one, the same at every call."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saliency_callbacks.targets.other_class import OtherClass


def scores(n_samples, n_classes):
    """A score that names its sample and class."""
    return torch.arange(n_samples)[:, None] * 1000.0 + torch.arange(n_classes)


def chosen(target, n_samples, n_classes):
    found = target(scores(n_samples, n_classes), torch.arange(n_samples))
    return (found - torch.arange(n_samples) * 1000).long()


@given(st.integers(2, 12), st.integers(0, 5), st.integers(0, 2**62))
def test_it_is_never_the_explained_class(n_classes, offset, seed):
    classes = (torch.arange(20) + offset) % n_classes
    others = chosen(OtherClass(classes, seed), 20, n_classes)
    assert ((others >= 0) & (others < n_classes)).all()
    assert (others != classes).all()


def test_of_two_classes_it_is_the_other():
    classes = torch.tensor([0, 1, 1, 0])
    assert torch.equal(chosen(OtherClass(classes), 4, 2), 1 - classes)


def test_every_other_class_is_as_likely():
    counts = chosen(OtherClass(torch.full((9000,), 3)), 9000, 10).bincount(minlength=10)
    assert counts[3] == 0
    assert (counts[torch.arange(10) != 3] - 1000).abs().max() < 150


def test_the_same_at_every_call_and_in_any_chunk():
    target = OtherClass(torch.arange(9) % 5, seed=4)
    output = scores(9, 5)
    whole = target(output, torch.arange(9))
    torch.rand(3)
    assert torch.equal(target(output, torch.arange(9)), whole)
    samples = torch.tensor([7, 2, 2, 5])
    assert torch.equal(target(output[samples], samples), whole[samples])


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    chosen(OtherClass(torch.zeros(4, dtype=torch.long)), 4, 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_seeds_differ():
    classes = torch.zeros(50, dtype=torch.long)
    assert not torch.equal(chosen(OtherClass(classes, 0), 50, 10), chosen(OtherClass(classes, 1), 50, 10))


@pytest.mark.parametrize("label", [0, 1])
def test_a_single_score_has_no_other(label):
    assert chosen(OtherClass(torch.full((3,), label)), 3, 1).tolist() == [0, 0, 0]


def test_the_score_keeps_its_graph():
    output = scores(3, 4).requires_grad_()
    OtherClass(torch.zeros(3, dtype=torch.long))(output, torch.arange(3)).sum().backward()
    assert (output.grad.sum(dim=1) == 1).all()
    assert (output.grad[:, 0] == 0).all()
