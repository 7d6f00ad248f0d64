"""What every method keeps to. Registering a method means being tested: the suite runs over ``BUILT_IN`` and presets."""

from __future__ import annotations

import math
import pickle
from typing import get_args

import pytest
import torch
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.methods import BUILT_IN, resolve_methods
from saliency_callbacks.methods.catalog import COSTS
from saliency_callbacks.randomization.states import draws_noise
from saliency_callbacks.sinks.disk.entries import MethodEntry
from saliency_callbacks.sinks.disk.shown import magnitude_of
from saliency_callbacks.types import Method, ModelMethod, Pass, Quantity, Reduction
from tests.contracts.presets import PRESETS, TWO_OR_THREE_D

METHODS = {**BUILT_IN, **PRESETS}
SPATIAL = [(12,), (6, 9), (4, 5, 6)]
CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def attends(name):
    return name in COSTS and "attention" in COSTS[name].needs


class Attending(nn.Module):
    """Two layers of attention over patches, whose mean is read out."""

    def __init__(self, n_channels, n_spatial):
        super().__init__()
        self.patches = CONVS[n_spatial](n_channels, 8, 3, padding=1, stride=2)
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(8, 2, 8, 0.0, batch_first=True) for _ in range(2))
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        tokens = 5 * self.patches(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens.mean(1))


