"""Two processes that train together, and that cannot outlive a test.

Run as a module, with a directory and the names of scenarios: ``python -m tests.distributed.launch DIRECTORY NAME …``.
Each rank runs the scenarios one after the other and writes what it found into ``DIRECTORY/NAME.RANK.pt``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
N_RANKS = 2


def launch(directory: Path, names: Sequence[str], *, timeout: float) -> tuple[int, str]:
    """Run scenarios on all ranks; return the status of rank zero and what was printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.distributed.launch", str(directory), *names]
    return run_group(command, directory, environment, timeout=timeout)


def run_group(
    command: Sequence[str], directory: Path, environment: Mapping[str, str], *, timeout: float
) -> tuple[int, str]:
    """Run a command in a process group of its own; nothing of it is left running."""
    with Path(directory, "output.txt").open("w+b") as output:
        process = subprocess.Popen(
            command, cwd=directory, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            status = -signal.SIGKILL
        finally:
            # The whole group: rank one hangs where rank zero died.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        return status, output.read().decode(errors="replace")


def results(directory: Path, name: str) -> list[Any]:
    """Return what each rank found in a scenario."""
    return [torch.load(directory / f"{name}.{rank}.pt", weights_only=False) for rank in range(N_RANKS)]


def _main(directory: Path, names: Sequence[str]) -> None:
    from tests.distributed import scenarios, target_scenarios

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free.getsockname()[1]), NODE_RANK="0")
    # All is imported by now, once. Lightning takes a process with a local rank for one of several.
    child = os.fork()
    rank = 0 if child else 1
    os.environ["LOCAL_RANK"] = str(rank)
    status = 0
    try:
        for name in names:
            home = scenarios if hasattr(scenarios, name) else target_scenarios
            found = getattr(home, name)(rank, directory)
            torch.save(found, directory / f"{name}.{rank}.pt")
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    if child and status == 0:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    # At once: to end in an orderly way, the process group would wait for ranks that are no more.
    os._exit(status)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2:])
