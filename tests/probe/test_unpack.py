"""What DataLoaders deliver, and what is said about what cannot be read."""

from collections import UserDict, namedtuple

import numpy as np
import pytest
import torch

from saliency_callbacks.errors import ConfigurationError, ProbeError
from saliency_callbacks.probe import Probe, unpack_batch
from saliency_callbacks.probe.unpack import INPUT_KEYS, LABEL_KEYS

X = torch.rand(3, 1, 4, 4)
TABLE = torch.rand(3, 2)
Y = torch.tensor([2, 0, 1])
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


def test_a_function_that_returns_more_than_a_pair_is_an_error():
    with pytest.raises(ProbeError, match="returned tuple of 3"):
        Probe(unpack_batch=lambda batch: (X, Y, TABLE)).unpack((X, Y))


def test_a_function_that_returns_no_pair_is_named():
    with pytest.raises(ProbeError, match=r"not_a_pair.*returned Tensor\[3, 1, 4, 4\].*pair \(inputs, labels\)"):
        Probe(unpack_batch=not_a_pair).unpack((X, Y))
