"""Methods that run the model themselves: what they are given, what they may return, and what they may not leave."""

from __future__ import annotations

import io
import random
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from functools import partial
from typing import Any

import numpy as np
import pytest
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from zennit.core import Hook
from zennit.rules import Pass

from saliency_callbacks import explain
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import ExternalMethodError, MethodError, SaliencyWarning
from saliency_callbacks.methods import (
    CaptumMethod,
    ExternalMethod,
    GradCamMethod,
    TorchCamMethod,
    ZennitMethod,
)
from saliency_callbacks.methods.resolution import resolve_methods
from saliency_callbacks.targets import ContrastTarget, SimilarityTarget

INPUTS = torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(16, 3))


def gradient(model: nn.Module, inputs: Tensor, target: Tensor, samples: Tensor) -> Tensor:
    """The gradient of the explained score, as a person would write it."""
    inputs = inputs.requires_grad_()
    scores = model(inputs)
    return torch.autograd.grad(scores[torch.arange(len(inputs)), target].sum(), inputs)[0]


def found(function: Callable[..., Any], model: nn.Module | None = None, inputs: Any = INPUTS, **options: Any) -> Any:
    method = options.pop("method", None) or ExternalMethod("own", function)
    return explain(network() if model is None else model, inputs, methods=["gradient", method], **options)


def state_of(model: nn.Module) -> dict[str, Any]:
    """All that an explanation must not change, with copies of what is in it."""
    return {
        "tensors": {name: value.clone() for name, value in model.state_dict().items()},
        "identities": [(name, id(one), one.requires_grad, id(one.grad)) for name, one in model.named_parameters()],
        "gradients": [None if one.grad is None else one.grad.clone() for one in model.parameters()],
        "modules": [(name, id(one), type(one), one.training) for name, one in model.named_modules()],
        "hooks": [
            (name, list(value.items()))
            for one in model.modules()
            for name, value in vars(one).items()
            if name.endswith("hooks")
        ],
        "attributes": [sorted(vars(one)) for one in model.modules()],
        "random": (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()),  # noqa: NPY002
        "grad mode": torch.is_grad_enabled(),
    }


def assert_same(one: Any, other: Any) -> None:
    if isinstance(one, Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for mine, its in zip(one, other, strict=True):
            assert_same(mine, its)
    else:
        assert one == other


def test_equals_what_it_computes_without_this_package() -> None:
    model = network().eval()
    both = found(gradient, model)
    torch.testing.assert_close(both["own"].values, both["gradient"].values, rtol=0, atol=0)
    target = both["gradient"].target
    assert torch.equal(both["own"].values, gradient(model, INPUTS.clone(), target, torch.arange(4)))
    assert torch.equal(both["own"].target, target)
    assert torch.equal(both["own"].score, both["gradient"].score)
    assert both["own"].reduction == "abs_sum"


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((4, 3, 6, 6), (4, 3, 6, 6)),
        ((4, 6, 6), (4, 1, 6, 6)),
        ((4, 1, 6, 6), (4, 1, 6, 6)),
        ((4, 1, 2, 3), (4, 1, 2, 3)),
    ],
)
@pytest.mark.parametrize("kind", [torch.rand, lambda *shape: np.random.rand(*shape[0])])  # noqa: NPY002
def test_reads_tensors_and_arrays_of_every_shape(kind: Any, shape: Any, expected: Any) -> None:
    maps = found(lambda *_: kind(shape))["own"]
    assert maps.values.shape == expected
    assert maps.magnitude.shape == (4, 6, 6)
    assert maps.values.dtype == torch.float32


def test_reads_arrays_that_torch_cannot_share() -> None:
    values = np.arange(4 * 36, dtype=">f4").reshape(4, 6, 6)[:, ::-1]
    values.setflags(write=False)
    maps = found(lambda *_: values)["own"].values
    assert np.array_equal(maps[:, 0].numpy(), values)
    masks = np.random.default_rng(0).random((4, 6, 6)) > 0.5
    assert np.array_equal(found(lambda *_: masks)["own"].values[:, 0].numpy(), masks)


def test_without_a_sign_values_are_absolute() -> None:
    method = ExternalMethod("own", lambda model, inputs, *_: -inputs, signed=False)
    assert torch.equal(found(gradient, method=method)["own"].values, INPUTS)


class MuteError(Exception):
    """What a library raises that has a mistake in its own message."""

    def __str__(self) -> str:
        raise RuntimeError


