"""Models and data of other packages, with random weights: run by ``make test-ecosystem`` in its own environment."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

_PACKAGES = (
    "anomalib",
    "kornia",
    "lightly",
    "monai",
    "segmentation_models_pytorch",
    "timm",
    "torchgeo",
    "transformers",
    "vit_pytorch",
)
_MISSING = [name for name in _PACKAGES if find_spec(name) is None]

# Left out rather than skipped one by one: `make test` has none of them installed.
collect_ignore_glob = ["test_*.py"] if _MISSING else []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            # Other packages warn as they please, and ours warns of the maps of untrained models.
            item.add_marker(pytest.mark.filterwarnings("default"), append=False)


@pytest.fixture(autouse=True)
def _repeatable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
