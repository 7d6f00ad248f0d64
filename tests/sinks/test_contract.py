"""What every sink keeps to, wherever it writes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from saliency_callbacks.sinks import DiskSink, MemorySink, TensorBoardSink
from saliency_callbacks.types import Sink

SINKS = {
    "disk": lambda directory: DiskSink(directory / "disk", pictures=True),
    "memory": lambda directory: MemorySink(),
    "tensorboard": lambda directory: TensorBoardSink(SummaryWriter(str(directory / "events"))),
}


@pytest.fixture(params=SINKS)
def sink(request, tmp_path):
    made = SINKS[request.param](tmp_path)
    yield made
    if isinstance(made, TensorBoardSink):
        made.experiment.close()


def test_it_is_a_sink(sink):
    assert isinstance(sink, Sink)


def test_what_is_written_is_not_changed(sink, make_snapshot, picture):
    snapshot, before = make_snapshot(), make_snapshot()
    pixels = picture.copy()
    sink.write(snapshot, {"saliency/gradient": picture})
    np.testing.assert_array_equal(picture, pixels)
    for name, attribution in snapshot.attributions.items():
        assert torch.equal(attribution.values, before.attributions[name].values)


def test_scores_that_are_not_finite_and_no_pictures_are_fine(sink, make_snapshot):
    assert sink.write(make_snapshot(scores={"saliency/gradient/entropy": math.nan}), {}) is None


def test_the_random_state_is_not_touched(sink, make_snapshot, picture):
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    sink.write(make_snapshot(), {"saliency/gradient": picture})
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