def _raised(error: Exception) -> None:
    raise error


RETURNED = {
    "too few samples": (lambda *_: torch.zeros(3, 6, 6), r"maps \[3, 6, 6\] for 4 samples; expected one map for each"),
    "no samples": (lambda *_: torch.zeros(()), r"maps \[\] for 4 samples"),
    "other size": (lambda *_: torch.zeros(4, 5, 6), r"maps \[4, 5, 6\] for 4 samples; expected \[4, 3, 6, 6\], "),
    "other channels": (lambda *_: torch.zeros(4, 7, 6, 6), r"expected \[4, 3, 6, 6\], \[4, 6, 6\] or \[4, 1, h, w\]"),
    "empty": (lambda *_: torch.zeros(4, 1, 0, 6), r"maps \[4, 1, 0, 6\]"),
    "NaN": (lambda model, inputs, *_: inputs / 0 * 0, "returned NaN or infinity in 4 of 4 maps"),
    "infinity": (lambda model, inputs, *_: inputs.log().mul(0).add(torch.inf), "returned NaN or infinity"),
    "nothing": (lambda *_: None, "returned NoneType; expected"),
    "a pair": (lambda model, inputs, *_: (inputs, inputs), "returned tuple of 2"),
    "sparse": (lambda model, inputs, *_: inputs.to_sparse(), "returned a sparse_coo tensor; expected"),
    "nested": (lambda model, inputs, *_: torch.nested.nested_tensor(list(inputs)), "returned a nested tensor"),
    "quantized": (lambda model, inputs, *_: torch.quantize_per_tensor(inputs, 1, 0, torch.qint8), "a quantized tensor"),
    "meta": (lambda model, inputs, *_: inputs.to("meta"), "returned a meta tensor"),
    "too large": (lambda model, inputs, *_: torch.full_like(inputs, 3e38), r"values up to 3e\+38, whose sum"),
    "complex": (lambda model, inputs, *_: inputs * 1j, r"a complex tensor; expected .* a real tensor or NumPy array"),
    "objects": (lambda *_: np.array([[["a"]]]), "returned ndarray"),
    "exits": (lambda *_: sys.exit("bye"), r"failed \(SystemExit: bye\); expected maps"),
    "raises what has no text": (lambda *_: _raised(MuteError()), r"failed \(MuteError: its message cannot be read\)"),
    "raises": (lambda *_: {}["absent"], r"failed \(KeyError: 'absent'\); expected maps"),
}


@pytest.mark.parametrize("name", RETURNED)
def test_what_is_no_map_is_an_error_that_names_the_method(name: str) -> None:
    function, message = RETURNED[name]
    model = network()
    before = state_of(model)
    with pytest.raises(ExternalMethodError, match=f"method 'own' .*{message}"):
        found(function, model)
    assert_same(state_of(model), before)


def _inner(model: nn.Module) -> Any:
    return model.model


def _moved(model: nn.Module) -> None:
    _inner(model)[0].weight.data = torch.zeros(4, 3, 3, 3)


def _bound(model: nn.Module) -> None:
    _inner(model)[0].weight = nn.Parameter(torch.zeros(4, 3, 3, 3))


def _in_place(model: nn.Module) -> None:
    with torch.no_grad():
        _inner(model)[5].bias.add_(1)


def _flipped(model: nn.Module) -> None:
    _inner(model)[0].weight.requires_grad_(False)


def _replaced(model: nn.Module) -> None:
    _inner(model)[2] = nn.Tanh()


def _removed(model: nn.Module) -> None:
    del _inner(model)[0].bias
    _inner(model)[0].bias = None


def _other_class(model: nn.Module) -> None:
    _inner(model)[2].__class__ = nn.Sigmoid


