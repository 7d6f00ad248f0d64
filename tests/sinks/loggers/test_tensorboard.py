import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from saliency_callbacks.sinks import TensorBoardSink
from saliency_callbacks.sinks.image_files import encode_png
from saliency_callbacks.types import Cell, Sink, Table


def read_images(directory, tag):
    events = EventAccumulator(str(directory), size_guidance={"images": 0}).Reload()
    return {event.step: np.asarray(Image.open(io.BytesIO(event.encoded_image_string))) for event in events.Images(tag)}


def test_is_a_sink():
    assert isinstance(TensorBoardSink(experiment=None), Sink)


def test_event_file_holds_exactly_the_pixels_at_the_step_of_each_snapshot(tmp_path, make_snapshot, picture):
    later = 255 - picture
    with SummaryWriter(str(tmp_path)) as writer:
        sink = TensorBoardSink(writer)
        sink.write(make_snapshot(step=0, stage="initial"), {"saliency/gradient": picture})
        sink.write(make_snapshot(step=31), {"saliency/gradient": later, "saliency/grad_cam": picture})
    images = read_images(tmp_path, "saliency/gradient")
    assert list(images) == [0, 31]
    np.testing.assert_array_equal(images[0], picture)
    np.testing.assert_array_equal(images[31], later)
    np.testing.assert_array_equal(read_images(tmp_path, "saliency/grad_cam")[31], picture)


def test_more_pictures_than_a_dashboard_shows_are_all_kept(tmp_path, make_snapshot, picture):
    with SummaryWriter(str(tmp_path)) as writer:
        for step in range(25):
            TensorBoardSink(writer).write(make_snapshot(step=step), {"tag": picture})
    assert list(read_images(tmp_path, "tag")) == list(range(25))


def test_no_scalars_are_written(tmp_path, make_snapshot, picture):
    with SummaryWriter(str(tmp_path)) as writer:
        TensorBoardSink(writer).write(make_snapshot(), {"tag": picture})
    tags = EventAccumulator(str(tmp_path)).Reload().Tags()
    assert tags["scalars"] == []
    assert tags["tensors"] == ["custom_scalars__config__"]


def test_the_event_holds_our_png_and_its_size(tmp_path, make_snapshot, picture):
    with SummaryWriter(str(tmp_path)) as writer:
        TensorBoardSink(writer).write(make_snapshot(), {"tag": picture})
    (event,) = EventAccumulator(str(tmp_path)).Reload().Images("tag")
    assert event.encoded_image_string == encode_png(picture)
    assert (event.height, event.width) == picture.shape[:2]


def test_where_there_is_no_file_writer_pictures_are_added_as_images(make_snapshot, picture):
    class Writer:
        def add_image(self, *args, **options):
            added.append((*args, options))

    added = []
    TensorBoardSink(Writer()).write(make_snapshot(step=31), {"one": picture, "other": 255 - picture})
    assert [(tag, step, options) for tag, _, step, options in added] == [
        ("one", 31, {"dataformats": "HWC"}),
        ("other", 31, {"dataformats": "HWC"}),
    ]
    np.testing.assert_array_equal(added[0][1], picture)
    np.testing.assert_array_equal(added[1][1], 255 - picture)


def test_an_animation_is_a_gif(tmp_path, make_snapshot, picture):
    with SummaryWriter(str(tmp_path)) as writer:
        TensorBoardSink(writer).write(make_snapshot(step=3), {"moving": np.stack([picture, 255 - picture])})
    (event,) = EventAccumulator(str(tmp_path)).Reload().Images("moving")
    assert (event.step, event.width, event.height) == (3, 20, 12)
    with Image.open(io.BytesIO(event.encoded_image_string)) as image:
        assert (image.format, image.n_frames, image.size) == ("GIF", 2, (20, 12))


def test_where_there_is_no_file_writer_animations_are_left_out(make_snapshot, picture):
    class Writer:
        def add_image(self, tag, *args, **options):
            added.append(tag)

    added = []
    TensorBoardSink(Writer()).write(make_snapshot(), {"moving": np.stack([picture] * 2), "still": picture})
    assert added == ["still"]


def test_a_writer_that_was_closed_is_opened_again(tmp_path, make_snapshot, picture):
    with SummaryWriter(str(tmp_path)) as writer:
        TensorBoardSink(writer).write(make_snapshot(step=1), {"tag": picture})
    with writer:
        TensorBoardSink(writer).write(make_snapshot(step=2), {"tag": 255 - picture})
    images = read_images(tmp_path, "tag")
    # Which of two files of one second is read first is up to their names.
    assert sorted(images) == [1, 2]
    np.testing.assert_array_equal(images[1], picture)
    np.testing.assert_array_equal(images[2], 255 - picture)


class Full:
    def add_image(self, *_, **__):
        raise OSError(28, "No space left on device")

    add_summary = add_image


@pytest.mark.parametrize("experiment", [Full(), SimpleNamespace(file_writer=Full())], ids=["image", "summary"])
def test_a_failing_writer_is_not_hidden(make_snapshot, picture, experiment):
    with pytest.raises(OSError, match="No space left"):
        TensorBoardSink(experiment).write(make_snapshot(), {"tag": picture})


def test_texts_are_shown_as_markdown(tmp_path, make_snapshot):
    with SummaryWriter(tmp_path) as writer:
        TensorBoardSink(writer).write(make_snapshot(step=7, texts={"cue/alarm": "| a |\n|---|\n| 1 |"}), {})
    events = EventAccumulator(str(tmp_path)).Reload()
    (event,) = events.Tensors("cue/alarm/text_summary")
    assert event.step == 7
    assert event.tensor_proto.string_val[0].decode() == "| a |\n|---|\n| 1 |"


def test_a_table_is_shown_as_markdown(tmp_path, make_snapshot):
    table = Table(("a",), ((Cell("1"),),))
    with SummaryWriter(tmp_path) as writer:
        TensorBoardSink(writer).write(make_snapshot(step=7, tables={"cue/groups": table}), {})
    (event,) = EventAccumulator(str(tmp_path)).Reload().Tensors("cue/groups/text_summary")
    assert (event.step, event.tensor_proto.string_val[0].decode()) == (7, table.markdown())
