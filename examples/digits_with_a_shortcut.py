"""Watch a small network fall for a shortcut, while it trains.

Real handwritten digits, in colour and enlarged to 32×32. In the training set every 0 carries a white patch in a corner,
and no other digit does. The monitor explains the score of class 0 on twelve digits that the training never sees:

- zeros with the patch, as in the training data;
- other digits with the patch, to see what the patch alone does;
- zeros without the patch, to see what is left of the digit.

Within a few epochs the heatmaps leave the strokes and settle on the patch. Beside it a randomization test says of each
method whether its maps depend on what the network has learned at all; of guided backprop, they hardly do. And an alarm
puts the patch into digits of all classes and goes on once that alone speaks for a 0.

    python examples/digits_with_a_shortcut.py
    python examples/digits_with_a_shortcut.py --no-patch    # the control: the patch is in the probe only
"""

from __future__ import annotations

import argparse
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from saliency_callbacks import CueAlarm, Probe, RandomizationTest, SaliencyMonitor
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.sinks import MemorySink

PATCHED_CLASS = 0
PATCH = PatchCue((2, 2, 6, 6))  # top, left, height, width; white
METHODS = ("gradient", "integrated_gradients", "hires_cam", "layer_cam")
# Without integrated gradients, whose 50 passes for each of the random copies would take most of the time.
TESTED = ("gradient", "input_x_gradient", "hires_cam", "layer_cam", "guided_backprop")
N_EACH = 4