CHANGES = {
    "written": (lambda model: _inner(model)[0].weight.data.mul_(2), r"changed '0\.weight' of the model"),
    "in place": (_in_place, r"changed '5\.bias'"),
    "moved": (_moved, r"changed '0\.weight'"),
    "bound": (_bound, r"changed '0\.weight'"),
    "requires_grad": (_flipped, r"changed '0\.weight'"),
    "module": (_replaced, r"changed '2' of"),
    "removed": (_removed, r"changed '0\.bias'"),
    "class": (_other_class, r"changed '2' of"),
    "all": (
        lambda model: [one.data.zero_() for one in model.parameters()],
        r"changed '0.weight', .*, '5.bias' of the model",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_of_the_model_are_put_back_and_told(name: str) -> None:
    change, message = CHANGES[name]

    def rogue(model: nn.Module, inputs: Tensor, target: Tensor, samples: Tensor) -> Tensor:
        change(model)
        return inputs

    model = network()
    model(INPUTS).sum().backward()
    before = state_of(model)
    with pytest.raises(ExternalMethodError, match=f"method 'own' {message}"):
        found(rogue, model)
    assert_same(state_of(model), before)


def test_a_change_is_told_also_where_the_method_fails() -> None:
    def rogue(model: nn.Module, *_: Any) -> None:
        model.model[0].weight.data.zero_()
        raise RuntimeError("no map")

    with pytest.raises(ExternalMethodError, match=r"no map.*It also changed '0\.weight' of the model"):
        found(rogue)


def _usual_traces(model: nn.Module, inputs: Tensor, target: Tensor, samples: Tensor) -> Tensor:
    """What libraries do in passing: all of it is put back without a word."""
    model.eval()
    model.zero_grad()
    for module in model.modules():
        module._forward_hooks.clear()
        module.register_state_dict_post_hook(lambda *_: None)
        module.register_load_state_dict_post_hook(lambda *_: None)
        module.register_forward_hook(lambda *_: None, with_kwargs=True, always_call=True)
        module.register_full_backward_hook(lambda *_: None)
    model(inputs).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.model[1].running_mean.add_(1)
    model.model[1].num_batches_tracked += 1
    model.model.cache = torch.zeros(3)
    model.model.train()
    inputs.data.fill_(0.5)
    target.fill_(0)
    samples.fill_(0)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    torch.set_grad_enabled(False)
    return INPUTS.clone()


@pytest.mark.parametrize("has_gradients", [False, True])
def test_usual_traces_are_put_back_without_an_error(has_gradients: bool) -> None:
    model, inputs = network(), INPUTS.clone()
    model[0].register_forward_hook(lambda *_: None)
    if has_gradients:
        model(inputs).sum().backward()
    before = state_of(model)
    maps = found(_usual_traces, model, inputs)
    assert torch.equal(maps["own"].values, INPUTS)
    assert_same(state_of(model), before)
    assert torch.equal(inputs, INPUTS)
    # What comes after it sees none of that either.
    assert torch.equal(maps["own"].target, maps["gradient"].target)


def test_no_hook_on_a_parameter_sees_its_backward() -> None:
    model, seen = network(), []
    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(seen.append)
    found(_usual_traces, model)
    assert seen == []


def test_ctrl_c_leaves_nothing_behind() -> None:
    def interrupted(model: nn.Module, inputs: Tensor, *_: Any) -> Tensor:
        model.model[0].weight.data.zero_()
        model.register_forward_hook(lambda *_: None)
        signal.raise_signal(signal.SIGINT)
        return inputs

    model = network()
    before = state_of(model)
    with pytest.raises(KeyboardInterrupt):
        found(interrupted, model)
    assert_same(state_of(model), before)


def test_noise_is_seeded() -> None:
    def noisy(model: nn.Module, inputs: Tensor, *_: Any) -> Tensor:
        return torch.rand_like(inputs) + float(np.random.rand()) + random.random()  # noqa: NPY002

    one, again, other = (found(noisy, seed=seed)["own"].values for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_two_of_them_do_not_see_each_other() -> None:
    methods = [ExternalMethod("one", _usual_traces), ExternalMethod("two", gradient)]
    together = explain(network(), INPUTS, methods=methods)
    assert list(together) == ["one", "two"]
    assert torch.equal(together["two"].values, explain(network(), INPUTS, methods=methods[1])["two"].values)


def test_weights_that_are_tied_stay_tied() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Tanh(), nn.Conv2d(3, 3, 1), nn.Flatten())
    model[2].weight = model[0].weight

    def tied(explained: nn.Module, inputs: Tensor, *_: Any) -> Tensor:
        assert explained.model[2].weight is explained.model[0].weight
        assert explained.model[0].weight is not model_weight
        return inputs

    model_weight = model[0].weight
    found(tied, model)
    assert model[2].weight is model[0].weight is model_weight
    with pytest.raises(ExternalMethodError, match=r"changed '0\.weight', '2\.weight'"):
        found(lambda explained, inputs, *_: explained.model[0].weight.data.zero_() is None or inputs, model)


def test_recurrent_layers_compute_with_the_weights_that_are_seen() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, signals: Tensor) -> Tensor:
            return self.head(self.lstm(signals.transpose(1, 2))[0][:, -1])

    def backward(model: nn.Module, inputs: Tensor, target: Tensor, samples: Tensor) -> Tensor:
        model(inputs.requires_grad_()).sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        return inputs.grad

    torch.manual_seed(0)
    model = Recurrent()
    before, weights = state_of(model), list(model.lstm._flat_weights)
    found(backward, model, INPUTS.flatten(2))
    assert_same(state_of(model), before)
    assert all(one is other for one, other in zip(weights, model.lstm._flat_weights, strict=True))


def test_leaves_out_what_fails_where_it_is_to() -> None:
    methods = resolve_methods(["gradient", ExternalMethod("bad", lambda *_: None), ExternalMethod("good", gradient)])
    settings = Settings(methods=methods, leaves_out_failing=True)
    with pytest.warns(SaliencyWarning, match="method 'bad' returned NoneType.*the other methods go on"):
        explanation = run_engine(network(), INPUTS, settings, ["predicted", 0])
    assert [list(maps) for maps in explanation.maps] == [["gradient", "good"]] * 2
    assert list(explanation.costs) == ["good"]
    alone = Settings(methods=methods[1:2], leaves_out_failing=True)
    with pytest.raises(ExternalMethodError, match="'bad'"):
        run_engine(network(), INPUTS, alone, [0])


def test_counts_what_it_costs() -> None:
    def thrice(model: nn.Module, inputs: Tensor, *_: Any) -> Tensor:
        model(torch.cat([inputs, inputs]))
        scores = model(inputs.requires_grad_())
        torch.autograd.grad(scores[:, 0].sum(), inputs, retain_graph=True)
        return torch.autograd.grad(scores[:, 1].sum(), inputs)[0]

    explanation = run_engine(network(), INPUTS, Settings(methods=(ExternalMethod("own", thrice),)), [0])
    assert (explanation.costs["own"].forwards, explanation.costs["own"].backwards) == (3, 2)
    assert explanation.facts["external"]["own"].keys() == {"forwards", "backwards", "seconds"}


def test_says_in_a_training_what_is_costly() -> None:
    def costly(model: nn.Module, inputs: Tensor, *_: Any) -> Tensor:
        model(inputs.repeat(101, 1, 1, 1))
        return inputs

    settings = Settings(methods=(ExternalMethod("own", costly),), leaves_out_failing=True)
    with pytest.warns(SaliencyWarning, match="'own' runs the model 101 times for each sample"):
        run_engine(network(), INPUTS, settings, [0])


def test_what_it_does_to_the_shape_of_its_inputs_stays_with_it() -> None:
    def reshaping(model: nn.Module, inputs: Tensor, *_: Any) -> Tensor:
        inputs.resize_(0)
        return INPUTS[:, 0]

    assert found(reshaping)["own"].values.shape == (4, 1, 6, 6)


class Batches:
    """Notes how many samples it is given, and which."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def __call__(self, model: nn.Module, inputs: Tensor, target: Tensor, samples: Tensor) -> Tensor:
        self.seen.append(samples.tolist())
        return gradient(model, inputs, target, samples)


def test_chunks_of_samples_and_one_by_one() -> None:
    whole, chunks, single = Batches(), Batches(), Batches()
    expected = found(whole)["own"].values
    torch.testing.assert_close(found(chunks, internal_batch_size=3)["own"].values, expected)
    one = ExternalMethod("own", single, rows="one")
    torch.testing.assert_close(found(gradient, method=one)["own"].values, expected)
    assert whole.seen == [[0, 1, 2, 3]]
    assert chunks.seen == [[0, 1, 2], [3]]
    assert single.seen == [[0], [1], [2], [3]]


def test_a_contrast_is_explained_of_many_samples_at_once() -> None:
    batches = Batches()
    target = ContrastTarget([2, 0, 2, 1], [0, 1, 0, 2])
    maps = found(batches, inputs={"image": INPUTS}, model=Named(), internal_batch_size=3, target=target, output_fn=_of)
    torch.testing.assert_close(maps["own"].values, maps["gradient"].values)
    assert batches.seen == [[0, 1, 2], [3]]


class Named(nn.Module):
    """Takes and returns a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, image: Tensor) -> dict[str, Any]:
        return {"found": (self.net(image),)}


