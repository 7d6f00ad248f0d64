"""Where a local MLflow run keeps its artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname


def kept_in(logger: Any) -> Path:
    """Return the directory of a run's artifacts; releases before 3.11 do not download the names that they write."""
    return Path(url2pathname(urlparse(logger.experiment.get_run(logger.run_id).info.artifact_uri).path))
