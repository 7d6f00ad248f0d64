"""An offline run of SwanLab that records nothing of the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

NOTHING = {"hardware": False, "runtime": False, "git": False, "requirements": False, "monitor": False}


def offline_logger(directory: Path) -> Any:
    """Make a ``SwanLabLogger`` that writes into ``directory``, where the package is installed."""
    swanlab = pytest.importorskip("swanlab", reason="needs the package swanlab")
    from swanlab.integration.pytorch_lightning import SwanLabLogger

    settings = swanlab.Settings(probe=NOTHING, terminal={"proxy_type": "none"})
    return SwanLabLogger(
        project="test", mode="offline", log_dir=str(directory / "swanlog"), save_dir=directory, settings=settings
    )


def end() -> None:
    """End the run, if there is one."""
    import swanlab

    if swanlab.has_run():
        swanlab.finish()