def _of(output: Any) -> Tensor:
    return output["found"][0]


def test_a_part_of_the_samples() -> None:
    """As a rank explains them that shares the probe with others."""
    batches = Batches()
    settings = Settings(methods=resolve_methods(["gradient", ExternalMethod("own", batches)]), samples=range(1, 3))
    maps = run_engine(network(), INPUTS, settings, [torch.tensor([0, 1, 2, 0])]).maps[0]
    assert batches.seen == [[1, 2]]
    torch.testing.assert_close(maps["own"].values, maps["gradient"].values)


class Guided(nn.Module):
    """Takes a second input that differs from sample to sample, in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, image: Tensor, shift: Tensor) -> dict[str, Tensor]:
        return {"logits": self.net(image * shift[:, None, None, None]) * (1 + shift[:, None])}


def test_other_inputs_are_those_of_the_right_sample() -> None:
    def expanding(model: nn.Module, inputs: Tensor, target: Tensor, samples: Tensor) -> Tensor:
        rows = torch.cat([inputs, inputs]).requires_grad_()
        scores = model(rows).gather(1, torch.cat([target, target])[:, None])
        return torch.autograd.grad(scores.sum(), rows)[0][: len(inputs)]

    batches = Batches()
    inputs = {"image": INPUTS, "shift": torch.tensor([0.5, 1.0, 2.0, 3.0])}
    for function in (expanding, batches):
        both = found(function, Guided(), inputs, attribute_to="image")
        torch.testing.assert_close(both["own"].values, both["gradient"].values)
    assert batches.seen == [[0], [1], [2], [3]]


def test_callable_targets_are_one_score() -> None:
    reference = torch.rand(4, 3, generator=torch.Generator().manual_seed(1))
    seen = []

    def noting(model: nn.Module, inputs: Tensor, target: Tensor, samples: Tensor) -> Tensor:
        seen.append((target.tolist(), list(model(inputs).shape)))
        return gradient(model, inputs, target, samples)

    both = found(noting, target=SimilarityTarget(reference))
    torch.testing.assert_close(both["own"].values, both["gradient"].values)
    assert seen == [([0], [1, 1])] * 4
    both = found(noting, target=lambda output: output[:, 0] - output[:, 1])
    torch.testing.assert_close(both["own"].values, both["gradient"].values)
    assert seen[4:] == [([0] * 4, [4, 1])]


def test_several_targets() -> None:
    several = explain(network(), INPUTS, methods=["gradient", ExternalMethod("own", gradient)], targets=[0, 2])
    for maps in several:
        torch.testing.assert_close(maps["own"].values, maps["gradient"].values)
    assert not torch.equal(several[0]["own"].values, several[1]["own"].values)


def test_text_inputs_are_explained_at_their_embeddings() -> None:
    class Texts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = nn.Embedding(9, 5, padding_idx=0), nn.Linear(5, 2)

        def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
            embedded = self.embedding(ids).tanh() * mask[..., None]
            return self.head(embedded.sum(1))

    torch.manual_seed(0)
    ids = torch.tensor([[1, 2, 3, 0], [4, 5, 6, 7], [8, 1, 0, 0]])
    inputs = {"ids": ids, "mask": (ids > 0).float()}
    both = found(gradient, Texts(), inputs, attribute_to="ids", embedding="auto")
    assert both["own"].values.shape == (3, 5, 4)
    torch.testing.assert_close(both["own"].values, both["gradient"].values)
    assert torch.equal(both["own"].counted, ids > 0)


def test_make_builds_anew_and_is_given_the_layer() -> None:
    made = []

    def make(model: nn.Module, layers: Any) -> Any:
        made.append((list(layers.modules), layers[0] is model.model[0], layers.reshape_transform))
        return model

    model = network()
    method = ExternalMethod("own", lambda model, inputs, *_: inputs.mean(1), make, layer="0")
    for _ in range(2):
        assert found(gradient, model, method=method)["own"].layer == "0"
    assert made == [(["0"], True, None)] * 2
    automatic = ExternalMethod("own", lambda model, inputs, *_: inputs.mean(1), make, layer="target_layers")
    assert found(gradient, model, method=automatic)["own"].layer == "2"


def test_channels_last_layouts_have_the_channels_second() -> None:
    class Frames(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv3d(3, 2, 3, padding=1), nn.Linear(2, 2)

        def forward(self, clips: Tensor) -> Tensor:
            return self.head(self.conv(clips.transpose(1, 2)).relu().mean((2, 3, 4)))

    both = found(gradient, Frames(), torch.rand(2, 4, 3, 5, 5), layout="NTCHW")
    assert both["own"].values.shape == (2, 3, 4, 5, 5)
    torch.testing.assert_close(both["own"].values, both["gradient"].values)


def test_half_precision_models_are_run_in_float32() -> None:
    def through_numpy(model: nn.Module, inputs: Tensor, target: Tensor, samples: Tensor) -> Any:
        return gradient(model, inputs, target, samples).numpy()

    model = network().bfloat16()
    before = state_of(model)
    both = found(through_numpy, model, INPUTS.bfloat16())
    exact = found(gradient, model.float(), INPUTS.bfloat16().float())
    torch.testing.assert_close(both["own"].values, exact["own"].values)
    assert_same(state_of(model.bfloat16()), before)


def test_a_frozen_model_is_explained() -> None:
    model = network().requires_grad_(False)

    def activations(explained: nn.Module, inputs: Tensor, target: Tensor, samples: Tensor) -> Tensor:
        kept = []
        explained.model[0].register_forward_hook(lambda _, args, output: kept.append(output))
        score = explained(inputs)[torch.arange(len(inputs)), target].sum()
        return torch.autograd.grad(score, kept[0])[0].sum(1)

    assert found(activations, model)["own"].values.any()


def test_a_compiled_model() -> None:
    model = torch.compile(network(), backend="eager")
    both = found(gradient, model)
    torch.testing.assert_close(both["own"].values, both["gradient"].values)


class Tokens(nn.Module):
    """A vision transformer of one block, whose outputs are tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.block = nn.Conv2d(3, 8, 2, 2), nn.Sequential(nn.Linear(8, 8), nn.GELU())
        self.start, self.head = nn.Parameter(torch.rand(1, 1, 8)), nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).mT
        tokens = torch.cat([self.start.expand(len(images), -1, -1), tokens], dim=1)
        return self.head(self.block(tokens).mean(1))


