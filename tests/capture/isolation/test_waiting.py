from __future__ import annotations

import pytest
import torch

from saliency_callbacks.capture.isolation.waiting import wait_for


@pytest.mark.parametrize(
    ("name", "given"), [("cuda:1", [torch.device("cuda:1")]), ("xpu:0", [torch.device("xpu:0")]), ("mps", [])]
)
def test_times_wait_for_the_device(monkeypatch, name, given):
    device, waited = torch.device(name), []
    monkeypatch.setattr(getattr(torch, device.type), "synchronize", lambda *args: waited.append(list(args)))
    wait_for(device)
    assert waited == [given]


@pytest.mark.parametrize("name", ["cpu", "meta"])
def test_there_is_nothing_to_wait_for(name):
    wait_for(torch.device(name))
