"""Ray Train's Lightning integration, with two workers."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest
import torch

from tests.distributed.launch import ROOT, run_group
from tests.distributed.test_two_processes import _alone, _assert_close

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed (the extra `ray`)"),
    pytest.mark.timeout(500),
]


def test_two_workers_find_what_one_process_finds(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.distributed.ray_training", str(tmp_path)]
    status, output = run_group(command, tmp_path, environment, timeout=400)
    assert status == 0, output[-6000:]
    zero, one = (torch.load(tmp_path / f"ray.{rank}.pt", weights_only=False) for rank in range(2))
    for what, found in zero.items():
        if what != "stages":
            _assert_close(found, _alone(5)[what])
            assert repr(found) == repr(one[what])
    assert len(zero["stages"]) == 9, "three callbacks at three moments: one has nothing to say at the end"
    assert one["stages"] == []
