"""Tests that need a CUDA device: marked ``gpu``, and skipped where there is none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

# Lightning's advice on how to run faster, and maps of untrained models; see the tests of real Trainers.
_IGNORED = (
    r"ignore:The '\w+' does not have many workers",
    "ignore:The number of training batches",
    "ignore::saliency_callbacks.errors.DegenerateMapWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            if not torch.cuda.is_available():
                item.add_marker(pytest.mark.skip(reason="no CUDA device; run `make test-gpu` where there is one"))
            for warning in _IGNORED:
                item.add_marker(pytest.mark.filterwarnings(warning), append=False)


@pytest.fixture(autouse=True)
def _repeatable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Let cuDNN choose kernels that repeat to the bit, in full float32."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    torch.manual_seed(0)
    yield
    torch.cuda.empty_cache()
