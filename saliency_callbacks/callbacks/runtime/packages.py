"""The two names under which Lightning is installed: unrelated classes that behave the same.

A callback that is to run under the Trainers of both has to be a subclass of both ``Callback`` classes.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = [
    "Callback",
    "LightningDataModule",
    "LightningModule",
    "RunningStage",
    "TensorBoardLogger",
    "Trainer",
    "TrainerFn",
    "base_module",
    "is_data_module",
    "is_module",
    "is_overridden",
    "move_data_to_device",
    "rank_zero_info",
    "rank_zero_warn",
    "seed_everything",
    "trainer_class",
]

# First come, first served: what is the same in both is taken from the first.
_NAMES = tuple(name for name in ("lightning.pytorch", "pytorch_lightning") if find_spec(name.partition(".")[0]))

if TYPE_CHECKING:
    from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer, seed_everything
    from lightning.pytorch.loggers import TensorBoardLogger
    from lightning.pytorch.trainer.states import RunningStage, TrainerFn
    from lightning.pytorch.utilities import move_data_to_device, rank_zero_info, rank_zero_warn
    from lightning.pytorch.utilities.model_helpers import is_overridden

    _PACKAGES: tuple[ModuleType, ...] = ()
else:
    _PACKAGES = tuple(map(import_module, _NAMES))
    _FIRST = _PACKAGES[0]
    LightningDataModule, LightningModule, Trainer = _FIRST.LightningDataModule, _FIRST.LightningModule, _FIRST.Trainer
    TensorBoardLogger = import_module(f"{_NAMES[0]}.loggers").TensorBoardLogger
    seed_everything = _FIRST.seed_everything
    _states = import_module(f"{_NAMES[0]}.trainer.states")
    RunningStage, TrainerFn = _states.RunningStage, _states.TrainerFn
    _utilities = import_module(f"{_NAMES[0]}.utilities")
    move_data_to_device, rank_zero_info = _utilities.move_data_to_device, _utilities.rank_zero_info
    rank_zero_warn = _utilities.rank_zero_warn
    is_overridden = import_module(f"{_NAMES[0]}.utilities.model_helpers").is_overridden
    _bases = tuple(package.Callback for package in _PACKAGES)
    Callback = _bases[0] if len(_bases) == 1 else type("Callback", _bases, {"__module__": __name__})


def base_module(module: Any) -> type[LightningModule] | None:
    """Return the ``LightningModule`` class that ``module`` is an instance of, of whichever package; else ``None``."""
    return next((package.LightningModule for package in _PACKAGES if isinstance(module, package.LightningModule)), None)


def is_module(candidate: object) -> bool:
    """Return whether ``candidate`` is a ``LightningModule`` of either package."""
    return base_module(candidate) is not None


def is_data_module(candidate: object) -> bool:
    """Return whether ``candidate`` is a ``LightningDataModule`` of either package."""
    return isinstance(candidate, tuple(package.LightningDataModule for package in _PACKAGES))


def trainer_class(module: Any) -> type[Trainer]:
    """Return the Trainer of the package that ``module`` belongs to."""
    found: type[Trainer] = next(package.Trainer for package in _PACKAGES if isinstance(module, package.LightningModule))
    return found
