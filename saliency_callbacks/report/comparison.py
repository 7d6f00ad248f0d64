"""Which monitors of two runs belong together, and whether they explain the same probe."""

from __future__ import annotations

from collections.abc import Sequence

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.report.monitors import Monitor
from saliency_callbacks.report.run_contents import Contents

__all__ = ["check_comparable", "pairs"]


def pairs(contents: Sequence[Contents]) -> list[tuple[Monitor, ...]]:
    """Return the monitors of one run, or pairs of those of two runs: by name, or the only one of each."""
    if len(contents) == 1:
        return [(monitor,) for monitor in contents[0].monitors]
    first, second = (content.monitors for content in contents)
    if len(first) == len(second) == 1:
        return [(first[0], second[0])]
    named = {monitor.archive.name: monitor for monitor in second}
    return [(monitor, named[monitor.archive.name]) for monitor in first if monitor.archive.name in named]


def check_comparable(contents: Sequence[Contents]) -> None:
    """Check that paired monitors of two runs explain the same probe.

    Raises:
        ConfigurationError: If a pair does not, or if both runs have pictures and no monitors can be paired.
    """
    found = pairs(contents)
    refusal = "the run " + " cannot be compared with ".join(content.run.name for content in reversed(contents))
    if not found and all(content.monitors for content in contents):
        names = [", ".join(monitor.archive.name for monitor in content.monitors) for content in contents]
        raise ConfigurationError(
            f"{refusal}: they have no monitor in common ({' and '.join(names)}). Use the same `namespace=` in both runs"
        )
    for pair in found:
        if len({monitor.probe.fingerprint for monitor in pair}) > 1:
            raise ConfigurationError(f"{refusal}: they explain different samples. Observe both with the same probe")
