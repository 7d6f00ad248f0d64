"""A process that is killed in the middle of writing a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.files import check_files

_ROOT = Path(__file__).parents[2]
_LIMIT = 100
# The twelfth file is among those of the second observation. Half of it is written, then the process is gone.
_PROGRAM = """
import os, signal, sys
from pathlib import Path
from tests.faults.full_disk import taking_half
from tests.faults.runs import Scene, run

Path.open = taking_half([12], lambda: os.kill(os.getpid(), signal.SIGKILL))
run(Scene("SaliencyMonitor", Path(sys.argv[1])), None)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups of this kind")
def test_a_killed_process_leaves_no_half_file(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(tmp_path)],
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert child.wait(_LIMIT) == -signal.SIGKILL
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    (leftover,) = tmp_path.rglob("*.tmp")
    assert leftover.name.startswith("."), "nothing that reads a directory takes it for a file of the run"
    leftover.unlink()
    counts = check_files(tmp_path)
    assert counts.get("safetensors", 0) >= 1, "what was written before is there"
