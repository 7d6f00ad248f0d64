"""What a model asks not to record is recorded inside, and nothing outside of the context, or of the model, changes."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointFunction, checkpoint, checkpoint_sequential

from saliency_callbacks import explain
from saliency_callbacks.capture.isolation.grad_mode import through_no_grad
from saliency_callbacks.errors import GradientError

_BLOCKS = (torch.no_grad.__enter__, torch.inference_mode.__enter__, torch.set_grad_enabled.__init__)


@pytest.fixture(autouse=True)
def _nothing_is_left_behind():
    yield
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    assert (torch.no_grad.__enter__, torch.inference_mode.__enter__, torch.set_grad_enabled.__init__) == _BLOCKS
    assert "apply" not in vars(CheckpointFunction)


def _as_context(x: Tensor, context: Callable[[], object]) -> Tensor:
    with context():
        return x * 2


def _switched(x: Tensor) -> Tensor:
    before = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    y = x * 2
    torch.set_grad_enabled(before)
    return y


def _nested(x: Tensor) -> Tensor:
    with torch.no_grad():
        with torch.no_grad(), torch.enable_grad():
            y = x + x
        return y * 1


@torch.no_grad()
def _decorated(x: Tensor) -> Tensor:
    return x * 2


@torch.inference_mode
def _inferred(x: Tensor) -> Tensor:
    return x * 2


@torch.set_grad_enabled(False)
def _disabled(x: Tensor) -> Tensor:
    return x * 2


def _directly(x: Tensor) -> Tensor:
    before = torch.is_grad_enabled()
    torch._C._set_grad_enabled(False)
    y = x * 2
    torch._C._set_grad_enabled(before)
    return y


FORWARDS = {
    "no_grad": lambda x: _as_context(x, torch.no_grad),
    "inference_mode": lambda x: _as_context(x, torch.inference_mode),
    "set_grad_enabled": lambda x: _as_context(x, lambda: torch.set_grad_enabled(False)),
    "switched": _switched,
    "nested": _nested,
    "decorated": _decorated,
    "inferred": _inferred,
    "disabled": _disabled,
    "directly": _directly,
    "checkpoint": torch.no_grad()(lambda x: checkpoint(lambda y: y * 2, x, use_reentrant=True)),
}


@pytest.mark.parametrize("forward", FORWARDS.values(), ids=FORWARDS)
def test_gradients_are_recorded_inside_alone(forward):
    x = torch.rand(3, requires_grad=True)
    plain = forward(x)
    with through_no_grad():
        recorded = forward(x)
        assert torch.is_grad_enabled()
    assert not plain.requires_grad
    assert not forward(x).requires_grad
    assert torch.equal(recorded, plain)
    (gradient,) = torch.autograd.grad(recorded.sum(), x)
    assert torch.equal(gradient, torch.full((3,), 2.0))


def test_a_caller_that_records_nothing_stays_so():
    x = torch.rand(3, requires_grad=True)
    for outer in (torch.no_grad, torch.inference_mode):
        with outer(), through_no_grad():
            assert not (x * 2).requires_grad
        assert torch.is_grad_enabled()


def test_an_exception_in_the_middle():
    with pytest.raises(ValueError, match="stop"), through_no_grad(), torch.no_grad(), torch.inference_mode():
        raise ValueError("stop")


def test_other_threads_are_left_alone():
    x, found = torch.rand(3, requires_grad=True), []
    with through_no_grad():
        thread = threading.Thread(target=lambda: found.append(_decorated(x).requires_grad))
        thread.start()
        thread.join()
        assert _decorated(x).requires_grad
    assert found == [False]


def test_one_within_another():
    x = torch.rand(3, requires_grad=True)
    with through_no_grad():
        with through_no_grad():
            pass
        assert _decorated(x).requires_grad
        assert _inferred(x).requires_grad


def test_a_function_of_its_own_computes_what_it_does():
    seen = []

    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            with torch.enable_grad():
                seen.append(torch.is_grad_enabled())
            with torch.no_grad():
                seen.append(torch.is_grad_enabled())
            seen.append(torch.is_grad_enabled())
            return x * 2

        @staticmethod
        def backward(ctx, gradient):
            return gradient * 2

    x = torch.rand(3, requires_grad=True)
    with through_no_grad(), torch.no_grad():
        y = Own.apply(x)
    assert seen == [True, False, False]
    assert torch.autograd.grad(y.sum(), x)[0].tolist() == [2.0] * 3


class _Restless(nn.Module):
    """Writes under `no_grad` into all that it holds, in evaluation mode too, as momentum encoders and caches do."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 3, 3)
        self.teacher = nn.Conv2d(1, 3, 3).requires_grad_(False)
        self.head = nn.Linear(3, 2)
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("queue", torch.zeros(4, 3))
        self.large = torch.zeros(1_000_001)

    @torch.no_grad()
    def backbone(self, x):
        for mine, its in zip(self.conv.parameters(), self.teacher.parameters(), strict=True):
            its.mul_(1).add_(mine, alpha=0)
            mine.clamp_(-10, 10)
        torch._foreach_mul_(list(self.teacher.parameters()), 1.0)
        features = (self.conv(x) + self.teacher(x)).relu().mean((2, 3))
        self.mean.mul_(0.9).add_(features.mean(0), alpha=0.1)
        self.queue[: len(features)] = features
        self.large[:3] = features[0]
        return features + self.queue.mean() * 0

    def forward(self, x):
        return self.head(self.backbone(x))


