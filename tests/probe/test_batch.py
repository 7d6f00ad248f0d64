"""The frozen batch: copies, checks and what it is compared by."""

import numpy as np
import pytest
import torch

from saliency_callbacks.errors import ProbeError
from saliency_callbacks.probe import Probe, freeze


def images(n=4):
    return torch.arange(n * 3 * 5 * 6, dtype=torch.float32).reshape(n, 3, 5, 6)


def test_writing_into_the_original_does_not_reach_the_frozen_batch():
    inputs, labels = images(), torch.tensor([0, 1, 2, 3])
    masks = torch.zeros(4, 5, 6, dtype=torch.bool)
    batch = freeze(inputs, labels, masks=masks)
    inputs.zero_(), labels.zero_(), masks.fill_(value=True)
    assert torch.equal(batch.inputs, images())
    assert batch.labels.tolist() == [0, 1, 2, 3]
    assert not batch.masks.any()


def test_frozen_tensors_carry_no_graph_and_no_subclass():
    class Tagged(torch.Tensor):
        pass

    inputs = images().requires_grad_().mul(1).as_subclass(Tagged)
    batch = freeze((inputs, {"table": np.ones((4, 2))}))
    assert type(batch.inputs[0]) is torch.Tensor
    assert not batch.inputs[0].requires_grad
    assert isinstance(batch.inputs[1]["table"], torch.Tensor)


def test_a_batch_frozen_under_inference_mode_can_take_part_in_a_backward_pass():
    with torch.inference_mode():
        batch = freeze(images() + 1, torch.arange(4), masks=torch.zeros(4, 5, 6))
    assert not any(each.is_inference() for each in (batch.inputs, batch.labels, batch.masks))
    inputs = batch.inputs.requires_grad_()
    (gradient,) = torch.autograd.grad((inputs**2).sum(), inputs)
    assert torch.equal(gradient, 2 * inputs)


def test_structure_is_kept_and_lists_become_tuples():
    batch = freeze({"image": images(), "extra": [torch.ones(4), torch.tensor(3.0), "fixed"]})
    assert set(batch.inputs) == {"image", "extra"}
    assert isinstance(batch.inputs["extra"], tuple)
    assert batch.size == 4


@pytest.mark.parametrize(
    ("ids", "indices", "expected"),
    [
        (None, None, ("0", "1", "2", "3")),
        (None, [9, 4, 7, 1], ("9", "4", "7", "1")),
        (["a", "b", "c", 5], [9, 4, 7, 1], ("a", "b", "c", "5")),
    ],
)
def test_default_ids_are_indices(ids, indices, expected):
    assert freeze(images(), ids=ids, indices=indices).ids == expected


def test_metadata_becomes_plain_tuples():
    batch = freeze(images(), class_names=["cat", "dog"], normalization=([0.5], torch.tensor([0.25])))
    assert batch.class_names == ("cat", "dog")
    assert batch.normalization == ((0.5,), (0.25,))


@pytest.mark.parametrize(
    ("inputs", "known"),
    [
        (torch.rand(4, 1, 5, 6), False),
        (torch.rand(4, 4, 5, 6), False),
        (torch.rand(4, 3, 5, 6), True),
        ((torch.rand(4, 1, 5, 6), torch.rand(4, 2)), True),
    ],
)
def test_a_normalization_of_other_channels_is_left_out(inputs, known):
    assert (freeze(inputs, normalization=((0.1, 0.2, 0.3), (1, 1, 1))).normalization is not None) == known
    assert freeze(inputs, normalization=((0.5,), (1,))).normalization == ((0.5,), (1.0,))


def test_integers_stay_integers():
    assert freeze(torch.zeros(4, 3, 5, 6, dtype=torch.uint8)).inputs.dtype == torch.uint8


