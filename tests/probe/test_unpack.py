"""What DataLoaders deliver, and what is said about what cannot be read."""

from collections import UserDict, namedtuple

import numpy as np
import pytest
import torch

from saliency_callbacks.config.batch_names import IMAGE_KEYS, INPUT_KEYS, LABEL_KEYS
from saliency_callbacks.errors import ConfigurationError, ProbeError
from saliency_callbacks.probe import Probe, unpack_batch
from saliency_callbacks.probe.unpack import split_batch, split_with

X = torch.rand(3, 1, 4, 4)
TABLE = torch.rand(3, 2)
Y = torch.tensor([2, 0, 1])
MASKS = torch.eye(4).bool().expand(3, 4, 4)
Pair = namedtuple("Pair", "image label")


@pytest.mark.parametrize("batch", [(X, Y), [X, Y], (X, Y, "rest", TABLE), Pair(X, Y), (X, Y[:, None])])
def test_pairs(batch):
    inputs, labels = unpack_batch(batch)
    assert inputs is X
    assert labels.tolist() == [2, 0, 1]


@pytest.mark.parametrize("batch", [X, (X,), [X], (X, TABLE), (X, torch.rand(3)), (X, X), (X, ["a", "b", "c"])])
def test_no_labels(batch):
    inputs, labels = unpack_batch(batch)
    assert inputs is X
    assert labels is None


@pytest.mark.parametrize("input_key", [*INPUT_KEYS, "Image", "PIXEL_VALUES"])
@pytest.mark.parametrize("label_key", [*LABEL_KEYS, "Label"])
@pytest.mark.parametrize("mapping", [dict, UserDict])
def test_dictionaries(input_key, label_key, mapping):
    inputs, labels = unpack_batch(mapping({"path": ["a", "b", "c"], label_key: Y, input_key: X}))
    assert inputs is X
    assert labels.tolist() == [2, 0, 1]


def test_several_inputs_keep_their_structure():
    inputs, labels = unpack_batch({"image": X, "data": TABLE, "label": Y, "weight": TABLE})
    assert set(inputs) == {"image", "data"}
    assert inputs["data"] is TABLE
    assert labels.tolist() == [2, 0, 1]
    inputs, labels = unpack_batch([[X, TABLE], Y])
    assert isinstance(inputs, tuple)
    assert inputs[1] is TABLE
    inputs, labels = unpack_batch(({"a": X, "b": [TABLE]}, Y))
    assert inputs["b"] == (TABLE,)


def test_the_first_label_key_that_holds_class_labels_counts():
    inputs, labels = unpack_batch({"image": X, "label": ["cat", "dog", "cow"], "target": Y})
    assert inputs is X
    assert labels.tolist() == [2, 0, 1]
    assert unpack_batch({"image": X})[1] is None


@pytest.mark.parametrize(
    ("batch", "seen"),
    [
        ({"text": X, "label": Y}, r"'text': Tensor\[3, 1, 4, 4\] float32, 'label': Tensor\[3\] int64"),
        ({"image": "a path"}, "'image': str"),
        (("a path", Y), r"tuple of 2 \(str, Tensor\[3\] int64\)"),
        ((), r"tuple of 0 \(\)"),
        (None, "NoneType"),
        ([np.float32(1), Y], "list of 2"),
    ],
)
def test_what_cannot_be_read_is_described(batch, seen):
    with pytest.raises(ProbeError, match=seen) as caught:
        unpack_batch(batch)
    assert 'Probe(unpack_batch="package.function")' in str(caught.value)


def test_long_batches_are_described_shortly():
    with pytest.raises(ProbeError) as caught:
        unpack_batch({f"column_{number}": ["x" * 1000] * 1000 for number in range(1000)})
    assert len(str(caught.value)) < 1000


def swapped(batch):
    return batch[1], batch[0]


def not_a_pair(batch):
    return batch[0]


def test_a_function_reads_the_batch():
    inputs, labels = Probe(unpack_batch=swapped).unpack((Y, X))
    assert inputs is X
    assert labels.tolist() == [2, 0, 1]