@pytest.mark.parametrize("preset", [partial(GradCamMethod, "GradCAM"), partial(TorchCamMethod, "GradCAM")])
def test_tokens_of_a_transformer_are_maps(preset: Callable[..., Any]) -> None:
    found = explain(Tokens(), INPUTS, methods=["grad_cam", preset(name="own")], target_layers="block")
    expected = found["grad_cam"].magnitude.flatten(1)
    correlation = torch.corrcoef(torch.cat([expected, found["own"].magnitude.flatten(1)]))
    assert found["grad_cam"].values.any()
    assert all(correlation[row, row + 4] > 0.9 for row in range(4) if expected[row].any())


def test_classes_of_pytorch_grad_cam_without_a_context() -> None:
    model = network()
    maps = explain(model, INPUTS, methods=GradCamMethod("RefineCAM", name="refined", layer=["0", "2"]), target=1)
    with redirect_stderr(io.StringIO()):
        expected = pytorch_grad_cam.RefineCAM(model.eval(), [model[0], model[2]])(
            INPUTS, [ClassifierOutputTarget(1)] * 4
        )
    torch.testing.assert_close(maps["refined"].values[:, 0], torch.from_numpy(expected))


def test_an_index_error_of_pytorch_grad_cam_is_told() -> None:
    model = Tokens()
    with pytest.raises(ExternalMethodError, match=r"failed \(IndexError: too many indices"):
        explain(model, INPUTS, methods=GradCamMethod("AblationCAM"), target_layers="block")
    assert not any(module._forward_hooks for module in model.modules())


