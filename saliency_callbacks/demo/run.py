"""Train a small network that falls for a shortcut, with every callback attached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from saliency_callbacks.callbacks.cue.alarm import CueAlarm
from saliency_callbacks.callbacks.discovery.callback import ShortcutDiscovery
from saliency_callbacks.callbacks.faithfulness.callback import FaithfulnessTest
from saliency_callbacks.callbacks.randomization.callback import RandomizationTest
from saliency_callbacks.callbacks.runtime.packages import TensorBoardLogger, Trainer, seed_everything
from saliency_callbacks.callbacks.runtime.settings import Storage
from saliency_callbacks.callbacks.saliency.monitor import SaliencyMonitor
from saliency_callbacks.demo.digits import FAITHFUL, METHODS, N_SEARCHED, STICKER_CLASS, TESTED, Digits, SmallCNN
from saliency_callbacks.demo.sticker import STICKER
from saliency_callbacks.demo.tables import alarm_lines, epoch_lines, score_lines, shortcut_lines, verdict_lines
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.sinks import MemorySink

__all__ = ["DemoResult", "run_demo"]


@dataclass(frozen=True)
class DemoResult:
    """What the demo leaves behind.

    Args:
        directory: Where its logs and maps are.
        lines: What was found, to print.

    Example:
        >>> result = DemoResult(Path("demo/version_0"), lines=("the alarm fired in epoch 3",))
        >>> print(f"{result.lines[0]}; see tensorboard --logdir {result.directory.parent}")
        the alarm fired in epoch 3; see tensorboard --logdir demo
    """

    directory: Path
    lines: tuple[str, ...]


def run_demo(directory: str | Path, *, epochs: int = 8, is_patched: bool = True) -> DemoResult:
    """Train on digits where every 0 bears a sticker, and say what the callbacks found.

    Args:
        directory: The logs go to ``demo/version_N`` in it.
        epochs: Epochs of training.
        is_patched: Whether the training and validation data bear it; the probe always does.

    Raises:
        ConfigurationError: If scikit-image is not installed.
    """
    data = Digits(is_patched=is_patched)
    seed_everything(0)
    observed, tested, alarmed = MemorySink(), MemorySink(), MemorySink()
    monitor = SaliencyMonitor(METHODS, data.probe, STICKER_CLASS, target_layers="features", sinks=[observed])
    test = RandomizationTest(TESTED, data.probe, STICKER_CLASS, target_layers="features", sinks=[tested])
    faithful = FaithfulnessTest(
        FAITHFUL,
        data.probe,
        STICKER_CLASS,
        target_layers="features",
        every_n_epochs=epochs,
        # The rest is in the tables.
        storage=Storage(scalars=["*/deletion_gain"]),
    )
    alarm = CueAlarm(STICKER, STICKER_CLASS, sinks=[alarmed])
    # The only one that is told nothing of the sticker.
    discovery = ShortcutDiscovery(Probe(size=N_SEARCHED, source="train"), every_n_epochs=3)
    trainer = Trainer(
        max_epochs=epochs,
        logger=TensorBoardLogger(directory, name="demo"),
        callbacks=[monitor, test, faithful, alarm, discovery],
        log_every_n_steps=10,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(SmallCNN(), datamodule=data)
    assert test.result is not None, "it was tested before the training"
    assert faithful.result is not None, "likewise"
    lines = [
        *score_lines(observed.observations, float(trainer.callback_metrics["val_accuracy"])),
        "",
        *epoch_lines({"randomization": tested, "alarm": alarmed}),
        "",
        *verdict_lines(test.result, faithful.result),
        "",
        *alarm_lines(alarm),
        "",
        *shortcut_lines(discovery),
    ]
    return DemoResult(Path(str(trainer.log_dir)), tuple(lines))
