"""Two processes for all tests together: to start them takes longer than what they do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from tests.distributed.launch import launch, results

_TIMEOUT = 400
_SCENARIOS = (
    "found_ddp",
    "found_fsdp2",
    "randomized_fsdp2",
    "kept_ddp",
    "kept_fsdp2",
    "together_ddp",
    "together_fsdp2",
    "texts_ddp",
    "discovered_ddp",
    "discovered_fsdp2",
    "streamed_ddp",
    "streamed_fsdp2",
    "identity_ddp",
    "identity_fsdp2",
    "resumed_ddp",
    "resumed_fsdp2",
    "fast_ddp",
    "fast_fsdp2",
    "one_fails",
    "different_data",
    "explained_ddp",
    "explained_fsdp2",
    "interrupted_ddp",
    "interrupted_fsdp2",
    "parts_fail",
)
_HAS_FSDP2 = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 6)


@pytest.fixture
def _fsdp2() -> None:
    if not _HAS_FSDP2:
        pytest.skip("before torch 2.6 FSDP2 needs a CUDA device")


@pytest.fixture(scope="session")
def _directory(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    base = tmp_path_factory.getbasetemp()
    # One launch for all workers of a run, too.
    directory = (base if worker_id == "master" else base.parent) / "two-processes"
    with FileLock(f"{directory}.lock"):
        if not directory.exists():
            directory.mkdir()
            status, output = launch(
                directory, [name for name in _SCENARIOS if _HAS_FSDP2 or "fsdp2" not in name], timeout=_TIMEOUT
            )
            if status != 0:
                (directory / "failed.txt").write_text(output[-6000:])
    return directory


@pytest.fixture
def ranks(_directory: Path, request: pytest.FixtureRequest) -> Callable[[str], list[Any]]:
    """Return what each rank found in a scenario."""
    failed = _directory / "failed.txt"

    def of(name: str) -> list[Any]:
        if "fsdp2" in name:
            request.getfixturevalue("_fsdp2")
        if failed.exists() and not (_directory / f"{name}.1.pt").exists():
            pytest.fail(f"{name} did not end well:\n{failed.read_text()}")
        return results(_directory, name)

    return of


@pytest.fixture(autouse=True)
def _silent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    monkeypatch.chdir(tmp_path)
