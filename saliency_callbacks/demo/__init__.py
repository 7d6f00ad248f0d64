"""A small network that falls for a shortcut, and the data and the callbacks to watch it with."""

from saliency_callbacks.demo.digits import METHODS, STICKER_CLASS, TESTED, Digits, SmallCNN, make_probe
from saliency_callbacks.demo.run import DemoResult, run_demo
from saliency_callbacks.demo.scenes import load_digit_scenes
from saliency_callbacks.demo.sticker import STICKER

__all__ = [
    "METHODS",
    "PATCH",
    "PATCHED_CLASS",
    "STICKER",
    "STICKER_CLASS",
    "TESTED",
    "DemoResult",
    "Digits",
    "SmallCNN",
    "load_digit_scenes",
    "load_tinted_digits",
    "make_probe",
    "run_demo",
]

# What version 0.1 called that which is now in their place.
PATCH, PATCHED_CLASS, load_tinted_digits = STICKER, STICKER_CLASS, load_digit_scenes
