"""Explain a model while it trains: Lightning callbacks for saliency, its trustworthiness and its drift.

Public names are imported on first use, so that ``import saliency_callbacks.functional`` needs torch alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from saliency_callbacks._lazy import attributes_of

if TYPE_CHECKING:
    from saliency_callbacks._explain import explain
    from saliency_callbacks.callbacks.cue.alarm import CueAlarm
    from saliency_callbacks.callbacks.cue.confirmation import Confirmation
    from saliency_callbacks.callbacks.cue.rule import AlarmRule
    from saliency_callbacks.callbacks.discovery.callback import ShortcutDiscovery
    from saliency_callbacks.callbacks.faithfulness.callback import FaithfulnessTest
    from saliency_callbacks.callbacks.faithfulness.settings import Perturbation
    from saliency_callbacks.callbacks.randomization.callback import RandomizationTest
    from saliency_callbacks.callbacks.randomization.data import data_randomization_test
    from saliency_callbacks.callbacks.randomization.settings import Cascade, Draws
    from saliency_callbacks.callbacks.runtime.appearance import Appearance
    from saliency_callbacks.callbacks.runtime.settings import Compute, ModelReading, Storage
    from saliency_callbacks.callbacks.saliency.monitor import SaliencyMonitor
    from saliency_callbacks.callbacks.text.appearance import TextAppearance
    from saliency_callbacks.callbacks.text.monitor import TokenSaliencyMonitor
    from saliency_callbacks.dashboard.notebook import show
    from saliency_callbacks.discovery.discover import discover_shortcuts
    from saliency_callbacks.localization.find import localize
    from saliency_callbacks.localization.settings import Localization
    from saliency_callbacks.probe.probe import Probe
    from saliency_callbacks.randomization import DataRandomizationResult, RandomizationResult, randomization_test
    from saliency_callbacks.types import Attribution, Snapshot

__all__ = [
    "AlarmRule",
    "Appearance",
    "Attribution",
    "Cascade",
    "Compute",
    "Confirmation",
    "CueAlarm",
    "DataRandomizationResult",
    "Draws",
    "FaithfulnessTest",
    "Localization",
    "ModelReading",
    "Perturbation",
    "Probe",
    "RandomizationResult",
    "RandomizationTest",
    "SaliencyMonitor",
    "ShortcutDiscovery",
    "Snapshot",
    "Storage",
    "TextAppearance",
    "TokenSaliencyMonitor",
    "data_randomization_test",
    "discover_shortcuts",
    "explain",
    "localize",
    "randomization_test",
    "show",
]

__version__ = "0.1.0"

_HOMES = {
    "AlarmRule": "saliency_callbacks.callbacks.cue.rule",
    "Appearance": "saliency_callbacks.callbacks.runtime.appearance",
    "Attribution": "saliency_callbacks.types",
    "Cascade": "saliency_callbacks.callbacks.randomization.settings",
    "Compute": "saliency_callbacks.callbacks.runtime.settings",
    "Confirmation": "saliency_callbacks.callbacks.cue.confirmation",
    "CueAlarm": "saliency_callbacks.callbacks.cue.alarm",
    "DataRandomizationResult": "saliency_callbacks.randomization",
    "Draws": "saliency_callbacks.callbacks.randomization.settings",
    "Localization": "saliency_callbacks.localization.settings",
    "FaithfulnessTest": "saliency_callbacks.callbacks.faithfulness.callback",
    "ModelReading": "saliency_callbacks.callbacks.runtime.settings",
    "Perturbation": "saliency_callbacks.callbacks.faithfulness.settings",
    "Probe": "saliency_callbacks.probe.probe",
    "RandomizationResult": "saliency_callbacks.randomization",
    "RandomizationTest": "saliency_callbacks.callbacks.randomization.callback",
    "SaliencyMonitor": "saliency_callbacks.callbacks.saliency.monitor",
    "ShortcutDiscovery": "saliency_callbacks.callbacks.discovery.callback",
    "Snapshot": "saliency_callbacks.types",
    "Storage": "saliency_callbacks.callbacks.runtime.settings",
    "TextAppearance": "saliency_callbacks.callbacks.text.appearance",
    "TokenSaliencyMonitor": "saliency_callbacks.callbacks.text.monitor",
    "data_randomization_test": "saliency_callbacks.callbacks.randomization.data",
    "discover_shortcuts": "saliency_callbacks.discovery.discover",
    "explain": "saliency_callbacks._explain",
    "localize": "saliency_callbacks.localization.find",
    "randomization_test": "saliency_callbacks.randomization",
    "show": "saliency_callbacks.dashboard.notebook",
}


__getattr__ = attributes_of(globals(), _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
