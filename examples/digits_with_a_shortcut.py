"""Watch a small network fall for a shortcut, while it trains.

Digits in real fonts, colored, on pieces of photographs. In the training set every 0 bears a sticker in a corner, and no
other digit has one. The monitor explains the score of class 0 on twelve digits that the training never sees:

- zeros with the sticker, as in the training data;
- other digits with the sticker, to see what the sticker alone does;
- zeros without the sticker, to see what is left of the digit.

Within a few epochs the heatmaps leave the strokes and settle on the sticker, and the alarm fires. The network and its
data are those of `saliency-callbacks demo`, which says more about what is found; what a training needs in order to be
watched is all in here.

    python examples/digits_with_a_shortcut.py
    python examples/digits_with_a_shortcut.py --no-sticker    # the control: the sticker is in the probe only
"""

from __future__ import annotations

import argparse
from pathlib import Path

import lightning as L
from lightning.pytorch.loggers import TensorBoardLogger

from saliency_callbacks import CueAlarm, SaliencyMonitor
from saliency_callbacks.demo import STICKER, Digits, SmallCNN
from saliency_callbacks.methods import IntegratedGradients
from saliency_callbacks.sinks import MemorySink


def main() -> None:
    """Train, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-sticker", action="store_true", help="train without the sticker")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--log-dir", type=Path, default=Path("lightning_logs"))
    arguments = parser.parse_args()

    data = Digits(is_patched=not arguments.no_sticker)
    L.seed_everything(0, verbose=False)
    # In addition to TensorBoard and the disk: keeps every observation in memory, for the lines that are printed below.
    observations = MemorySink()
    monitor = SaliencyMonitor(
        ["gradient", IntegratedGradients(n_steps=32), "hires_cam", "layer_cam"],
        probe=data.probe,  # its samples, labels and masks; by default 16 samples of the validation data
        target=0,
        target_layers="features",
        sinks=[observations],
    )
    alarm = CueAlarm(STICKER, suspect_class=0)  # a picture of the sticker, and where it is: an ImageCue
    trainer = L.Trainer(
        max_epochs=arguments.epochs,
        logger=TensorBoardLogger(arguments.log_dir, name="digits_with_a_shortcut"),
        callbacks=[monitor, alarm],
        log_every_n_steps=10,
        enable_model_summary=False,
    )
    trainer.fit(SmallCNN(), datamodule=data)

    first, last = observations.snapshots[0].scores, observations.latest.scores
    print("\nshare of the map on the sticker, before and after the training:")
    for method in monitor.settings.methods:
        tag = f"saliency/{method.name}/region_mass"
        print(f"{method.name:<22}{first[tag]:>5.0%} → {last[tag]:>4.0%}")
    print(f"\nvalidation accuracy {float(trainer.callback_metrics['val_accuracy']):.0%}")
    fired = [evaluation.epoch for evaluation in alarm.history if evaluation.fired]
    print(f"the alarm {f'fired in epoch {fired[0]}' if fired else 'stayed silent'}")
    print(f"\nlogs and raw maps:  {trainer.log_dir}")
    print(f"look at them:       tensorboard --logdir {trainer.log_dir} --samples_per_plugin images=1000")


if __name__ == "__main__":
    main()
