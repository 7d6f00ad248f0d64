"""Whether the cue alarm tells models that use a shortcut from models that do not, measured on digits.

Usage::

    python -m benchmarks.cue_experiments [--seeds 10] [--epochs 20] [--workers 2] [--write docs/cue_experiments.md]
"""
