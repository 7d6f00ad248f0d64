"""Natural templates, which nobody planted: one is a shortcut, the others are the objects.

scikit-image ships a hundred aligned faces and a hundred pieces of photographs without one. A search that is told
nothing finds what many images of a class share. Backgrounds are often cut from the black frame of a scan: the network
takes black pixels for a background, and would take a face under a black hat for one. Backgrounds are blurred, and faces
are sharp: that is what photographs of faces look like. No number tells these apart, the pictures do at a glance; what
is the object can be dismissed, with a command that the report names.

    python examples/faces_and_backgrounds.py
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from skimage.data import lfw_subset
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from saliency_callbacks import Appearance, Probe, ShortcutDiscovery

N_EACH = 100
CLASS_NAMES = ["background", "face"]


class SmallCNN(L.LightningModule):
    """A plain classifier of ``[N, 1, 25, 25]``; nothing in it knows of the callback."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 6 * 6, 2),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        return F.cross_entropy(self(images), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=2e-3)


def main() -> None:
    """Train, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--log-dir", type=Path, default=Path("lightning_logs"))
    arguments = parser.parse_args()

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    L.seed_everything(0, verbose=False)
    images = torch.tensor(lfw_subset(), dtype=torch.float32)[:, None]
    labels = torch.tensor([1] * N_EACH + [0] * N_EACH)
    training = DataLoader(TensorDataset(images, labels), batch_size=32, shuffle=True)

    discovery = ShortcutDiscovery(
        Probe(size=2 * N_EACH, source="train"), every_n_epochs=5, appearance=Appearance(class_names=CLASS_NAMES)
    )
    trainer = L.Trainer(
        max_epochs=arguments.epochs,
        logger=TensorBoardLogger(arguments.log_dir, name="faces_and_backgrounds"),
        callbacks=[discovery],
        log_every_n_steps=5,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(SmallCNN(), training)

    print(f"\n{len(discovery.suspicions)} suspicions; only a person can tell a shortcut from the object itself:")
    for suspicion in discovery.suspicions:
        print(f"- {suspicion.sentence}")
    print(f"\nlook at them:  tensorboard --logdir {trainer.log_dir} --samples_per_plugin images=1000")


if __name__ == "__main__":
    main()
