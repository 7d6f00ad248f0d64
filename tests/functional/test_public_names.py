"""The namespace is complete and sorted."""

from __future__ import annotations

import inspect

from saliency_callbacks import functional


def test_all_is_sorted_and_complete():
    public = [name for name, value in vars(functional).items() if inspect.isfunction(value)]
    assert functional.__all__ == sorted(public)