def test_masks_become_bool_or_stay_shares():
    assert freeze(images(), masks=torch.full((4, 5, 6), 255, dtype=torch.uint8)).masks.dtype == torch.bool
    shares = torch.rand(4, 5, 6)
    assert torch.equal(freeze(images(), masks=shares).masks, shares)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": [0, 1, 2]}, r"labels are list of 3.* for 3 samples.* 4 rows"),
        ({"labels": torch.rand(4)}, r"labels are Tensor\[4\] float32; expected integers \[4\]"),
        ({"ids": ["a"]}, "1 names.* 4 rows"),
        ({"ids": []}, "0 names.* 4 rows"),
        ({"ids": "abcd"}, "string 'abcd'"),
        ({"indices": [1, 2, 3]}, "3 samples were read.* 4 rows"),
        ({"masks": torch.zeros(3, 5, 6)}, r"\[3, 5, 6\].*\[4, 3, 5, 6\].*expected masks \[4, 5, 6\]"),
        ({"masks": torch.zeros(4, 6, 5)}, r"\[4, 6, 5\].*\[4, 3, 5, 6\].*\[4, 5, 6\]"),
        ({"masks": torch.zeros(4, 1, 5, 6)}, r"squeeze\(1\)"),
        ({"masks": torch.full((4, 5, 6), 1.5)}, r"from 1.5 to 1.5"),
        ({"masks": "box"}, "masks are str"),
        ({"groups": ["land"]}, "1 names.* 4 rows"),
        ({"groups": "land"}, "groups are 'land'; expected a list of 4 names"),
        ({"groups": 4}, "groups are int; expected a list of 4 names"),
        ({"groups": dict.fromkeys(range(4))}, "groups are dict"),
        ({"normalization": ((0.5, 0.5), (1.0,))}, "2 means and 1 standard deviation;"),
    ],
)
def test_parts_that_do_not_fit_are_named_with_their_shapes(arguments, message):
    with pytest.raises(ProbeError, match=message):
        freeze(images(), **arguments)


def test_masks_of_structured_inputs_have_one_row_a_sample():
    with pytest.raises(ProbeError, match=r"masks are Tensor\[3, 5, 6\].* 4 rows"):
        freeze((images(), torch.ones(4)), masks=torch.zeros(3, 5, 6))


@pytest.mark.parametrize("groups", [["7", "8", "7", "8"], [7, 8, 7, 8], torch.tensor([7, 8, 7, 8]), iter("7878")])
def test_groups_become_names(groups):
    assert freeze(images(), groups=groups).groups == ("7", "8", "7", "8")
    assert freeze(images()).groups is None


def test_masks_and_groups_are_not_what_a_probe_is_recognized_by():
    plain = freeze(images(), [0, 1, 2, 3])
    more = freeze(images(), [0, 1, 2, 3], masks=torch.ones(4, 5, 6), groups=["a"] * 4)
    assert more.fingerprint == plain.fingerprint


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((images(4), torch.ones(3)), r"different numbers of rows: tuple of 2 \(Tensor\[4, 3, 5, 6\].*Tensor\[3\]"),
        (images(0), "empty"),
        ("path.png", "inputs are str"),
        ((torch.tensor(1.0),), "one tensor with a row per sample"),
        ({"image": images(), "meta": object()}, "contain object.*unpack_batch"),
    ],
)
def test_inputs_that_are_no_batch_are_described(inputs, message):
    with pytest.raises(ProbeError, match=message):
        freeze(inputs)


def test_several_labels_of_a_sample_are_carried_apart():
    rows = torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 1], [0, 0, 1]])
    batch = freeze(images(), rows)
    assert batch.labels is None
    assert batch.multi_labels.dtype == torch.bool
    assert torch.equal(batch.multi_labels.float(), rows)
    assert freeze(images(), torch.eye(4)).multi_labels is None
    assert batch.fingerprint not in {freeze(images()).fingerprint, freeze(images(), 1 - rows).fingerprint}
    fixed = Probe.from_tensors(images(), rows)
    assert fixed.unpack(fixed.read()[0])[1] is None
    assert torch.equal(fixed.freeze(fixed.read()[0]).multi_labels, batch.multi_labels)
    assert torch.equal(Probe().freeze((images(), rows)).multi_labels, batch.multi_labels)
