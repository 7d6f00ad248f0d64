"""Fine-tune a torchvision model on photographs, with the ImageNet transforms.

MobileNetV2 learns to tell a few of scikit-image's photographs apart by random crops. Pretrained weights are used if
they are in torch's cache, random ones otherwise. The target layer, the class names and the normalization of the
pictures are found by the callback itself.

    python examples/mobilenet_on_photographs.py
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from skimage import data
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2
from torchvision.transforms import v2

from saliency_callbacks import SaliencyMonitor
from saliency_callbacks.methods import SmoothGrad

WEIGHTS = MobileNet_V2_Weights.IMAGENET1K_V2
PHOTOGRAPHS = {"astronaut": data.astronaut, "cat": data.chelsea, "coffee": data.coffee}


class Crops(Dataset[tuple[Tensor, int]]):
    """Random crops of the photographs, under the transforms that the weights were trained with."""

    def __init__(self, n_crops: int, seed: int) -> None:
        self.classes = list(PHOTOGRAPHS)
        self.targets = [index % len(self.classes) for index in range(n_crops)]
        self.transform = WEIGHTS.transforms()
        self._photographs = [Image.fromarray(load()) for load in PHOTOGRAPHS.values()]
        self._seed = seed

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        label = self.targets[index]
        with torch.random.fork_rng():
            torch.manual_seed(self._seed + index)
            crop = v2.RandomResizedCrop(256, scale=(0.3, 0.9))(self._photographs[label])
        return self.transform(crop), label


class MobileNet(L.LightningModule):
    """MobileNetV2 with a new head."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.net = load_mobilenet()
        self.net.classifier[1] = nn.Linear(self.net.last_channel, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        return F.cross_entropy(self(images), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = batch
        self.log("val_accuracy", (self(images).argmax(dim=1) == labels).float().mean(), prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def load_mobilenet() -> nn.Module:
    """Return MobileNetV2, pretrained if its weights are in the cache."""
    cached = Path(torch.hub.get_dir(), "checkpoints", Path(WEIGHTS.url).name)
    if cached.exists():
        print(f"pretrained weights from {cached}")
        return mobilenet_v2(weights=WEIGHTS)
    print("no pretrained weights in the cache: starting from random ones")
    # A few dozen steps from scratch: the running statistics have to keep up.
    return mobilenet_v2(norm_layer=partial(nn.BatchNorm2d, momentum=0.5))


def main() -> None:
    """Train for a few epochs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--crops", type=int, default=48, help="training crops an epoch")
    parser.add_argument("--log-dir", type=Path, default=Path("lightning_logs"))
    arguments = parser.parse_args()

    L.seed_everything(0, verbose=False)
    training = DataLoader(Crops(arguments.crops, seed=0), batch_size=8, shuffle=True)
    validation = DataLoader(Crops(12, seed=10_000), batch_size=12)
    trainer = L.Trainer(
        max_epochs=arguments.epochs,
        logger=TensorBoardLogger(arguments.log_dir, name="mobilenet_on_photographs"),
        callbacks=[SaliencyMonitor([SmoothGrad(nt_samples=8), "grad_cam", "layer_cam"], probe=6)],
        log_every_n_steps=1,
        enable_model_summary=False,
    )
    trainer.fit(MobileNet(len(PHOTOGRAPHS)), training, validation)
    print(f"\nlook at the maps:  tensorboard --logdir {trainer.log_dir} --samples_per_plugin images=1000")


if __name__ == "__main__":
    main()
