"""How a run was made, as names and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saliency_callbacks.report.runs import Archive

__all__ = ["facts_of"]

# What is kept so that a suspicion can be dismissed.
_FOR_PROGRAMS = ("suspicions",)


def facts_of(archive: Archive) -> dict[str, Any]:
    """Return what the last observation says about how it was made, as ``{"title", "rows": [[name, value]]}``."""
    if not archive.observations:
        return {"title": archive.name, "rows": []}
    last = archive.observations[-1]
    rows: list[list[str]] = []
    for name, value in last["metadata"].items():
        if name in _FOR_PROGRAMS:
            continue
        rows += _fact(str(name).replace("_", " "), value)
    layers = {str(facts.get("layer")) for facts in last["methods"].values() if facts.get("layer")}
    if layers:
        rows.append(["target layers", ", ".join(sorted(layers))])
    rows.append(["observations", str(len(archive.observations))])
    return {"title": archive.name, "rows": rows}


def _fact(name: str, value: Any) -> list[list[str]]:
    if isinstance(value, Mapping):
        return [[f"{name} · {key}", str(item)] for key, item in value.items()]
    if isinstance(value, list):
        return [[name, ", ".join(map(str, value)) or "none"]]
    return [[name, "none" if value is None else str(value)]]
