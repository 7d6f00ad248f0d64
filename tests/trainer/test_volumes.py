"""Volumes and videos, from a real training to what loggers and the disk have of them."""

from __future__ import annotations

import io

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from saliency_callbacks import Appearance, ModelReading, SaliencyMonitor
from saliency_callbacks.callbacks.runtime import packages
from saliency_callbacks.errors import ConfigurationError, SaliencyError
from saliency_callbacks.probe import Probe
from saliency_callbacks.rendering import display_images
from saliency_callbacks.sinks import read_index, read_probe

DEPTH, SIDE = 12, 16


class Volumes(L.LightningModule):
    """A classifier of volumes ``[N, C, D, H, W]``."""

    def __init__(self, channels=1, frames_first=False):
        super().__init__()
        self.frames_first = frames_first
        self.net = nn.Sequential(
            nn.Conv3d(channels, 4, 3, padding=1),
            nn.ReLU(),
            nn.Conv3d(4, 4, 3, padding=1, stride=(2, 1, 1)),
            nn.ReLU(),
            nn.AdaptiveAvgPool3d(1),
            nn.Flatten(),
            nn.Linear(4, 2),
        )

    def forward(self, x):
        return self.net(x.transpose(1, 2) if self.frames_first else x)

    def training_step(self, batch, index):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, index):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(directory, inputs, model, *, masks=None, namespaces=("saliency",), **settings):
    labels = torch.arange(len(inputs)) % 2
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, labels), batch_size=4)
    probe = Probe.from_tensors(inputs, labels, masks=masks)
    monitors = [
        SaliencyMonitor(["gradient", "grad_cam"], probe=probe, namespace=name, **settings) for name in namespaces
    ]
    trainer = L.Trainer(
        max_epochs=1,
        logger=TensorBoardLogger(directory, name="", version=""),
        callbacks=monitors,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    trainer.fit(model, loader, loader)
    return directory


def pictures_in(directory):
    """Return tag → the last picture of an event file, opened."""
    events = EventAccumulator(str(directory), size_guidance={"images": 0})
    events.Reload()
    newest = {tag: events.Images(tag)[-1].encoded_image_string for tag in events.Tags()["images"]}
    return {tag: Image.open(io.BytesIO(content)) for tag, content in newest.items()}


def _inputs(*shape):
    return torch.rand(4, *shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    inputs = _inputs(1, DEPTH, SIDE, SIDE)
    masks = torch.zeros(4, DEPTH, SIDE, SIDE, dtype=torch.bool)
    masks[:, 3:6, 4:9, 4:9] = True
    look = Appearance(axis_names=["depth", "height", "width"], contour=0.1)
    return inputs, fit(tmp_path_factory.mktemp("volumes"), inputs, Volumes(), masks=masks, appearance=look)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    inputs = _inputs(8, 3, SIDE, SIDE)
    return inputs, fit(tmp_path_factory.mktemp("videos"), inputs, Volumes(3, frames_first=True))


def contains(picture, part):
    height, width, _ = part.shape
    rows, columns = np.nonzero((picture == part[-1, -1]).all(axis=-1))
    corners = zip(rows - height + 1, columns - width + 1, strict=True)
    return any(
        row >= 0 and column >= 0 and np.array_equal(picture[row : row + height, column : column + width], part)
        for row, column in corners
    )


def test_the_animation_has_a_frame_for_every_slice(volumes, videos):
    for (_, directory), count in ((volumes, DEPTH), (videos, 8)):
        found = pictures_in(directory)
        for method in ("gradient", "grad_cam"):
            animation = found[f"saliency/{method}/slices"]
            assert (animation.format, animation.n_frames) == ("GIF", count)
            frames = []
            for index in range(count):
                animation.seek(index)
                frames.append(np.asarray(animation.convert("RGB")))
            assert len({frame.tobytes() for frame in frames}) == count


def test_the_panel_is_a_contact_sheet_of_evenly_spaced_slices(volumes):
    inputs, directory = volumes
    panel = np.asarray(pictures_in(directory)["saliency/gradient"].convert("RGB"))
    sheets = display_images(inputs)
    for place, index in ((1, 4), (3, 10)):
        row, column = divmod(place, 2)
        own = sheets[0, row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
        np.testing.assert_array_equal(own, display_images(inputs[:1, :, index])[0])
        # Its right lower part, as the number covers the corner of the left upper one, and lines the edges.
        enlarged = next(
            factor
            for factor in range(2, 12)
            if contains(panel, own[10:-1, 10:-1].repeat(factor, axis=0).repeat(factor, axis=1))
        )
        assert enlarged * SIDE >= 48, "legible"


def test_tags_are_few(volumes):
    tags = {tag.removeprefix("saliency/") for tag in pictures_in(volumes[1])}
    each = {
        f"{method}{kind}" for method in ("gradient", "grad_cam") for kind in ("", "/filmstrip", "/slices", "/evolution")
    }
    assert tags == each | {"methods"}


def test_the_disk_has_the_pictures_of_every_slice_and_the_names_of_the_axes(volumes, videos):
    inputs, directory = volumes
    probe = read_probe(directory / "saliency", read_index(directory / "saliency")["probe"])
    assert probe.volumes.shape == (4, DEPTH, SIDE, SIDE, 1)
    np.testing.assert_allclose(probe.volumes[..., 0].numpy() / 255, inputs[:, 0].numpy(), atol=0.003)
    assert probe.axis_names == ("depth", "height", "width")
    inputs, directory = videos
    probe = read_probe(directory / "saliency", read_index(directory / "saliency")["probe"])
    assert probe.volumes.shape == (4, 8, SIDE, SIDE, 3)
    np.testing.assert_allclose(probe.volumes.numpy() / 255, inputs.movedim(2, -1).numpy(), atol=0.003)
    assert probe.axis_names == ("time", "height", "width"), "frames come before channels, as the convolution tells"


def test_volumes_whose_axes_nobody_names_have_slices(tmp_path):
    directory = fit(tmp_path, _inputs(1, 2, 8, 10), Volumes())
    probe = read_probe(directory / "saliency", read_index(directory / "saliency")["probe"])
    assert probe.axis_names is None
    assert pictures_in(directory)["saliency/gradient/slices"].n_frames == 2


@pytest.mark.parametrize(
    ("shape", "layout", "channels"),
    [((1, 1, 8, 8), "NCTHW", 1), ((6, 8, 8, 2), "NDHWC", 2), ((2, 100, 6, 9), "NCDHW", 2)],
    ids=["one slice", "channels last", "many slices of several channels"],
)
def test_volumes_of_other_shapes(tmp_path, shape, layout, channels):
    class Any(Volumes):
        def forward(self, x):
            return self.net(x.movedim(-1, 1) if layout == "NDHWC" else x)

    directory = fit(tmp_path, _inputs(*shape), Any(channels), reading=ModelReading(layout=layout))
    probe = read_probe(directory / "saliency", read_index(directory / "saliency")["probe"])
    depth = {"NCTHW": 1, "NDHWC": 6, "NCDHW": 100}[layout]
    assert probe.volumes.shape[1] == depth
    assert pictures_in(directory)["saliency/gradient/slices"].n_frames == min(depth, 64)


def test_names_of_axes_that_there_are_not_are_an_error_before_the_training(tmp_path):
    with pytest.raises(SaliencyError, match="names 2 axes"):
        fit(tmp_path, _inputs(1, 2, 8, 8), Volumes(), appearance=Appearance(axis_names=("height", "width")))
    with pytest.raises(ConfigurationError, match="a name for each spatial axis"):
        Appearance(axis_names="depth")


def test_how_inputs_are_read_is_told_once_whatever_the_number_of_callbacks(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(packages, "rank_zero_info", told.append)
    fit(tmp_path, torch.rand(4, 3, 6, SIDE, SIDE), Volumes(3), namespaces=("one", "two"))
    (line,) = [line for line in told if "are read as" in line]
    assert line.endswith("; set reading=ModelReading(layout=…) if this is wrong")