class Attentive(nn.Module):
    """Attention between patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 2, 2)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        tokens = self.patches(inputs).flatten(2).transpose(1, 2)
        return self.head(self.attention(tokens, tokens, tokens)[0].mean(dim=1))


class Scaled(nn.Module):
    """A module of two inputs, in the middle of a network."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.head = Product(), nn.Linear(3 * 6 * 6, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.scale(inputs, inputs + 1).flatten(1))


class Product(nn.Module):
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first * second


def test_rules_of_zennit_on_attention_are_named_and_can_be_left_out() -> None:
    model = Attentive()
    with pytest.raises(ExternalMethodError, match=r"rule Pass on the nn\.MultiheadAttention 'attention'.*layer_map"):
        explain(model, INPUTS, methods=ZennitMethod("EpsilonPlus", name="lrp"))
    skips = [((nn.MultiheadAttention,), Hook())]
    assert explain(model, INPUTS, methods=ZennitMethod("EpsilonPlus", {"layer_map": skips}, name="lrp"))["lrp"]
    assert explain(model, INPUTS, methods=ZennitMethod("ExcitationBackprop", name="lrp"))["lrp"]
    by_name = {"name_map": [(["model.attention"], Pass())]}
    with pytest.raises(ExternalMethodError, match="rule Pass on"):
        explain(model, INPUTS, methods=ZennitMethod("NameMapComposite", by_name, name="lrp"))