def network(name, n_channels, spatial, dtype=torch.float32):
    torch.manual_seed(0)
    if attends(name):
        return Attending(n_channels, len(spatial)).to(dtype)
    model = nn.Sequential(
        CONVS[len(spatial)](n_channels, 8, 3, padding=1),
        nn.ReLU(),
        CONVS[len(spatial)](8, 8, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * math.prod((size + 1) // 2 for size in spatial), 3),
    )
    # Positive evidence everywhere, so that no class activation map is all zero.
    model[-1].weight.data.abs_()
    return model.to(dtype)


def batch(n_samples, n_channels, spatial, dtype=torch.float32):
    return torch.rand(n_samples, n_channels, *spatial, generator=torch.Generator().manual_seed(1)).to(dtype)


def attribute(name, model, inputs, **options):
    layers = "auto" if attends(name) else "3"
    return explain(model, inputs, methods=METHODS[name](), **{"target_layers": layers, "target": 1} | options)[name]


pytestmark = pytest.mark.parametrize("name", METHODS)


@pytest.fixture(autouse=True)
def _of_dimensions_that_it_knows(request):
    spatial = request.node.callspec.params.get("spatial", ())
    if request.node.callspec.params["name"] in TWO_OR_THREE_D and len(spatial) == 1:
        pytest.skip("the library takes images and volumes alone")


def test_name_and_protocol(name):
    method = METHODS[name]()
    assert isinstance(method, Method) is (name in BUILT_IN)
    assert isinstance(method, ModelMethod) is (name in PRESETS)
    assert method.name == name
    assert resolve_methods(name if name in BUILT_IN else method) == (method,)
    assert method == METHODS[name]()
    assert hash(method) == hash(METHODS[name]())
    required = method.requires()
    assert bool(required) is (name in BUILT_IN)
    assert all(isinstance(pass_, Pass) and isinstance(quantity, Quantity) for pass_, quantity in required.items())


def test_pickles(name):
    method = METHODS[name]()
    restored = pickle.loads(pickle.dumps(method))
    assert restored == method
    assert restored.requires() == method.requires()


@pytest.mark.parametrize("spatial", SPATIAL, ids=["1-D", "2-D", "3-D"])
@pytest.mark.parametrize("n_channels", [1, 3, 4])
@pytest.mark.parametrize("n_samples", [1, 2])
def test_shapes_and_range(name, spatial, n_channels, n_samples):
    found = attribute(
        name, network(name, n_channels, spatial), batch(n_samples, n_channels, spatial), internal_batch_size=64
    )
    at_layer = found.values.shape == (n_samples, 1, *((size + 1) // 2 for size in spatial))
    layer = "attention" if attends(name) else "3"
    # Some libraries return their maps of a layer at the size of the input.
    is_resized = name in PRESETS and found.layer == layer and found.values.shape == (n_samples, 1, *spatial)
    assert at_layer or is_resized or found.values.shape == (n_samples, n_channels, *spatial)
    assert (found.layer == layer) if at_layer else (found.layer in (None, layer))
    assert found.method == name
    assert found.values.isfinite().all()
    for maps in (found.heatmap, found.magnitude):
        assert maps.shape == (n_samples, *spatial)
        assert maps.isfinite().all()
        assert (maps >= 0).all()
    assert (found.heatmap.flatten(1).amax(1) == 1).all()
    assert found.target.tolist() == [1] * n_samples
    assert found.score.shape == (n_samples,)
    assert all(len(extra) == n_samples for extra in found.extras.values())
    assert not any(tensor.requires_grad for tensor in (found.values, found.heatmap, found.magnitude, found.score))


@pytest.mark.parametrize("spatial", SPATIAL, ids=["1-D", "2-D", "3-D"])
def test_the_magnitude_follows_from_the_values(name, spatial):
    found = attribute(name, network(name, 3, spatial), batch(2, 3, spatial), internal_batch_size=64)
    assert found.reduction in get_args(Reduction)
    facts = MethodEntry(layer=None, reduction=found.reduction, size=list(spatial))
    expected = magnitude_of(found.values.numpy(), facts)
    torch.testing.assert_close(found.magnitude, torch.from_numpy(expected))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_precision(name, dtype):
    found = attribute(name, network(name, 3, (6, 9), dtype), batch(2, 3, (6, 9), dtype))
    expected = torch.promote_types(dtype, torch.float32)
    assert {found.values.dtype, found.heatmap.dtype, found.magnitude.dtype, found.score.dtype} == {expected}
    assert {extra.dtype for extra in found.extras.values()} <= {expected}
    # The same map as in float64, as far as the weights' own rounding goes.
    exact = attribute(name, network(name, 3, (6, 9), dtype).double(), batch(2, 3, (6, 9), dtype).double())
    cosine = torch.cosine_similarity(found.values.double().flatten(1), exact.values.flatten(1))
    assert (cosine > (0.95 if dtype in (torch.bfloat16, torch.float16) else 1 - 1e-5)).all()


def test_batched_equals_one_by_one(name):
    model, inputs = network(name, 2, (6, 9), torch.float64), batch(3, 2, (6, 9), torch.float64)
    together = attribute(name, model, inputs)
    for sample in range(3):
        alone = attribute(name, model, inputs[sample : sample + 1])
        torch.testing.assert_close(alone.values[0], together.values[sample])
        torch.testing.assert_close(alone.heatmap[0], together.heatmap[sample])
        torch.testing.assert_close(alone.score[0], together.score[sample])


def test_equivariant_to_the_order_of_the_batch(name):
    model, inputs = network(name, 2, (6, 9), torch.float64), batch(4, 2, (6, 9), torch.float64)
    order, target = torch.tensor([2, 0, 3, 1]), torch.tensor([0, 1, 2, 1])
    found = attribute(name, model, inputs, target=target)
    permuted = attribute(name, model, inputs[order], target=target[order])
    torch.testing.assert_close(permuted.values, found.values[order])
    assert torch.equal(permuted.target, target[order])


@pytest.mark.parametrize("internal_batch_size", [1, 3, 1000])
def test_independent_of_the_chunk_size(name, internal_batch_size):
    model, inputs = network(name, 2, (6, 9), torch.float64), batch(4, 2, (6, 9), torch.float64)
    target = torch.tensor([0, 1, 2, 1])
    whole = attribute(name, model, inputs, target=target)
    chunked = attribute(name, model, inputs, target=target, internal_batch_size=internal_batch_size)
    torch.testing.assert_close(chunked.values, whole.values)
    torch.testing.assert_close(chunked.score, whole.score)
    assert torch.equal(chunked.target, whole.target)


def test_repeatable_and_seeded(name):
    model, inputs = network(name, 2, (6, 9)), batch(2, 2, (6, 9))
    found = [attribute(name, model, inputs, seed=seed).values for seed in (0, 0, 1)]
    assert torch.equal(found[0], found[1])
    has_noise = draws_noise(METHODS[name]())
    assert torch.equal(found[0], found[2]) == (not has_noise)
