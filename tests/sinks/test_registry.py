import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import lightning
import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.loggers.logger import DummyLogger

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.sinks import (
    CometSink,
    MemorySink,
    MLflowSink,
    TensorBoardSink,
    WandbSink,
    registry,
    sink_for_logger,
)


class CustomLogger(TensorBoardLogger):
    pass


class ThirdPartyLogger:
    pass


class DerivedThirdPartyLogger(ThirdPartyLogger):
    pass


@pytest.fixture
def declare(monkeypatch):
    """Declare one entry point, as an installed package would."""

    def declare_plugin(name, value):
        plugin = EntryPoint(name=name, value=value, group=registry.ENTRY_POINT_GROUP)
        monkeypatch.setattr(registry, "entry_points", lambda *, group: EntryPoints([plugin]).select(group=group))

    return declare_plugin


def memory_factory(_logger):
    return MemorySink()


def no_sink_factory(_logger):
    return 3


@pytest.mark.parametrize("logger_class", [TensorBoardLogger, CustomLogger])
def test_tensorboard_loggers_and_their_subclasses(tmp_path, logger_class):
    logger = logger_class(tmp_path)
    sink = sink_for_logger(logger)
    assert isinstance(sink, TensorBoardSink)
    assert sink.experiment is logger.experiment
    logger.finalize("success")


def test_the_other_lightning_package(tmp_path):
    loggers = pytest.importorskip("pytorch_lightning.loggers")
    logger = loggers.TensorBoardLogger(tmp_path)
    assert not isinstance(logger, TensorBoardLogger)
    assert isinstance(sink_for_logger(logger), TensorBoardSink)
    logger.finalize("success")


@pytest.mark.parametrize(
    ("name", "sink"),
    [
        ("TensorBoardLogger", TensorBoardSink),
        ("WandbLogger", WandbSink),
        ("MLFlowLogger", MLflowSink),
        ("CometLogger", CometSink),
    ],
)
def test_loggers_are_found_by_name_whatever_their_package(name, sink):
    base = type("Logger", (), {"__module__": "pytorch_lightning.loggers.logger"})
    logger = type(name, (base,), {"__module__": "pytorch_lightning.loggers", "experiment": object()})
    subclass = type("OursOfAllNames", (logger,), {"__module__": "company.logging"})
    assert isinstance(sink_for_logger(logger()), sink)
    assert isinstance(sink_for_logger(subclass()), sink)


def test_a_logger_that_answers_every_attribute_is_no_match():
    logger = DummyLogger()
    assert logger.experiment.add_image is not None
    assert sink_for_logger(logger) is None


def test_loggers_without_an_adapter(tmp_path):
    assert sink_for_logger(CSVLogger(tmp_path)) is None
    assert sink_for_logger(object()) is None
    assert sink_for_logger(None) is None


def test_a_trainer_in_fast_dev_run_has_no_sink():
    trainer = lightning.Trainer(fast_dev_run=True, accelerator="cpu", enable_progress_bar=False, logger=True)
    assert [sink_for_logger(logger) for logger in trainer.loggers] in ([], [None])


@pytest.mark.parametrize("logger", [ThirdPartyLogger(), DerivedThirdPartyLogger()])
def test_a_third_party_adapter(declare, logger):
    declare("ThirdPartyLogger", "tests.sinks.test_registry:memory_factory")
    assert type(sink_for_logger(logger)).__name__ == "MemorySink"


def test_a_third_party_does_not_replace_a_built_in_adapter(declare, tmp_path):
    declare("TensorBoardLogger", "tests.sinks.test_registry:memory_factory")
    logger = TensorBoardLogger(tmp_path)
    assert isinstance(sink_for_logger(logger), TensorBoardSink)
    logger.finalize("success")


def test_a_third_party_adapter_for_a_subclass_goes_first(declare, tmp_path):
    declare("CustomLogger", "tests.sinks.test_registry:memory_factory")
    assert type(sink_for_logger(CustomLogger(tmp_path))).__name__ == "MemorySink"


@pytest.mark.parametrize("value", ["no_such_package_anywhere:factory", "tests.sinks.test_registry:absent"])
def test_a_third_party_adapter_that_cannot_be_loaded(declare, value):
    declare("ThirdPartyLogger", value)
    with pytest.raises(ConfigurationError, match=f"{value}.*cannot be loaded.*Repair or uninstall"):
        sink_for_logger(ThirdPartyLogger())


def test_a_third_party_adapter_that_makes_no_sink(declare):
    declare("ThirdPartyLogger", "tests.sinks.test_registry:no_sink_factory")
    with pytest.raises(
        ConfigurationError, match=r"returned a int; expected an object with write\(snapshot, pictures\)"
    ):
        sink_for_logger(ThirdPartyLogger())


def test_sinks_import_neither_lightning_nor_a_logger():
    program = (
        "import sys, saliency_callbacks.sinks\n"
        "names = {'lightning', 'pytorch_lightning', 'tensorboard', 'wandb', 'mlflow', 'comet_ml'}\n"
        "print(sorted(names & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
