"""A stand-in for the services of lightning.ai, which keeps the files that a real LitLogger sends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


@dataclass(frozen=True)
class Upload:
    """One file as it was sent."""

    name: str
    kind: str
    step: int | None
    content: bytes


class Cloud:
    """What was sent: media, files and values of metrics."""

    def __init__(self) -> None:
        self.media: list[Upload] = []
        self.files: dict[str, bytes] = {}
        self.metrics: list[tuple[str, float, int | None]] = []

    def upload_media(self, *, file_path: str, name: str, media_type: Any, step: int | None, **_: Any) -> None:
        self.media.append(Upload(name, str(media_type).rpartition("_")[2].lower(), step, Path(file_path).read_bytes()))

    def upload_experiment_file_artifact(self, *, file_path: str, remote_path: str, **_: Any) -> None:
        self.files[remote_path] = Path(file_path).read_bytes()

    def get_or_create_experiment_metrics(self, **facts: Any) -> tuple[Any, bool]:
        return SimpleNamespace(id="experiment", name=facts["name"], cluster_id="cluster", tags=[]), True

    def get_experiment_metrics_by_name(self, *_: Any, **__: Any) -> None:
        return None

    def get_last_steps(self, *_: Any) -> dict[str, int]:
        return {}

    def append_experiment_metrics(self, *, metrics: Sequence[Any], **_: Any) -> None:
        self.metrics += [(series.name, value.value, value.step) for series in metrics for value in series.values]

    def update_experiment_metrics(self, **_: Any) -> None:
        pass

    @property
    def client(self) -> Any:
        return SimpleNamespace()


def connect(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """Let litlogger reach nothing but a cloud of its own, which is returned."""
    pytest.importorskip("litlogger", reason="needs the package litlogger")
    # Not as attributes of the package, which has others of these names.
    experiment, media = import_module("litlogger.experiment"), import_module("litlogger.media")
    cloud = Cloud()
    teamspace = SimpleNamespace(
        id="teamspace", name="team", owner=SimpleNamespace(name="owner"), list_models=list, list_model_versions=list
    )
    monkeypatch.setattr(experiment, "AuthApi", lambda: SimpleNamespace(authenticate=lambda: None))
    monkeypatch.setattr(experiment, "_resolve_teamspace", lambda _: teamspace)
    monkeypatch.setattr(experiment, "get_accessible_url", lambda **_: "")
    monkeypatch.setattr(experiment, "build_experiment_url", lambda **_: "")
    monkeypatch.setattr(experiment.atexit, "register", lambda _: None)
    monkeypatch.setattr(experiment.signal, "signal", lambda *_: None)
    for module, names in [(experiment, ("MetricsApi", "MediaApi", "ArtifactsApi")), (media, ("ArtifactsApi",))]:
        for name in names:
            monkeypatch.setattr(module, name, lambda **_: cloud)
    return cloud
