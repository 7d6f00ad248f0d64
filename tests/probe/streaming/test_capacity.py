"""Whether a probe fits into memory and disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from saliency_callbacks.errors import ProbeError
from saliency_callbacks.probe.streaming import capacity


class Huge(Dataset):
    """A trillion items of one kibibyte each."""

    def __len__(self) -> int:
        return 10**12

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        torch.rand(1)
        return torch.zeros(256), index % 2


def test_more_items_than_memory_are_an_error_and_draw_nothing() -> None:
    before = torch.get_rng_state()
    with pytest.raises(ProbeError, match=r"1000000000 samples of 1 KiB, which take about .* Choose a smaller Probe"):
        capacity.check_items_fit(Huge(), 10**9)
    capacity.check_items_fit(Huge(), 2000)
    # Few are not even looked at, nor what cannot be read.
    capacity.check_items_fit(iter(()), 10**9)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_the_system_tells_is_used_where_it_tells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert capacity.available_memory() > 2**20
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("1000\n")
    monkeypatch.setattr(capacity, "_CGROUP", tmp_path)
    assert capacity.available_memory() == 4000
    (tmp_path / "memory.max").write_text("max\n")
    assert capacity.available_memory() > 4000
    assert capacity.free_disk(tmp_path / "not" / "yet") > 0
    capacity.check_fits(10, None, "what", "memory", "fix")


def test_bytes_of_items_and_batches() -> None:
    item = {"image": torch.zeros(3, 4, dtype=torch.uint8), "more": [np.zeros(2), (torch.zeros(1), "name", 3)]}
    assert capacity.bytes_of(item) == 12 + 16 + 4
