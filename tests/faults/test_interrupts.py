"""Ctrl-C while a model is put to rest and used, at one line of several, and at every line of what restores it."""

from __future__ import annotations

import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import saliency_callbacks
from saliency_callbacks import explain
from saliency_callbacks.capture.isolation.arithmetic import Arithmetic
from saliency_callbacks.capture.weights.layers import find_weight_layers
from saliency_callbacks.capture.weights.randomizer import randomizer
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.methods.resolution import resolve_methods
from tests.faults.runs import digest, traces

_CAPTURE = Path(saliency_callbacks.__file__).parent / "capture"
_SHARED = ("isolation/attributes", "isolation/sigint", "isolation/rng")


def _files(*names: str) -> set[str]:
    return {str(_CAPTURE / f"{name}.py") for name in (*names, *_SHARED)}


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        # Its weight is a plain attribute, which a reset writes into.
        head = nn.utils.weight_norm(nn.Linear(32, 3))
    return nn.Sequential(nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), head)


def _explain(model: nn.Module) -> None:
    explain(model, torch.ones(2, 2, 6, 6), methods=["gradient", "grad_cam"], target_layers="0", target=0)


def _explain_fast(model: nn.Module) -> None:
    arithmetic = Arithmetic("bfloat16", is_channels_last=True)
    settings = Settings(resolve_methods("gradient"), arithmetic=arithmetic)
    run_engine(model, torch.ones(2, 2, 6, 6), settings, [0])


def _randomize(model: nn.Module) -> None:
    # Without the explanations, which take most of the time of a test.
    layers = find_weight_layers(model.eval(), lambda: model(torch.ones(2, 2, 6, 6)))
    with randomizer(model) as weights:
        for number in range(2):
            weights.restore()
            weights.draw(layers, number)
            model(torch.ones(2, 2, 6, 6))


@pytest.mark.parametrize(
    ("work", "files", "every"),
    [
        (_explain, _files("isolation/context", "isolation/eager", "hooks"), 5),
        (_explain_fast, _files("isolation/context", "isolation/arithmetic", "isolation/channels_last"), 11),
        (_randomize, _files("weights/randomizer", "isolation/tensor_copies", "isolation/shards"), 37),
    ],
    ids=["explain", "explain fast", "randomize"],
)
def test_the_model_is_back_wherever_ctrl_c_comes(model: nn.Module, work: Any, files: set[str], every: int) -> None:
    work(model)
    before, (n_lines, end) = _state(model), _interrupted(model, work, files, None)
    assert end > 100
    assert n_lines - end > 50
    # From the end of the body on, which is the start of the last `__exit__`: every line.
    for line in [*range(1, end, every), *range(end, n_lines + 1)]:
        assert _interrupted(model, work, files, line)[0] >= line
        assert _state(model) == before, f"after Ctrl-C at line {line} of {n_lines}"


def _state(model: nn.Module) -> str:
    switches = [
        torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.backends.mha.get_fastpath_enabled(),
        torch.backends.cudnn.enabled, torch.is_autocast_enabled("cpu"),
        signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    ]  # fmt: skip
    tensors = [
        value for module in model.modules() for value in vars(module).values() if isinstance(value, torch.Tensor)
    ]
    strides = [parameter.stride() for parameter in model.parameters()]
    return digest([traces(model), tensors, strides, switches])


def _interrupted(model: nn.Module, work: Any, files: set[str], at: int | None) -> tuple[int, int]:
    """Run ``work`` with a Ctrl-C at line ``at`` of those of ``files`` that run.

    Return how many lines there were, and which was the first of the last ``__exit__``.
    """
    lines = end = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal lines, end
        if frame.f_code.co_filename not in files:
            return None
        if event == "call" and frame.f_code.co_name == "__exit__":
            end = lines + 1
        if event == "line":
            lines += 1
            if lines == at:
                signal.raise_signal(signal.SIGINT)
        return trace

    tracing = sys.gettrace()
    sys.settrace(trace)
    try:
        work(model)
    except KeyboardInterrupt:
        assert at is not None
    finally:
        sys.settrace(tracing)
    return lines, end
