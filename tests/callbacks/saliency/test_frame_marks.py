"""What was found in maps, as the frames of a filmstrip keep it."""

from __future__ import annotations

import io
import math

import numpy as np
import torch

from saliency_callbacks.callbacks.runtime.appearance import Appearance
from saliency_callbacks.callbacks.saliency.filmstrips import FramePictures
from saliency_callbacks.callbacks.saliency.frame_marks import FrameMarks
from saliency_callbacks.callbacks.saliency.history import Frame, Frames
from saliency_callbacks.rendering.outlines.marks import Marks
from saliency_callbacks.types import Outlines


def _outlines(n: int, height: int, width: int) -> Outlines:
    masks = torch.zeros(n, height, width, dtype=torch.bool)
    masks[:, height // 2, width // 4 :] = True
    boxes = torch.tensor([[width / 4, 0.0, width, height / 2]]).repeat(n, 1)
    boxes[-1] = math.nan
    return Outlines(boxes=boxes, masks=masks)


def _saved(frame: Frame) -> Frame:
    file = io.BytesIO()
    torch.save(frame.state_dict(), file)
    file.seek(0)
    return Frame.from_state_dict(torch.load(file, weights_only=True))


def test_they_survive_a_checkpoint() -> None:
    frame = Frame.of("epoch 0", torch.rand(3, 30, 50)).with_found(_outlines(3, 30, 50), (30, 50))
    again = _saved(frame)
    assert torch.equal(again.found.regions, frame.found.regions)
    torch.testing.assert_close(again.found.boxes, frame.found.boxes, equal_nan=True)
    assert again.found.boxes[0].tolist() == [0.25, 0, 1, 0.5]
    assert _saved(frame.with_found(None, (30, 50))).found is None
    boxes = frame.with_found(Outlines(boxes=_outlines(3, 30, 50).boxes), (30, 50))
    assert _saved(boxes).found.regions is None


def test_a_thin_mask_does_not_vanish_as_it_is_shrunk() -> None:
    found = FrameMarks.of(_outlines(1, 200, 300), (200, 300), (36, 55))
    assert found.regions.shape == (1, 36, 55)
    assert found.regions.any(dim=1).float().mean() > 0.7


def test_those_of_signals_and_volumes_are_arranged_as_their_maps_are() -> None:
    signals = Outlines(masks=torch.tensor([[True, False, True, True]]))
    assert FrameMarks.of(signals, (4,), (4,)).regions.tolist() == [[[True, False, True, True]]]
    masks = torch.zeros(2, 6, 8, 8, dtype=torch.bool)
    masks[:, 3] = True
    frame = Frame.of("", masks.float()).with_found(Outlines(masks=masks), (6, 8, 8))
    assert torch.equal(frame.found.regions, frame.maps > 0)


def test_they_leave_room_for_the_rest_of_a_sample() -> None:
    frames = Frames()
    for epoch in range(40):
        frame = Frame.of(f"epoch {epoch}", torch.rand(1, 45, 45))
        frames = frames.added(frame.with_found(_outlines(1, 45, 45), (45, 45)))
    kept = frames.state_dict()
    stored = [*kept["kept"], *filter(None, [kept["newest"]])]
    parts = [one for frame in stored for one in (frame["relative"], frame["found"]["packed"], frame["found"]["boxes"])]
    n_bytes = sum(one.nbytes for one in parts)
    # Of 64 KiB, ranks take 28,224 bytes at most.
    assert n_bytes <= 64 * 1024 - 28_224


def _strip(*found: Outlines | None, explained: tuple[Marks, ...] = ()) -> FramePictures:
    frames = [
        Frame.of(f"epoch {epoch}", torch.zeros(2, 32, 32)).with_found(one, (32, 32)) for epoch, one in enumerate(found)
    ]
    images = np.full((2, 32, 32, 3), 128, np.uint8)
    look = Appearance(style="heatmap")
    return FramePictures("m", frames, images, ["a", "b"], torch.ones(2), look, explained=explained)


def _tiles(columns: np.ndarray) -> int:
    """Return how many runs of columns there are, with gaps wider than what is drawn in one tile."""
    places = np.flatnonzero(columns)
    return 0 if len(places) == 0 else 1 + int((np.diff(places) > 45).sum())


def _blue(picture: np.ndarray) -> np.ndarray:
    return (picture == (64, 196, 255)).all(axis=-1).any(axis=0)


def test_the_target_is_in_every_column_of_a_filmstrip() -> None:
    target = (Marks(boxes=np.array([[0.5, 0.5, 1, 1]] * 2)),)
    assert _tiles(_blue(_strip(None, None, explained=target).filmstrip())) == 3, "the input and two epochs"
    assert _tiles(_blue(_strip(None, None).filmstrip())) == 0
    # In an animation it is on each input, which this style shows beside its map, and on the map.
    for frame in _strip(None, None, explained=target).evolution():
        assert _tiles(_blue(frame)) >= 2


def test_what_was_found_is_in_the_column_of_its_epoch() -> None:
    found = Outlines(boxes=torch.tensor([[8.0, 8, 24, 24]] * 2))
    plain = _strip(None, None, None).filmstrip()
    changed = []
    for place in range(3):
        drawn = _strip(*(found if epoch == place else None for epoch in range(3))).filmstrip()
        width = min(plain.shape[1], drawn.shape[1])
        # From below, as the legend above has a line more.
        columns = (drawn[-60:, :width] != plain[-60:, :width]).any(axis=(0, 2))
        assert _tiles(columns) == 1
        changed.append(np.flatnonzero(columns)[0])
    assert changed[1] - changed[0] == changed[2] - changed[1] > 45
    first, second = _strip(None, found).evolution()
    assert (first[40:-20] != second[40:-20]).any()
