"""Marks that the trainings of the command line need."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Lightning's advice on how to run faster: the loaders of these tests are tiny on purpose.
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(r"ignore:The '\w+' does not have many workers"))
            item.add_marker(pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning"))
