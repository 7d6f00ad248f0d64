"""A background that gives the class away, and an alarm that says so.

Real handwritten digits on real textures: in the training set 19 of 20 large digits (5 to 9) stand on grass and 19 of 20
small ones (0 to 4) on brick, as water birds stand on water. The alarm puts grass behind small digits of the validation
set, where every digit stands on either, and asks how much that speaks for "large". The accuracy of each group, at the
end, tells whether the alarm was right.

    python examples/digits_on_backgrounds.py
    python examples/digits_on_backgrounds.py --balanced    # the control: both textures behind either class
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import lightning as L
import numpy as np
import skimage
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from saliency_callbacks import Appearance, CueAlarm
from saliency_callbacks.probe import BackgroundCue

SIZE = 32
CLASS_NAMES = ["small", "large"]
# Digits are drawn brighter than any texture, so that they can be told from it.
DARKEST_INK, BRIGHTEST_TEXTURE = 0.7, 0.55
TINTS = {"grass": (0.55, 1.0, 0.45), "brick": (1.0, 0.65, 0.5)}


class SmallCNN(L.LightningModule):
    """A plain classifier; nothing in it knows of the callback."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 4 * 4, 2),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        return F.cross_entropy(self(images), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = batch
        self.log("val_accuracy", (self(images).argmax(dim=1) == labels).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def texture(name: str) -> Tensor:
    """Return one of scikit-image's pictures of a surface, tinted, ``[3, 512, 512]`` in [0, BRIGHTEST_TEXTURE]."""
    grey = torch.tensor(np.asarray(getattr(skimage.data, name)()), dtype=torch.float32) / 255
    return BRIGHTEST_TEXTURE * torch.tensor(TINTS[name]).view(3, 1, 1) * grey


def cut(surface: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return that many pieces of a surface, ``[count, 3, SIZE, SIZE]``, each from another position."""
    corners = torch.randint(0, surface.shape[1] - SIZE, (count, 2), generator=generator).tolist()
    return torch.stack([surface[:, top : top + SIZE, left : left + SIZE] for top, left in corners])


def find_digits(images: Tensor) -> Tensor:
    """Return where the digit is in each image, bool ``[N, SIZE, SIZE]``: all that is bright and white."""
    return images.amin(dim=1) > (DARKEST_INK + BRIGHTEST_TEXTURE) / 2


def load(seed: int, share_on_own: float) -> tuple[Tensor, Tensor]:
    """Return all digits on textures ``[N, 3, SIZE, SIZE]`` in [0, 1], and whether each is large.

    Args:
        seed: Seed of the textures.
        share_on_own: Share of large digits on grass and of small ones on brick.
    """
    pixels, digits = load_digits(return_X_y=True)
    strokes = F.interpolate(
        torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16, size=(SIZE, SIZE), mode="bilinear"
    )
    labels = torch.tensor(digits >= 5).long()
    generator = torch.Generator().manual_seed(seed)
    on_own = torch.rand(len(labels), generator=generator) < share_on_own
    on_grass = (labels == 1) == on_own
    grass, brick = (cut(texture(name), len(labels), generator) for name in ("grass", "brick"))
    background = torch.where(on_grass[:, None, None, None], grass, brick)
    return torch.where(strokes > 0.4, DARKEST_INK + (1 - DARKEST_INK) * strokes, background), labels


def main() -> None:
    """Train, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--balanced", action="store_true", help="train on both textures behind either class")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--log-dir", type=Path, default=Path("lightning_logs"))
    arguments = parser.parse_args()

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    L.seed_everything(0, verbose=False)
    images, labels = load(seed=0, share_on_own=0.5 if arguments.balanced else 0.95)
    held_out, held_out_labels = load(seed=1, share_on_own=0.5)
    training = DataLoader(TensorDataset(images[:1400], labels[:1400]), batch_size=64, shuffle=True)
    validation = DataLoader(TensorDataset(held_out[1400:], held_out_labels[1400:]), batch_size=256)

    grass = cut(texture("grass"), 1, torch.Generator().manual_seed(2))[0]
    alarm = CueAlarm(
        BackgroundCue(find_digits, grass, name="grass"), suspect_class=1, appearance=Appearance(class_names=CLASS_NAMES)
    )
    trainer = L.Trainer(
        max_epochs=arguments.epochs,
        logger=TensorBoardLogger(arguments.log_dir, name="digits_on_backgrounds"),
        callbacks=[alarm],
        log_every_n_steps=10,
        enable_model_summary=False,
    )
    trainer.fit(SmallCNN(), training, validation)

    fired = [evaluation.epoch for evaluation in alarm.history if evaluation.fired]
    print(f"\nvalidation accuracy {float(trainer.callback_metrics['val_accuracy']):.0%}")
    print(f"the alarm {'fired in epoch ' + str(fired[0]) if fired else 'stayed silent'}; ", end="")
    print(f"lower bound at the end {alarm.history[-1].lower_bound:.2f}, threshold {alarm.rule.threshold}")
    if alarm.groups is not None:
        print(f"\n{alarm.groups.table(CLASS_NAMES.__getitem__)}")
    print(f"\nlook at it:  tensorboard --logdir {trainer.log_dir} --samples_per_plugin images=1000")


if __name__ == "__main__":
    main()
