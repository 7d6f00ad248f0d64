"""Strategies under which a model cannot be explained are refused before the training begins."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy

from saliency_callbacks import CueAlarm, RandomizationTest, SaliencyMonitor
from saliency_callbacks.callbacks.runtime.collectives import check_strategy
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.probe import PatchCue
from tests.trainer.runs import Classifier, trainer


class _OfTheUser(FSDPStrategy):
    pass


def _strategy(kind: type) -> object:
    # Neither needs a GPU, or DeepSpeed, to be asked for its type.
    return kind.__new__(kind)


@pytest.mark.parametrize(
    ("kind", "named"), [(FSDPStrategy, "FSDP"), (_OfTheUser, "FSDP"), (DeepSpeedStrategy, "DeepSpeed")]
)
@pytest.mark.parametrize(
    "callback",
    [SaliencyMonitor(), RandomizationTest(), CueAlarm(PatchCue((0, 0, 2, 2)), 0)],
    ids=lambda one: type(one).__name__,
)
def test_they_are_refused_at_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, callback: SaliencyMonitor, kind: type, named: str
) -> None:
    run = trainer(tmp_path, callback)
    monkeypatch.setattr(type(run), "strategy", property(lambda self: _strategy(kind)))
    monkeypatch.setattr(type(run), "global_step", 0)
    with pytest.raises(
        ConfigurationError, match=rf"{kind.__name__}: .* under {named}Strategy.*Use ModelParallelStrategy"
    ):
        callback.setup(run, Classifier(), "fit")


@pytest.mark.parametrize("kind", [DDPStrategy, ModelParallelStrategy])
def test_others_are_not(kind: type) -> None:
    check_strategy(SimpleNamespace(strategy=_strategy(kind)))