def test_a_rule_of_zennit_on_a_module_of_several_inputs_is_told() -> None:
    by_name = {"name_map": [(["model.scale"], Pass())]}
    with pytest.raises(ExternalMethodError, match=r"on a module with several inputs .*expected a composite"):
        explain(Scaled(), INPUTS, methods=ZennitMethod("NameMapComposite", by_name, name="lrp"))


def test_noise_tunnels_and_layers_of_captum() -> None:
    model = network()
    tunnel = CaptumMethod("NoiseTunnel", {"nt_samples": 2}, {"attribution_method": "Saliency"}, name="tunnel")
    assert tunnel.stochastic
    activations = CaptumMethod("LayerActivation", layer="0", name="activations")
    maps = explain(model, INPUTS, methods=[tunnel, activations])
    assert maps["tunnel"].values.shape == (4, 3, 6, 6)
    torch.testing.assert_close(maps["activations"].values, model.eval()[0](INPUTS).detach().sum(1, keepdim=True))
    with pytest.raises(ExternalMethodError, match=r"has the layers.*expected one"):
        explain(model, INPUTS, methods=CaptumMethod("LayerActivation"), target_layers=["0", "2"])


def test_canonizers_write_weights_and_put_them_back() -> None:
    model = network()
    before = state_of(model)
    canonical = ZennitMethod("EpsilonPlus", canonizers=["SequentialMergeBatchNorm"], name="canonical")
    maps = explain(model, INPUTS, methods=[ZennitMethod("EpsilonPlus", name="plain"), canonical])
    assert not torch.allclose(maps["plain"].values, maps["canonical"].values)
    assert_same(state_of(model), before)


def test_libraries_are_silent(capfd: pytest.CaptureFixture[str]) -> None:
    found(gradient, method=GradCamMethod("ScoreCAM"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("preset", "module", "extra"),
    [
        (partial(CaptumMethod, "DeepLift"), "captum.attr", "captum"),
        (ZennitMethod, "zennit.composites", "zennit"),
        (partial(GradCamMethod, "GradCAM"), "pytorch_grad_cam", "grad-cam"),
        (partial(TorchCamMethod, "GradCAM"), "torchcam.methods", "torchcam"),
    ],
)
def test_a_library_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, preset: Callable[[], Any], module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MethodError, match=rf"install it with: pip install 'saliency-callbacks\[{extra}\]'"):
        preset()


def _noise(attribution: str, **arguments: Any) -> CaptumMethod:
    return CaptumMethod("NoiseTunnel", arguments, {"attribution_method": attribution})


