"""Ctrl-C at every line of what puts a model to rest and back, one after the other."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import saliency_callbacks
from saliency_callbacks import explain, randomization_test
from tests.faults.runs import digest, traces

_CAPTURE = Path(saliency_callbacks.__file__).parent / "capture"
_FILES = {str(_CAPTURE / f"{name}.py") for name in ("quiescence", "rng", "attributes", "eager", "activations")}
_RANDOMIZING = {str(_CAPTURE / f"{name}.py") for name in ("randomize", "contents")}


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))


def _explain(model: nn.Module) -> None:
    explain(model, torch.ones(2, 1, 6, 6), methods=["gradient", "grad_cam"], target_layers="0", target=0)


def _randomize(model: nn.Module) -> None:
    randomization_test(model, torch.ones(2, 1, 6, 6), methods="gradient", target=0, n_draws=2, random_logit=False)


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")
@pytest.mark.parametrize(
    ("work", "files", "every"), [(_explain, _FILES, 3), (_randomize, _RANDOMIZING, 37)], ids=["explain", "randomize"]
)
def test_the_model_is_back_wherever_ctrl_c_comes(model: nn.Module, work: Any, files: set[str], every: int) -> None:
    work(model)
    before, n_lines = _state(model), _interrupted(model, work, files, None)
    assert n_lines > 100
    for line in range(1, n_lines, every):
        assert _interrupted(model, work, files, line) >= line
        assert _state(model) == before, f"after Ctrl-C at line {line} of {n_lines}"


def _state(model: nn.Module) -> str:
    switches = [
        torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.backends.mha.get_fastpath_enabled(),
        torch.backends.cudnn.enabled, signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    ]  # fmt: skip
    return digest([traces(model), switches])


def _interrupted(model: nn.Module, work: Any, files: set[str], at: int | None) -> int:
    """Run ``work`` with a Ctrl-C when ``at`` lines of ``files`` have run; return how many there were."""
    lines = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal lines
        if frame.f_code.co_filename not in files:
            return None
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
    return lines
