"""The run that a configuration of a LightningCLI describes: model, data, and a Trainer with what is replayed alone."""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from jsonargparse import ArgumentError, Namespace
from typing_extensions import override

from saliency_callbacks.callbacks.base import ObservingCallback
from saliency_callbacks.callbacks.runtime.packages import (
    LightningDataModule,
    LightningModule,
    TensorBoardLogger,
    Trainer,
)
from saliency_callbacks.errors import ConfigurationError

if TYPE_CHECKING or find_spec("lightning"):
    from lightning.pytorch.cli import LightningCLI
else:  # only the stand-alone package is installed
    from pytorch_lightning.cli import LightningCLI

__all__ = ["Run", "load_run"]

_READ = ("seed_everything", "trainer", "model", "data", "optimizer", "lr_scheduler")
_OF_TRAINING_ALONE = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "fast_dev_run": False,
    "barebones": False,
    "profiler": None,
    "devices": 1,
    "num_nodes": 1,
    "strategy": "auto",
}


@dataclass(frozen=True)
class Run:
    """A training that was configured, and has not begun.

    Args:
        trainer: With the callbacks of this package alone, on one device, and with a TensorBoard logger.
        module: The model.
        datamodule: Its data; ``None`` where the model has its own dataloaders.
        is_untrained: Whether the model has the weights that the training began with: where the configuration names the
            seed, and no checkpoint to begin with.
        directory: Where the logs go.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as directory:
        ...     config = Path(directory, "config.yaml")
        ...     _ = config.write_text("model: {class_path: saliency_callbacks.demo.SmallCNN}")
        ...     run = load_run([config], output=Path(directory, "replay"))
        >>> type(run.module).__name__, run.datamodule, run.is_untrained
        ('SmallCNN', None, False)
    """

    trainer: Trainer
    module: LightningModule
    datamodule: LightningDataModule | None
    is_untrained: bool
    directory: Path


def load_run(configs: Sequence[str | PathLike[str]], output: str | PathLike[str] | None = None) -> Run:
    """Make the run that configuration files of a LightningCLI describe.

    Args:
        configs: Files with ``model``, ``data`` and ``trainer``; a later one overrides an earlier one.
        output: Where the logs go: a new or empty directory; by default ``lightning_logs/replay/version_N``.

    Raises:
        ConfigurationError: If a file cannot be read, describes no run, or something in it cannot be made.
    """
    contents = [_content(Path(config).expanduser()) for config in configs]
    if not any("model" in content for content in contents):
        raise ConfigurationError(
            f"config={_shown(configs)} has no `model`; expected the configuration of a LightningCLI, with `model`, "
            "`data` and `trainer`, such as the config.yaml in the directory of a run"
        )
    logger = _logger(output)
    try:
        cli = _ReplayCLI(contents)
    except (ArgumentError, SystemExit) as error:
        raise ConfigurationError(f"config={_shown(configs)} cannot be parsed: {_one_line(error)}") from error
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"config={_shown(configs)} cannot be instantiated ({type(error).__name__}: {_one_line(error)}); expected "
            "classes and arguments with which training can start"
        ) from error
    cli.trainer.logger = logger
    merged = {key: value for content in contents for key, value in content.items()}
    seed = merged.get("seed_everything")
    has_seed = isinstance(seed, int) and not isinstance(seed, bool)
    return Run(
        trainer=cli.trainer,
        module=cli.model,
        datamodule=cli.datamodule,
        is_untrained=has_seed and not merged.get("ckpt_path"),
        directory=Path(logger.log_dir),
    )


class _ReplayCLI(LightningCLI):
    """A LightningCLI that takes any model and data, and of the callbacks only those that observe."""

    def __init__(self, contents: Sequence[dict[str, Any]]) -> None:
        super().__init__(
            args=[
                argument
                for content in contents
                for argument in ("--config", yaml.safe_dump({key: content[key] for key in content if key in _READ}))
            ],
            run=False,
            save_config_callback=None,
            seed_everything_default=False,
            parser_kwargs={"exit_on_error": False},
        )

    @override
    def parse_arguments(self, parser: Any, args: Any) -> None:
        # Not the base's, which takes our own command line for a mistake.
        self.config = parser.parse_args(args)

    @override
    def before_instantiate_classes(self) -> None:
        settings = self.config.trainer
        for name, value in _OF_TRAINING_ALONE.items():
            settings[name] = value
        given = settings.get("callbacks") or []
        callbacks = given if isinstance(given, list) else [given]
        settings["callbacks"] = [one for one in callbacks if _observes(one)]


def _observes(callback: Any) -> bool:
    """Return whether a callback, or what a configuration says of one, is of this package."""
    if not isinstance(callback, Namespace):
        return isinstance(callback, ObservingCallback)
    made = pkgutil.resolve_name(callback["class_path"])
    return isinstance(made, type) and issubclass(made, ObservingCallback)


def _content(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"config={str(path)!r} cannot be read ({error.strerror}); expected a YAML file of a LightningCLI"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"config={str(path)!r} is not valid YAML ({_one_line(error)}); expected a file of a LightningCLI"
        ) from error
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise ConfigurationError(
            f"config={str(path)!r} contains a {type(content).__name__}; expected a mapping with `model`, `data` and "
            "`trainer`"
        )
    # With the name of its subcommand above it, as for `python train.py --config`.
    return content["fit"] if isinstance(content.get("fit"), dict) else content


def _logger(output: str | PathLike[str] | None) -> TensorBoardLogger:
    if output is None:
        return TensorBoardLogger("lightning_logs", name="replay")
    directory = Path(output).expanduser().absolute()
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigurationError(
            f"output={str(output)!r} exists and is not an empty directory; expected a new directory, so that runs are "
            "not mixed. Give another name"
        )
    return TensorBoardLogger(directory, name="", version="")


def _shown(configs: Sequence[str | PathLike[str]]) -> str:
    names = [str(config) for config in configs]
    return repr(names[0] if len(names) == 1 else names)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:400]