@pytest.mark.parametrize(
    "preset",
    [
        lambda: TorchCamMethod(
            "SmoothGradCAMpp", {"eps": 1e-6, "retain_graph": True}, {"std": 0.2, "enable_hooks": True}
        ),
        lambda: GradCamMethod("AblationCAM", {"aug_smooth": True}, {"batch_size": 2}),
        lambda: _noise("IntegratedGradients", n_steps=3, nt_samples=2),
        lambda: ZennitMethod(attributor="IntegratedGradients", attributor_arguments={"n_iter": 2}),
    ],
)
def test_arguments_of_every_step_are_taken(preset: Callable[[], Any]) -> None:
    preset()


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        (lambda: CaptumMethod("DeepLfit"), "did you mean 'DeepLift'"),
        (lambda: CaptumMethod(3), "expected the name of a class"),
        (lambda: CaptumMethod("DeepLift", [3]), "captum_deep_lift: arguments=.*expected a mapping"),
        (
            lambda: CaptumMethod("DeepLift", {"baselines": "no.such.thing"}),
            r"\['baselines'\]='no.such.thing' cannot be",
        ),
        (lambda: ZennitMethod("EpsilonPlusFlta"), "did you mean 'EpsilonPlusFlat'"),
        (lambda: ZennitMethod(canonizers=["Merge"]), "canonizers='Merge' is not in"),
        (lambda: ZennitMethod(layer="0"), "expected None"),
        (lambda: GradCamMethod("GradCam"), "did you mean 'GradCAM'"),
        (lambda: TorchCamMethod("GradCAMmm"), "did you mean"),
        (lambda: CaptumMethod("Attribution"), "explains nothing by itself"),
        (lambda: CaptumMethod("NoiseTunnel"), "expected the name of a class in 'attribution_method'"),
        (lambda: CaptumMethod("DeepLift", constructor={"attribution_method": "Saliency"}), "expected no 'attr"),
        (
            lambda: CaptumMethod("IntegratedGradients", {"steps": 3}),
            r"takes no 'steps'; expected some of .*did you mean 'n_steps'",
        ),
        (lambda: CaptumMethod("Occlusion"), "arguments: missing a required argument: 'sliding_window_shapes'"),
        (lambda: CaptumMethod("DeepLift", constructor={"epsilon": 1}), "constructor: .*'epsilon'; expected"),
        (lambda: ZennitMethod("EpsilonGammaBox"), "arguments: missing a required argument: 'low'"),
        (lambda: ZennitMethod(attributor="Attributor"), "Attributor is an abstract class"),
        (lambda: ZennitMethod(attributor_arguments={"steps": 3}), "attributor_arguments: .*'steps'"),
        (lambda: GradCamMethod("GradCAM", {"smooth": True}), "arguments: .*'smooth'"),
        (lambda: GradCamMethod("ActivationsAndGradients"), "is not in pytorch_grad_cam; did you mean 'AblationCAM'"),
        (lambda: GradCamMethod("AblationCAM", constructor={"batchsize": 2}), "did you mean 'batch_size'"),
        (lambda: GradCamMethod("GradCAM", {"targets": []}), "'targets' is what the method itself gives"),
        (lambda: TorchCamMethod("LayerCAM", {"normalised": False}), "takes no 'normalised'; .*'normalized'"),
        (lambda: TorchCamMethod("ScoreCAM", constructor={"batchsize": 2}), "did you mean 'batch_size'"),
        (lambda: TorchCamMethod("GradCAM", constructor={"target_layer": "0"}), "'target_layer' is what the method"),
        (lambda: CaptumMethod("Saliency", {"target": 1}), "'target' is what the method itself gives"),
        (lambda: CaptumMethod("LayerGradCam", constructor={"layer": "0"}), "'layer' is what the method itself gives"),
        (lambda: CaptumMethod("LayerGradCam", layer=["0", "1"]), r"layer=\['0', '1'\]; expected one"),
        (lambda: _noise("Saliency", nt_sample=3), "takes no 'nt_sample'; .*'nt_samples'"),
        (lambda: _noise("IntegratedGradients", n_step=3), "did you mean 'n_steps'"),
        (lambda: _noise("Salience"), "attribution_method='Salience' is not in .*did you mean 'Saliency'"),
        (lambda: _noise("LayerGradCam"), "attribution_method: missing a required argument: 'layer'"),
        (lambda: ZennitMethod(3), "composite=3 .*expected the name of a class"),
        (lambda: ZennitMethod(canonizers="SequentialMergeBatchNorm"), "expected a list"),
        (lambda: ZennitMethod(attributor_arguments={"model": None}), "'model' is what the method itself gives"),
    ],
)
def test_wrong_presets(preset: Callable[[], Any], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        preset()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"explain": "no.such.function"}, "cannot be imported"),
        ({"explain": 3}, "expected a function"),
        ({"explain": None}, "expected a function"),
        ({"explain": gradient, "make": "torch.pi"}, "names a float, not a function"),
        ({"explain": gradient, "rows": "two"}, "rows='two'"),
        ({"explain": gradient, "reduction": "max"}, "reduction='max'"),
        ({"explain": gradient, "signed": "yes"}, "signed='yes'"),
        ({"explain": gradient, "name": ""}, "name=''"),
        ({"explain": gradient, "name": ".."}, r"name='\.\.'; expected a name with letters"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        ExternalMethod(**{"name": "own", **arguments})


def test_is_named_without_addresses() -> None:
    assert " at 0x" not in repr(ExternalMethod("own", gradient, layer=nn.ReLU()))
    assert "tests.engine.test_external.gradient" in repr(ExternalMethod("own", gradient))
    assert ExternalMethod("own", gradient) == ExternalMethod("own", "tests.engine.test_external.gradient")
