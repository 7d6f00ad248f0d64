"""Marks and switches that every real Trainer run needs."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from saliency_callbacks import SaliencyMonitor
from saliency_callbacks.callbacks.runtime import notices

# Lightning's advice on how to run faster: the loaders of these tests are tiny on purpose. And an untrained model has
# class activation maps without positive evidence; tests of that warning expect it by name.
_IGNORED = (
    r"ignore:The '\w+' does not have many workers",
    "ignore:The number of training batches",
    "ignore:You defined a `validation_step` but have no `val_dataloader`",
    "ignore::saliency_callbacks.errors.DegenerateMapWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for warning in _IGNORED:
                item.add_marker(pytest.mark.filterwarnings(warning), append=False)


@pytest.fixture(autouse=True)
def _reproducible_and_silent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _observations_alone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the monitor's summary, which has no maps, where a module does not set ``WITH_SUMMARY``.

    Most tests look at what is observed while the model trains; the end-of-training summary has tests of its own.
    """
    if not getattr(request.module, "WITH_SUMMARY", False):
        monkeypatch.setattr(SaliencyMonitor, "_summarize", lambda *args: None)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the messages of rank zero, which are then not printed."""
    messages: list[str] = []
    monkeypatch.setattr(notices, "tell", messages.append)
    return messages
