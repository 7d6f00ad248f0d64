"""Marks that the trainings of this directory need."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

# Lightning's advice on how to run faster: the loaders are tiny on purpose.
_IGNORED = (r"ignore:The '\w+' does not have many workers", "ignore:The number of training batches")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for warning in _IGNORED:
                item.add_marker(pytest.mark.filterwarnings(warning), append=False)


@pytest.fixture(scope="session", autouse=True)
def _silent() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
