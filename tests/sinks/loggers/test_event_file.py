from types import SimpleNamespace

import pytest
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import SummaryWriter

from saliency_callbacks.sinks.loggers.tensorboard import with_fast_checksums


class Kept(list):
    """A file that keeps what is written."""

    def write(self, data):
        self.append(data)


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 40], ids=len)
def test_records_are_those_of_tensorboard_to_the_byte(data):
    file, ours = Kept(), Kept()
    RecordWriter(file).write(data)
    records = RecordWriter(ours)
    with_fast_checksums(SimpleNamespace(event_writer=SimpleNamespace(_async_writer=SimpleNamespace(_writer=records))))
    records.write(data)
    assert b"".join(ours) == b"".join(file)


def test_the_writer_of_today_is_found(tmp_path):
    """Were TensorBoard to build it in another way, everything would still work, but the training would wait."""
    with SummaryWriter(tmp_path) as writer:
        records = writer.file_writer.event_writer._async_writer._writer
        assert "write" not in vars(records)
        assert with_fast_checksums(writer.file_writer) is writer.file_writer
        assert "write" in vars(records)
        assert writer.file_writer.event_writer._async_writer._worker._record_writer is records


@pytest.mark.parametrize("other", [SimpleNamespace(), SimpleNamespace(event_writer=SimpleNamespace())])
def test_another_writer_is_left_as_it_is(other):
    before = dict(vars(other))
    assert with_fast_checksums(other) is other
    assert vars(other) == before
