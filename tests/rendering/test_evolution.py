import numpy as np
import pytest

from saliency_callbacks.errors import InputError
from saliency_callbacks.rendering.evolution import evolution
from saliency_callbacks.rendering.panel import Caption


def draw(moments=3, count=2, height=8, width=8, **settings):
    images = np.full((count, height, width, 3), 200, np.uint8)
    scenes = [(f"epoch {index}", np.full_like(images, 10 * (index + 1))) for index in range(moments)]
    captions = [[Caption("row")] * count for _ in scenes]
    return evolution(images, scenes, captions, **{"title": "grad_cam", **settings})


def test_a_frame_a_moment_in_order_and_nothing_else_moves():
    frames = draw(4)
    assert (frames.dtype, frames.ndim, len(frames)) == (np.uint8, 4, 4)
    for index, frame in enumerate(frames):
        levels = [level for level in (10, 20, 30, 40) if (frame == level).all(-1).sum() > 2 * 96 * 96 - 1]
        assert levels == [10 * (index + 1)]
    below_the_title = frames[:, 45:-4]
    tiles = np.isin(below_the_title, (10, 20, 30, 40)).all(-1)
    assert (tiles == tiles[0]).all()
    assert (below_the_title[:, ~tiles[0]] == below_the_title[0, ~tiles[0]]).all()


def test_the_moment_is_in_the_title_and_a_bar_grows():
    frames = draw(4)
    assert (frames[0, :40] != frames[1, :40]).any()
    bar = (frames[:, -1] < 60).all(-1).sum(1)
    assert bar.tolist() == pytest.approx([frames.shape[2] * part / 4 for part in (1, 2, 3, 4)], abs=1)


@pytest.mark.parametrize("style", ["overlay", "heatmap", "greyscale", "signed"])
def test_a_style_that_hides_the_input_shows_it_beside_the_map(style):
    shows_input = ((draw(style=style) == 200).all(-1).sum((1, 2)) > 96 * 96).all()
    assert shows_input == (style != "overlay")


@pytest.mark.parametrize("shape", [(8, 8), (72, 72), (24, 72), (72, 8)])
@pytest.mark.parametrize("count", [1, 5, 16, 64])
def test_it_is_small_for_any_number_of_samples(count, shape):
    _, height, width, _ = draw(2, count, *shape).shape
    assert height * width <= 900_000
    assert max(height, width) <= 1800


def test_mistakes_are_refused():
    images = np.zeros((2, 8, 8, 3), np.uint8)
    with pytest.raises(InputError, match="got 0 moments"):
        evolution(images, [], [], title="t")
    with pytest.raises(InputError, match="maps of 'a' have"):
        evolution(images, [("a", images[:, :4])], [[Caption("")] * 2], title="t")
    with pytest.raises(InputError, match="1 moments, 1 lists of captions"):
        evolution(images, [("a", images)], [[Caption("")]], title="t")
