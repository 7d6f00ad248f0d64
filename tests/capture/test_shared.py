"""What all samples share is told from what has one row a sample, against the model's own outputs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.oom import BackOff
from saliency_callbacks.capture.shared import recognize_shared
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import ConfigurationError, InputError, SaliencyWarning
from saliency_callbacks.methods.resolution import resolve_methods

_N = 4


class _Prompted(nn.Module):
    """One prompt a class, as CLIP: the scores are products of both."""

    def __init__(self):
        super().__init__()
        self.image, self.text = nn.Linear(3 * 4 * 4, 5), nn.Linear(6, 5)

    def forward(self, image, prompt):
        return self.image(image.flatten(1)).tanh() @ self.text(prompt["vectors"]).tanh().T


class _Placed(nn.Module):
    """A position embedding that is given, and a mask of each sample: with as many places as there are samples."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, image, places, mask):
        tokens = image.flatten(2).mT[:, :_N] + places
        return self.head((tokens.tanh() * mask[:, None, None]).mean(1))


class _Fused(nn.Module):
    """Two inputs of the same sample."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3 * 4 * 4 + 6, 3)

    def forward(self, image, facts):
        return self.head(torch.cat([image.flatten(1), facts], 1)).tanh()


class _Weighted(nn.Module):
    """Samples that attend to a graph, whose adjacency has as many rows as there are samples."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, image, graph):
        return self.head((image.mean(3) @ graph).tanh().mean(2))


def _images(n=_N):
    return torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(1))


def _cases():
    torch.manual_seed(0)
    return [
        (_Prompted(), {"image": _images(), "prompt": {"vectors": torch.randn(_N, 6)}}, {"prompt.vectors"}),
        (_Placed(), {"image": _images(), "places": torch.randn(_N, 3), "mask": torch.rand(_N)}, {"places"}),
        (_Fused(), {"image": _images(), "facts": torch.randn(_N, 6)}, set()),
        (_Weighted(), {"image": _images(), "graph": torch.rand(_N, _N)}, {"graph"}),
    ]


def _gradient(model, inputs, target):
    image = inputs["image"].clone().requires_grad_()
    return torch.autograd.grad(model(**{**inputs, "image": image})[:, target].sum(), image)[0]


@pytest.mark.parametrize("case", range(4))
@pytest.mark.parametrize("rows", [None, 1, 2, 3, 9])
def test_the_chunk_size_changes_no_map(case, rows):
    model, inputs, _ = _cases()[case]
    found = explain(
        model,
        inputs,
        methods=["gradient", "integrated_gradients", "smooth_grad"],
        target=1,
        attribute_to="image",
        internal_batch_size=rows,
    )
    assert torch.allclose(found["gradient"].values, _gradient(model, inputs, 1), atol=1e-6)
    assert torch.allclose(found["gradient"].score, model(**inputs)[:, 1], atol=1e-6)
    assert found["integrated_gradients"].extras["convergence_delta"].abs().max() < 1e-3


@pytest.mark.parametrize("case", range(4))
def test_what_is_shared(case):
    model, inputs, shared = _cases()[case]
    batch = ModelInputs.of(inputs, "image")
    assert recognize_shared(model, batch, lambda output, samples: output) == shared


def test_one_sample_and_one_prompt():
    model, inputs, _ = _cases()[0]
    inputs = {"image": _images(1), "prompt": {"vectors": inputs["prompt"]["vectors"][:1]}}
    found = explain(
        model, inputs, methods="integrated_gradients", target=0, attribute_to="image", internal_batch_size=8
    )
    assert found["integrated_gradients"].extras["convergence_delta"].abs().max() < 1e-3


def test_other_rows_than_samples():
    model, inputs, _ = _cases()[0]
    inputs = {"image": _images(3), "prompt": inputs["prompt"]}
    found = explain(model, inputs, methods="gradient", target=3, attribute_to="image", internal_batch_size=2)
    assert torch.allclose(found["gradient"].values, _gradient(model, inputs, 3), atol=1e-6)


def test_what_is_declared_is_not_tried():
    model, inputs, _ = _cases()[0]
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    for shared in ("prompt", ("prompt.vectors",)):
        calls.clear()
        explain(model, inputs, methods="gradient", target=1, attribute_to="image", shared=shared, internal_batch_size=2)
        assert len(calls) == 2
    explain(
        _Fused(),
        {"image": _images(), "facts": torch.rand(_N, 6)},
        methods="gradient",
        target=1,
        shared=(),
        attribute_to="image",
    )
    calls.clear()
    single = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    single.register_forward_hook(lambda *_: calls.append(1))
    explain(single, _images(), methods="gradient", target=1)
    assert len(calls) == 1, "nothing to find out"


class _Narrow(_Prompted):
    """For at most three images at once."""

    def forward(self, image, prompt):
        if len(image) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(image, prompt)


def test_less_at_once_where_the_memory_is_not_enough():
    torch.manual_seed(0)
    model, inputs = _Narrow(), _cases()[0][1]
    settings = Settings(resolve_methods("gradient"), attribute_to="image", back_off=BackOff())
    with pytest.warns(SaliencyWarning, match="internal_batch_size=2"):
        found = run_engine(model, inputs, settings, [3]).maps[0]["gradient"]
    expected = torch.cat([_gradient(model, {**inputs, "image": half}, 3) for half in inputs["image"].split(2)])
    assert torch.allclose(found.values, expected, atol=1e-6)


class _Mixed(nn.Module):
    """Scores that depend on the other samples, whatever is fed whole."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(48, 2)

    def forward(self, image, facts):
        return self.head(image.flatten(1)) * image.sum() + facts.sum()


def test_where_it_cannot_be_told():
    inputs = {"image": _images(), "facts": torch.rand(_N, 2)}
    model = _Mixed()
    # All at once, as the training would.
    explain(model, inputs, methods="gradient", target=1, attribute_to="image")
    with pytest.raises(InputError, match=r"\['facts'\].*shared=\('facts',\).*shared=\(\)"):
        explain(model, inputs, methods="gradient", target=1, attribute_to="image", internal_batch_size=1)
    explain(model, inputs, methods="gradient", target=1, attribute_to="image", internal_batch_size=1, shared=())


@pytest.mark.parametrize(
    ("shared", "message"), [(("promt",), "did you mean 'prompt"), ([None], "keys or positions"), (3.5, "keys or pos")]
)
def test_what_is_not_there(shared, message):
    model, inputs, _ = _cases()[0]
    with pytest.raises(ConfigurationError, match=message):
        explain(model, inputs, methods="gradient", target=1, attribute_to="image", shared=shared)
