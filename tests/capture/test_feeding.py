"""How a batch is fed, by the signature of the forward, against calls written by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saliency_callbacks import explain
from saliency_callbacks.capture.feeding import feedings, fitting_inputs
from saliency_callbacks.capture.inputs import feed
from saliency_callbacks.errors import ProbeError

X, Y = torch.rand(4, 3, 8, 8), torch.tensor([0, 2, 1, 2])
WEIGHT = torch.rand(4, 3 * 64)
BATCH = {"image": X, "label": Y, "mask": torch.ones(4, 8, 8), "path": ("a", "b", "c", "d"), "scale": 2.0}


def scores(images: Tensor) -> Tensor:
    return images.flatten(1) @ WEIGHT.T


class AnyName(nn.Module):
    def forward(self, **batch):
        return scores(batch["image"])


class AnyLabeled(nn.Module):
    def forward(self, **batch):
        return batch["label"].sum() * batch["scale"], scores(batch["image"])


class Passes(nn.Module):
    """Hands over whatever it is given."""

    def forward(self, *args, **kwargs):
        return self.inner(*args, **kwargs)


class PassesTensors(Passes):
    def inner(self, x):
        return scores(x)


class PassesNames(Passes):
    def inner(self, *, image, label=None):
        return scores(image)


class Whole(nn.Module):
    def forward(self, batch):
        return scores(batch["image"])


class WholeObject(nn.Module):
    def forward(self, batch):
        return scores(batch.image) + 0 * batch.label[:, None]


class Tensors(nn.Module):
    def forward(self, batch):
        return scores(batch)


class Annotated(nn.Module):
    def forward(self, batch: Tensor) -> Tensor:
        return scores(batch)


class Required(nn.Module):
    def forward(self, image, label):
        return nn.functional.cross_entropy(scores(image), label), scores(image)


class Renamed(nn.Module):
    def forward(self, x, label):
        return nn.functional.cross_entropy(scores(x), label), scores(x)


class Optional(nn.Module):
    def forward(self, image, label=None, mask=None):
        assert label is None
        assert mask is None
        return scores(image)


class Scaled(nn.Module):
    def forward(self, image, scale=1.0):
        return scores(image) * scale


def runs_on(model: nn.Module) -> Any:
    def runs(inputs: Any) -> bool:
        try:
            feed(model, inputs)
        except Exception:
            return False
        return True

    return runs


def fitted(model: nn.Module, **changes: Any) -> Any:
    given: dict[str, Any] = {"key": "image", "named": BATCH, "ordered": ()}
    return fitting_inputs(model, X, runs=runs_on(model), **(given | changes))


MODELS = [
    AnyName,
    AnyLabeled,
    PassesTensors,
    PassesNames,
    Whole,
    WholeObject,
    Tensors,
    Annotated,
    Required,
    Renamed,
    Optional,
    Scaled,
]


@pytest.mark.parametrize("kind", MODELS)
def test_each_forward_is_given_what_it_takes(kind: type[nn.Module]) -> None:
    output = feed(kind(), fitted(kind()))
    logits = output[1] if isinstance(output, tuple) else output
    assert torch.equal(logits, scores(X) * (2.0 if kind is Scaled else 1.0))


@pytest.mark.parametrize("kind", [Tensors, Annotated, Optional])
def test_a_model_of_images_alone_is_given_the_tensor_itself(kind: type[nn.Module]) -> None:
    assert fitted(kind()) is X


def test_only_a_forward_that_does_not_tell_is_tried() -> None:
    tried: list[Any] = []
    for kind in (Annotated, Required, Renamed, Optional):
        fitting_inputs(kind(), X, key="image", named=BATCH, ordered=(), runs=lambda inputs: not tried.append(inputs))
    assert tried == []


def test_what_has_no_row_for_each_sample_is_not_fed() -> None:
    assert set(fitted(Whole())) == {"image", "label", "mask", "scale"}


def test_a_tuple_is_fed_in_order_where_labels_are_asked_for() -> None:
    model = Renamed()
    inputs = fitted(model, key=None, named=None, ordered=(X, Y, torch.rand(4)))
    assert [each is part for each, part in zip(inputs, (X, Y), strict=True)] == [True, True]
    assert feed(model, inputs)[0] == nn.functional.cross_entropy(scores(X), Y)


class Two(nn.Module):
    def forward(self, left, right):
        return scores(left + right)


def test_labels_are_never_fed_as_something_else() -> None:
    assert fitted(Two(), key=None, named=None, ordered=(X, Y)) is X


def test_several_views_for_a_model_of_one_name_the_way_that_works() -> None:
    with pytest.raises(ProbeError, match=r"2 inputs.*Annotated.forward\(batch\) takes 1.*unpack_batch.*\[0\]\[0\]"):
        fitting_inputs(Annotated(), (X, X), key=None, named=None, ordered=((X, X), Y), runs=lambda inputs: True)
    with pytest.raises(ProbeError, match="unpack_batch"):
        fitting_inputs(
            Tensors(), (X, X), key="image", named={"image": (X, X), "label": Y}, ordered=(), runs=runs_on(Tensors())
        )
    pair = fitting_inputs(Two(), (X, X), key=None, named=None, ordered=((X, X), Y), runs=lambda inputs: True)
    assert feed(Two(), pair).shape == (4, 4)


def test_a_compiled_module_is_fed_as_the_one_inside() -> None:
    compiled = torch.compile(Required(), backend="eager")
    assert set(feedings(compiled, X, key="image", named=BATCH, ordered=())[0]) == {"image", "label"}


@pytest.mark.parametrize("kind", [AnyName, AnyLabeled, Whole, WholeObject, Required])
@pytest.mark.parametrize("wrap", [dict, lambda fields: SimpleNamespace(**fields)])
def test_explain_takes_a_batch_as_the_model_does(kind: type[nn.Module], wrap: Any) -> None:
    """The score of class k is linear in the image: its gradient is row k of the weights."""
    batch = wrap({"image": X, "label": Y, "scale": 1.0})
    found = explain(kind(), batch, methods="gradient", target=Y)["gradient"].values
    assert torch.allclose(found, WEIGHT[Y].reshape(X.shape), atol=1e-6)
