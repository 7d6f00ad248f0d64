"""Trainings of these tests judge warnings themselves."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def _silent() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