def test_what_a_model_writes_into_is_what_it_was():
    model, x = _Restless(), torch.rand(2, 1, 6, 6)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    held = [*model.parameters(), *model.buffers(), model.large]
    flags = [tensor.requires_grad for tensor in held]
    found = explain(model, x, methods=["gradient", "grad_cam"], target=1, internal_batch_size=1)
    assert all(attribution.values.any() for attribution in found.values())
    now = [*model.parameters(), *model.buffers(), model.large]
    assert all(one is other for one, other in zip(now, held, strict=True))
    assert [tensor.requires_grad for tensor in held] == flags
    assert all(tensor.is_leaf and tensor.grad is None for tensor in held)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


class _Frozen(nn.Module):
    def __init__(self, run):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 3, 3))
        self.head = nn.Linear(3, 2)
        self.run = run

    def forward(self, x):
        return self.head(self.run(self.backbone, x).mean((2, 3)))


def _without(backbone, x):
    with torch.no_grad():
        return backbone(x)


def _by_hand(backbone, x):
    torch._C._set_grad_enabled(False)
    try:
        return backbone(x)
    finally:
        torch._C._set_grad_enabled(True)


CHECKPOINTED = {
    "inside": lambda backbone, x: checkpoint(_without, backbone, x, use_reentrant=False),
    "around": lambda backbone, x: _decorated(checkpoint(backbone, x, use_reentrant=False)) / 2,
    "below": torch.no_grad()(lambda backbone, x: checkpoint(backbone, x, use_reentrant=False)),
    "reentrant": lambda backbone, x: checkpoint(backbone, x, use_reentrant=True),
    "reentrant, inside": lambda backbone, x: checkpoint(_without, backbone, x, use_reentrant=True),
    "reentrant, around": lambda backbone, x: _decorated(checkpoint(backbone, x, use_reentrant=True)) / 2,
    "reentrant, below": torch.no_grad()(lambda backbone, x: checkpoint(backbone, x, use_reentrant=True)),
    "reentrant, in parts": torch.no_grad()(
        lambda backbone, x: checkpoint_sequential(backbone, 2, x, use_reentrant=True)
    ),
    "switched by hand": _by_hand,
}


# As torch warns in the model's own forward: a frozen part has nothing to record.
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad=True")
@pytest.mark.parametrize("run", CHECKPOINTED.values(), ids=CHECKPOINTED)
def test_checkpointed_parts_run_again_as_they_did(run):
    x = torch.rand(2, 1, 8, 8)
    found, expected = (
        explain(_Frozen(each).eval(), x, target=1) for each in (run, lambda backbone, images: backbone(images))
    )
    for name in expected:
        torch.testing.assert_close(found[name].values, expected[name].values)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad=True")
@pytest.mark.parametrize("methods", ["gradient", "grad_cam", ["guided_backprop", "grad_cam"]], ids=str)
def test_a_reentrant_checkpoint_with_each_method(methods):
    x = torch.rand(2, 1, 8, 8)
    found, expected = (
        explain(_Frozen(run).eval(), x, target=1, methods=methods) for run in (CHECKPOINTED["reentrant"], _plainly)
    )
    for name in expected:
        torch.testing.assert_close(found[name].values, expected[name].values)


def _plainly(backbone, x):
    return backbone(x)


def test_what_turns_gradients_off_out_of_sight_is_named():
    def hidden(backbone, x):
        with torch._C._InferenceMode(True):
            features = backbone(x)
        return features.clone()

    with pytest.raises(GradientError, match=r"turns off gradients where .*`torch.no_grad\(\)` can be used"):
        explain(_Frozen(hidden).eval(), torch.rand(2, 1, 8, 8), methods="gradient", target=1)


def test_a_compiled_backbone():
    model = _Frozen(_without).eval()
    expected = explain(_Frozen(lambda backbone, x: backbone(x)).eval(), x := torch.rand(2, 1, 8, 8), target=1)
    model.backbone = torch.compile(model.backbone, backend="eager")
    found = explain(model, x, methods="gradient", target=1)
    torch.testing.assert_close(found["gradient"].values, expected["gradient"].values)
