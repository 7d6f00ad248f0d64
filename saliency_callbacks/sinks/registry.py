"""Find the sink that fits a logger."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.sinks.loggers.comet import CometSink
from saliency_callbacks.sinks.loggers.image_method import ImageMethodSink, image_method
from saliency_callbacks.sinks.loggers.litlogger import LitLoggerSink
from saliency_callbacks.sinks.loggers.mlflow import MLflowSink
from saliency_callbacks.sinks.loggers.swanlab import SwanLabSink
from saliency_callbacks.sinks.loggers.tensorboard import TensorBoardSink
from saliency_callbacks.sinks.loggers.trackio import TrackioSink
from saliency_callbacks.sinks.loggers.wandb import WandbSink
from saliency_callbacks.types import Sink

# What `saliency_callbacks.sinks` exports of the sinks for loggers.
__all__ = [
    "CometSink",
    "ImageMethodSink",
    "LitLoggerSink",
    "MLflowSink",
    "SwanLabSink",
    "TensorBoardSink",
    "TrackioSink",
    "WandbSink",
    "sink_for_logger",
]

ENTRY_POINT_GROUP = "saliency_callbacks.sinks"
"""Group in which third parties declare ``LoggerClassName = "package.module:factory"``."""


_SINKS: dict[str, Callable[[Any], Sink]] = {
    "CometLogger": CometSink,
    "LitLogger": LitLoggerSink,
    "MLFlowLogger": MLflowSink,
    "SwanLabLogger": SwanLabSink,
    "TensorBoardLogger": lambda logger: TensorBoardSink(logger.experiment),
    "TrackioLogger": lambda logger: TrackioSink(logger.experiment),
    "WandbLogger": WandbSink,
}
"""Name of a logger's class → what makes its sink. To support another logger, add a line here, and its sink to
``__all__``."""


def sink_for_logger(logger: object) -> Sink | None:
    """Return the sink that writes to ``logger``, or ``None`` if there is none for it.

    The logger's class and then its bases are looked up by name, so that the unrelated classes of ``lightning`` and
    ``pytorch_lightning`` and all their subclasses are found without importing either. For the same name, a built-in
    sink takes precedence over an entry point. A logger whose class nobody knows is written to by its method for images,
    if it or its ``experiment`` defines one; Lightning's ``DummyLogger`` answers to every name and defines none.

    Args:
        logger: One of a Trainer's loggers.

    Raises:
        ConfigurationError: If an entry point cannot be loaded or makes something that is not a sink.

    Example:
        >>> class TensorBoardLogger:
        ...     experiment = None
        >>> type(sink_for_logger(TensorBoardLogger())).__name__
        'TensorBoardSink'
        >>> sink_for_logger(object()) is None
        True
    """
    plugins = {plugin.name: plugin for plugin in entry_points(group=ENTRY_POINT_GROUP)}
    for base in type(logger).__mro__:
        name = base.__name__
        if name in _SINKS:
            return _SINKS[name](logger)
        if name in plugins:
            return _from_plugin(plugins[name], logger)
    return None if image_method(logger) is None else ImageMethodSink(logger)


def _from_plugin(plugin: EntryPoint, logger: object) -> Sink:
    origin = f"entry point {plugin.name!r} = {plugin.value!r} of the group {ENTRY_POINT_GROUP!r}"
    try:
        factory = plugin.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"{origin} cannot be loaded ({error}); expected an importable factory. Repair or uninstall the package "
            "that declares it"
        ) from error
    sink = factory(logger)
    if not isinstance(sink, Sink):
        raise ConfigurationError(
            f"{origin} returned a {type(sink).__name__}; expected an object with write(snapshot, pictures). Repair or "
            "uninstall the package that declares it"
        )
    return sink
