"""An offline experiment of Comet, and what is in the archive that it leaves."""

from __future__ import annotations

import inspect
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest


def offline_logger(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a ``CometLogger`` that writes into ``directory`` and records nothing of the machine."""
    from lightning.pytorch.loggers import CometLogger

    monkeypatch.setenv("COMET_START_ONLINE", "0")
    monkeypatch.setenv("COMET_LOGGING_CONSOLE", "critical")
    nothing = ("code", "graph", "git_metadata", "git_patch", "env_details")
    # Lightning 2.5 gave it another name.
    is_older = "save_dir" in inspect.signature(CometLogger).parameters
    kept_in = str(directory / "comet")
    return CometLogger(
        **({"save_dir": kept_in, "offline": True} if is_older else {"offline_directory": kept_in}),
        auto_output_logging=False,
        display_summary_level=0,
        **{f"log_{name}": False for name in nothing},
    )


def archived(logger: Any, kind: str) -> list[tuple[dict[str, Any], dict[str, Any], bytes]]:
    """End the experiment and return parameters, metadata and content of its uploads of one kind."""
    logger.experiment.end()
    # Older releases of Lightning begin another experiment when one is asked for after the end.
    return [upload for path in sorted(Path(logger.save_dir).glob("*.zip")) for upload in _uploads(path, kind)]


def _uploads(path: Path, kind: str) -> list[tuple[dict[str, Any], dict[str, Any], bytes]]:
    with zipfile.ZipFile(path) as archive:
        messages = [json.loads(line)["payload"] for line in archive.read("messages.json").splitlines()]
        return [
            (message["additional_params"], message["metadata"] or {}, archive.read(message["file_path"]))
            for message in messages
            if message.get("upload_type") == kind
        ]