class SmallCNN(L.LightningModule):
    """A plain classifier; nothing in it knows of the callback."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 32, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.1), nn.Linear(32 * 4 * 4, 10))

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        return F.cross_entropy(self(images), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = batch
        self.log("val_accuracy", (self(images).argmax(dim=1) == labels).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=2e-3)


def load_tinted_digits(seed: int) -> tuple[Tensor, Tensor]:
    """Return the 1,797 digits as pictures ``[N, 3, 32, 32]`` in [0, 1] and labels; each has its own ink and paper."""
    pixels, labels = load_digits(return_X_y=True)
    small = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    large = F.interpolate(small, size=(32, 32), mode="bilinear", align_corners=False)
    generator = torch.Generator().manual_seed(seed)
    colors = torch.rand(len(large), 3, 1, 1, generator=generator)
    bright = colors / colors.amax(dim=1, keepdim=True)
    # Little of the weakest channel, so that no digit is white.
    ink = bright - 0.8 * bright.amin(dim=1, keepdim=True)
    paper = 0.3 * F.interpolate(torch.rand(len(large), 3, 16, 16, generator=generator), size=(32, 32), mode="bilinear")
    return large * ink + (1 - large) * paper, torch.tensor(labels)


def with_patch(images: Tensor) -> Tensor:
    """Return a copy of ``images`` with a white patch in the top left corner."""
    return PATCH.insert(images)


def make_probe(images: Tensor, labels: Tensor) -> Probe:
    """Return four zeros with the patch, four other digits with it, and four zeros without; the patch is the mask."""
    zeros = images[labels == PATCHED_CLASS][:N_EACH]
    others = torch.stack([images[labels == digit][0] for digit in (1, 3, 4, 7)])
    other_labels = torch.tensor([1, 3, 4, 7])
    inputs = torch.cat([with_patch(zeros), with_patch(others), zeros])
    zero_labels = torch.zeros(N_EACH, dtype=torch.int64)
    return Probe.from_tensors(inputs, torch.cat([zero_labels, other_labels, zero_labels]), masks=PATCH.mask(inputs))


def print_scores(observations: MemorySink, trainer: L.Trainer) -> None:
    """Print how the maps moved, and where the logs are."""
    first, last = observations.snapshots[0], observations.snapshots[-1]
    print(f"\n{'method':<22}{'share of the map on the patch':>31}{'times chance':>14}{'drift since start':>19}")
    for method in METHODS:
        share = [
            snapshot.sample_scores[f"saliency/{method}/region_mass"][:N_EACH].nanmean() for snapshot in (first, last)
        ]
        lift = last.sample_scores[f"saliency/{method}/region_lift"][:N_EACH].nanmean()
        drift = last.scores[f"saliency/{method}/drift_initial"]
        print(f"{method:<22}{share[0]:>20.0%} → {share[1]:>4.0%}    {lift:>14.1f}{drift:>19.2f}")
    wrong = int((last.predictions[N_EACH : 2 * N_EACH] == PATCHED_CLASS).sum())
    right = int((last.predictions[2 * N_EACH :] == PATCHED_CLASS).sum())
    accuracy = float(trainer.callback_metrics["val_accuracy"])
    print(f"\nvalidation accuracy {accuracy:.0%}, yet {wrong} of {N_EACH} other digits become a 0 by the patch,")
    print(f"and {right} of {N_EACH} zeros are still recognised without it (map shares: zeros with the patch).")


def print_epochs(snapshots: dict[str, MemorySink]) -> None:
    """Print a few of the scores that were logged at every epoch."""
    tags = {
        "randomization": ["randomization/gradient/similarity", "randomization/guided_backprop/similarity"],
        "alarm": [f"cue/{PATCH.name}/effect", f"cue/{PATCH.name}/lower_bound", f"cue/{PATCH.name}/alarm"],
    }
    columns = [(sink, tag) for name, sink in snapshots.items() for tag in tags[name]]
    print("\nepoch  " + "  ".join(tag for _, tag in columns))
    for index, snapshot in enumerate(snapshots["alarm"].snapshots):
        if snapshot.stage != "final":
            values = [f"{sink.snapshots[index].scores[tag]:>{len(tag)}.2f}" for sink, tag in columns]
            print(f"{snapshot.moment.removeprefix('epoch '):<7}" + "  ".join(values))


def print_verdicts(test: RandomizationTest) -> None:
    """Print whether the maps depend on the weights."""
    assert test.result is not None
    print(f"\n{'method':<22}{'like random weights':>20}{'chance (floor)':>16}    verdict")
    for method, verdict in test.result.verdicts.items():
        similarity, floor = test.result.similarity(method), test.result.floor(method)
        print(f"{method:<22}{similarity.mean:>20.2f}{floor.mean:>16.2f}    {verdict}")


def print_alarm(alarm: CueAlarm) -> None:
    """Print whether the alarm went on, and what the patch does to each class."""
    fired = [evaluation.epoch for evaluation in alarm.history if evaluation.fired]
    print(f"\nthe alarm {f'went on in epoch {fired[0]}' if fired else 'stayed silent'}; ", end="")
    last = alarm.history[-1]
    print(f"effect of the patch on class {PATCHED_CLASS}: {last.mean:.2f}, lower bound {last.lower_bound:.2f}")
    if alarm.groups is not None:
        print(f"validation set without and with the patch: worst group {alarm.groups.worst:.0%}, ", end="")
        print(f"average {alarm.groups.average:.0%}")


def main() -> None:
    """Train, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-patch", action="store_true", help="train without the patch")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--log-dir", type=Path, default=Path("lightning_logs"))
    arguments = parser.parse_args()

    L.seed_everything(0, verbose=False)
    images, labels = load_tinted_digits(seed=0)
    probe = make_probe(images[1500:], labels[1500:])
    if not arguments.no_patch:
        is_patched = labels == PATCHED_CLASS
        images = torch.where(is_patched[:, None, None, None], with_patch(images), images)
    training = DataLoader(TensorDataset(images[:1500], labels[:1500]), batch_size=64, shuffle=True)
    validation = DataLoader(TensorDataset(images[1500:], labels[1500:]), batch_size=256)

    observations = MemorySink()
    monitor = SaliencyMonitor(METHODS, probe, PATCHED_CLASS, target_layers="features", sinks=[observations])
    by_epoch = {"randomization": MemorySink(), "alarm": MemorySink()}
    randomization = RandomizationTest(
        TESTED, probe, PATCHED_CLASS, target_layers="features", sinks=[by_epoch["randomization"]]
    )
    alarm = CueAlarm(PATCH, PATCHED_CLASS, sinks=[by_epoch["alarm"]])
    trainer = L.Trainer(
        max_epochs=arguments.epochs,
        logger=TensorBoardLogger(arguments.log_dir, name="digits_with_a_shortcut"),
        callbacks=[monitor, randomization, alarm],
        log_every_n_steps=10,
        enable_model_summary=False,
    )
    trainer.fit(SmallCNN(), training, validation)
    print_scores(observations, trainer)
    print_epochs(by_epoch)
    print_verdicts(randomization)
    print_alarm(alarm)
    print(f"\nlogs and raw maps:  {trainer.log_dir}")
    print(f"look at them:       tensorboard --logdir {trainer.log_dir} --samples_per_plugin images=1000")


if __name__ == "__main__":
    main()
