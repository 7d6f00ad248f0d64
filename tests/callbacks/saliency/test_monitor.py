import pytest

from saliency_callbacks import ModelReading, SaliencyMonitor, Storage
from saliency_callbacks.errors import ConfigurationError


def test_an_embedding_layer_points_to_the_monitor_of_text_inputs():
    with pytest.raises(ConfigurationError, match=r"reading.embedding='auto' is for text inputs.* TokenSaliencyMonitor"):
        SaliencyMonitor(reading=ModelReading(embedding="auto"))


@pytest.mark.parametrize("report", ["yes", 2, None])
def test_a_report_is_made_or_not(report):
    with pytest.raises(ConfigurationError, match="report="):
        SaliencyMonitor(report=report)


def test_a_report_needs_what_is_kept():
    with pytest.raises(ConfigurationError, match=r"storage.save_maps=False; expected"):
        SaliencyMonitor(report=True, storage=Storage(save_maps=False))
