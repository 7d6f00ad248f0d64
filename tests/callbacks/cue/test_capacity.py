"""What an evaluation takes of memory."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch.utils.data import DataLoader, TensorDataset

from saliency_callbacks.callbacks.cue.capacity import cue_footprint
from saliency_callbacks.probe import Probe, freeze


def test_outputs_are_of_every_class_of_the_dataset():
    data = TensorDataset(torch.zeros(200, 1, 2, 2), torch.arange(200))
    host = SimpleNamespace(dataloader=lambda source, number: DataLoader(data))
    shown = freeze(*data[:2])
    few, many = (cue_footprint(Probe(200, shown=2), host, shown, n_samples, 64).memory for n_samples in (0, 1000))
    assert many - few == 1000 * 200 * 4 * 8
