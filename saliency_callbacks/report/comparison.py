"""Two runs compare where they explain the same probe."""

from __future__ import annotations

from collections.abc import Sequence

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.report.frames import Monitor
from saliency_callbacks.report.reading import Contents

__all__ = ["check_comparable", "pairs"]


def pairs(contents: Sequence[Contents]) -> list[tuple[Monitor, ...]]:
    """Return the monitors of one run, or those of two runs that belong together: by name, else the only ones."""
    if len(contents) == 1:
        return [(monitor,) for monitor in contents[0].monitors]
    first, second = (content.monitors for content in contents)
    if len(first) == len(second) == 1:
        return [(first[0], second[0])]
    named = {monitor.archive.name: monitor for monitor in second}
    return [(monitor, named[monitor.archive.name]) for monitor in first if monitor.archive.name in named]


def check_comparable(contents: Sequence[Contents]) -> None:
    """Check that monitors of two runs that belong together explain the same probe.

    Raises:
        ConfigurationError: If two do not, or no two belong together where both runs have pictures.
    """
    found = pairs(contents)
    if not found and all(content.monitors for content in contents):
        names = [", ".join(monitor.archive.name for monitor in content.monitors) for content in contents]
        raise ConfigurationError(
            f"the runs have no monitor in common: {' and '.join(names)}; use the same namespace= in both runs"
        )
    for pair in found:
        fingerprints = [monitor.probe.fingerprint for monitor in pair]
        if len(set(fingerprints)) > 1:
            raise ConfigurationError(
                f"the runs explain different probes, {fingerprints[0]} and {fingerprints[1]}, so their maps do not "
                "compare; observe both with the same probe, or write two reports"
            )
