"""Masks and groups from functions, and which source goes first."""

import numpy as np
import pytest
import torch

from saliency_callbacks.errors import ConfigurationError, ProbeError
from saliency_callbacks.probe import Probe

X = torch.rand(4, 1, 3, 5)
Y = torch.tensor([0, 1, 1, 0])
MASKS = torch.rand(4, 3, 5)
NOWHERE = torch.zeros(4, 3, 5)


def bright(inputs):
    return inputs[:, 0] > 0.5


def where(inputs, labels):
    places = ["land" if image.mean() > 0.5 else "water" for image in inputs]
    return [f"{label} on {place}" for label, place in zip(labels.tolist(), places, strict=True)]


def spoils(inputs, labels=None):
    inputs.zero_()
    if labels is not None:
        labels.zero_()
        return ["all"] * 4
    return inputs[:, 0]


def batch_of_three(batch):
    return (*batch, MASKS)


@pytest.mark.parametrize(
    "masks", [bright, "tests.probe.test_annotations.bright", lambda inputs: bright(inputs).numpy()]
)
def test_a_function_finds_the_masks(masks):
    assert torch.equal(Probe(masks=masks).freeze((X, Y)).masks, bright(X))


def test_a_function_is_given_the_inputs_as_the_model_takes_them():
    structured = {"image": X, "data": Y}
    probe = Probe(masks=lambda inputs: bright(inputs["image"]))
    assert torch.equal(probe.freeze(structured).masks, bright(X))


@pytest.mark.parametrize(
    ("probe", "batch", "expected"),
    [
        (Probe(), (X, Y), None),
        (Probe(), {"image": X, "mask": MASKS}, MASKS),
        (Probe(unpack_batch=batch_of_three), (X, Y), MASKS),
        (Probe(masks=bright), {"image": X, "mask": MASKS}, bright(X)),
        (Probe(masks=bright, unpack_batch=batch_of_three), (X, Y), bright(X)),
        (Probe.from_tensors(X, Y, masks=MASKS), (X, Y), MASKS),
    ],
    ids=["none", "dictionary", "unpacked", "function before dictionary", "function before unpacked", "tensor"],
)
def test_the_explicit_masks_go_before_those_of_the_batch(probe, batch, expected):
    found = probe.freeze(batch).masks
    assert (found is None) if expected is None else torch.equal(found, expected)


def test_masks_come_with_the_samples_that_were_chosen():
    items = [{"image": torch.full((1, 2, 2), index / 40), "label": index % 4, "mask": index} for index in range(40)]
    for item in items:
        item["mask"] = np.full((2, 2), item["mask"] / 40, dtype=np.float32)
    probe = Probe(8)
    batch, indices = probe.read(items)
    frozen = probe.freeze(batch, indices)
    assert frozen.indices == indices
    assert torch.equal(frozen.masks, frozen.inputs[:, 0])


def test_masks_of_a_loader_that_delivers_whole_batches():
    whole = [{"image": torch.rand(6, 1, 2, 2), "mask": torch.rand(6, 2, 2)} for _ in range(3)]
    probe = Probe(8)
    batch, _ = probe.read(whole, batched=False)
    assert torch.equal(probe.freeze(batch).masks, torch.cat([each["mask"] for each in whole])[:8])


def test_groups_of_a_function_and_of_given_samples():
    names = where(X, Y)
    assert Probe(groups=where).freeze((X, Y)).groups == tuple(names)
    assert Probe().freeze((X, Y)).groups is None
    assert Probe.from_tensors(X, Y, groups=names).freeze((X, Y)).groups == tuple(names)
    assert Probe(groups=lambda inputs, labels: [labels is None] * 4).freeze(X).groups == ("True",) * 4


def test_functions_cannot_change_what_is_explained():
    frozen = Probe(masks=spoils, groups=spoils).freeze((X, Y))
    assert torch.equal(frozen.inputs, X)
    assert frozen.inputs.any()
    assert frozen.labels.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"masks": lambda inputs: NOWHERE[:, :2]},
            ProbeError,
            r"\[4, 2, 5\].*\[4, 1, 3, 5\].*expected masks \[4, 3, 5\]",
        ),
        ({"masks": lambda inputs: NOWHERE[:3]}, ProbeError, r"\[3, 3, 5\].*\[4, 1, 3, 5\]"),
        ({"masks": lambda inputs: inputs}, ProbeError, r"\[4, 1, 3, 5\].*squeeze\(1\)"),
        ({"unpack_batch": lambda batch: (X, Y, NOWHERE.mT)}, ProbeError, r"\[4, 5, 3\].*\[4, 1, 3, 5\]"),
        ({"unpack_batch": lambda batch: (X, Y, "box")}, ProbeError, "masks are str"),
        ({"masks": lambda inputs: None}, ProbeError, r"lambda.*Probe\(masks=…\), returned None.*\[N, \*spatial\]"),
        ({"groups": lambda inputs, labels: None}, ProbeError, r"Probe\(groups=…\), returned None.*N names"),
        ({"groups": lambda inputs, labels: "ab"}, ProbeError, "groups are 'ab'"),
        ({"groups": lambda inputs, labels: ["a"]}, ProbeError, "1 names.* 4 rows"),
        ({"masks": "no_such_package.function"}, ConfigurationError, r"Probe\(masks=\.\.\.\).*cannot be imported"),
        ({"groups": "torch.missing"}, ConfigurationError, r"Probe\(groups=\.\.\.\).*cannot be imported"),
    ],
)
def test_what_does_not_fit_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        Probe(**arguments).freeze((X, Y))
