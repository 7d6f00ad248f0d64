import sys

import pytest

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.sinks import CometSink, LitLoggerSink, MLflowSink, SwanLabSink, TrackioSink, WandbSink
from saliency_callbacks.sinks.loggers.clients import logger_package


class SomeLogger:
    api_key = "secret"

    def __repr__(self):
        return self.api_key


@pytest.mark.parametrize(
    ("sink", "package", "extra"),
    [
        (CometSink, "comet_ml", "comet"),
        (LitLoggerSink, "litlogger", "litlogger"),
        (MLflowSink, "mlflow", "mlflow"),
        (SwanLabSink, "swanlab", "swanlab"),
        (TrackioSink, "trackio", "trackio"),
        (WandbSink, "wandb", "wandb"),
    ],
)
def test_a_missing_package_names_the_extra(monkeypatch, sink, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"SomeLogger needs the package {package}.*pip install 'saliency-callbacks\[{extra}\]'"
    with pytest.raises(ConfigurationError, match=message) as caught:
        sink(SomeLogger())
    assert "secret" not in str(caught.value)


def test_a_package_that_is_there_is_returned():
    assert logger_package("json", logger=None, extra="json").loads("1") == 1
