"""A small network that falls for a shortcut, and the data and the callbacks to watch it with."""

from saliency_callbacks.demo.digits import (
    METHODS,
    PATCH,
    PATCHED_CLASS,
    TESTED,
    Digits,
    SmallCNN,
    load_tinted_digits,
    make_probe,
)
from saliency_callbacks.demo.run import DemoResult, run_demo

__all__ = [
    "METHODS",
    "PATCH",
    "PATCHED_CLASS",
    "TESTED",
    "DemoResult",
    "Digits",
    "SmallCNN",
    "load_tinted_digits",
    "make_probe",
    "run_demo",
]