def test_a_dotted_path_is_imported_when_it_is_needed():
    probe = Probe(unpack_batch="saliency_callbacks.probe.unpack.unpack_batch")
    assert probe.unpack_batch == "saliency_callbacks.probe.unpack.unpack_batch"
    assert probe.unpack((X, Y))[0] is X


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_package.function", "cannot be imported .*no_such_package"),
        ("saliency_callbacks.probe.unpack.missing", "cannot be imported .*missing"),
        ("saliency_callbacks.probe.unpack.INPUT_KEYS", "names a tuple"),
    ],
)
def test_a_path_that_leads_nowhere_is_an_error_at_first_use(path, message):
    probe = Probe(unpack_batch=path)
    with pytest.raises(ConfigurationError, match=message):
        probe.unpack((X, Y))


def test_a_path_that_leads_nowhere_ends_the_reading_of_labels_too():
    items = [(torch.zeros(1, 2, 2), 0)] * 40
    with pytest.raises(ConfigurationError, match=r"unpack_batch.*cannot be imported"):
        Probe(4, unpack_batch="no_such_package.function").read(items)


@pytest.mark.parametrize("returned", [(X,), (X, Y, MASKS, TABLE), ("a path", Y, MASKS)])
def test_a_function_that_returns_something_else_than_two_or_three_parts_is_an_error(returned):
    with pytest.raises(ProbeError, match=rf"returned tuple of {len(returned)} .*\(inputs, labels, masks\)"):
        Probe(unpack_batch=lambda batch: returned).unpack((X, Y))


def test_the_third_that_a_function_returns_are_the_masks():
    parts = split_with(lambda batch: (batch["scan"], None, batch["lesion"]), {"scan": X, "lesion": MASKS})
    assert parts.inputs is X
    assert parts.labels is None
    assert parts.masks is MASKS
    assert split_with(lambda batch: (X, Y), None).masks is None
    assert split_with(lambda batch: (X, Y, None), None).masks is None
    inputs, labels = split_with(lambda batch: (X, Y, MASKS), None).pair
    assert inputs is X
    assert labels.tolist() == [2, 0, 1]


@pytest.mark.parametrize("image_key", [*IMAGE_KEYS, "Image"])
@pytest.mark.parametrize("mask_key", ["mask", "masks", "Mask"])
@pytest.mark.parametrize("masks", [MASKS, MASKS[:, None], MASKS.long() * 7, MASKS.float() / 2, MASKS.numpy()])
def test_masks_beside_an_image(image_key, mask_key, masks):
    parts = split_batch({mask_key: masks, "label": Y, image_key: X})
    assert parts.inputs is X
    assert parts.labels.tolist() == [2, 0, 1]
    assert torch.equal(parts.masks > 0, MASKS)
    assert parts.masks.shape == (3, 4, 4)


@pytest.mark.parametrize(
    "batch",
    [
        *({key: X, "mask": MASKS} for key in INPUT_KEYS if key not in IMAGE_KEYS),
        {"image": X, "data": TABLE, "mask": MASKS},
        {"image": X, "segmentation": MASKS},
        {"image": X, "mask": MASKS[:2]},
        {"image": X, "mask": MASKS[:, ::2]},
        {"image": X, "mask": MASKS[:, None].expand(3, 2, 4, 4)},
        {"image": X, "mask": MASKS * 255.0},
        {"image": X, "mask": MASKS.float() * torch.nan},
        {"image": X, "mask": MASKS.to(torch.complex64)},
        {"image": X, "mask": MASKS.numpy().astype(object)},
        {"image": X, "mask": ["a", "b", "c"]},
        {"image": TABLE, "mask": torch.ones(3)},
        {"image": [X, X], "mask": MASKS},
        ({"image": X, "mask": MASKS}, Y),
        (X, Y, MASKS),
        (X, MASKS),
    ],
)
def test_what_may_be_no_masks_is_left_alone(batch):
    parts = split_batch(batch)
    assert parts.masks is None
    inputs, _ = unpack_batch(batch)
    assert parts.inputs is inputs or len(parts.inputs) == len(inputs)


def test_masks_that_a_model_takes_stay_its_input():
    inputs, labels = unpack_batch(({"image": X, "mask": MASKS}, Y))
    assert inputs["mask"] is MASKS
    assert labels is not None


def test_of_two_entries_that_one_is_taken_that_fits():
    assert split_batch({"image": X, "mask": TABLE, "masks": MASKS}).masks is MASKS


def test_a_function_that_returns_no_pair_is_named():
    with pytest.raises(ProbeError, match=r"not_a_pair.*returned Tensor\[3, 1, 4, 4\].*pair \(inputs, labels\)"):
        Probe(unpack_batch=not_a_pair).unpack((X, Y))
