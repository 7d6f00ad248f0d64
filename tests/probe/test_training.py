"""Real Trainers: the training is the same whether the probe is read from its data or not."""

import logging

import lightning as L
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, SubsetRandomSampler, TensorDataset

from saliency_callbacks import Probe, SaliencyMonitor, Storage
from saliency_callbacks.sinks import MemorySink

pytestmark = [
    pytest.mark.filterwarnings(r"ignore:The '\w+' does not have many workers"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
]

IMAGES = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(40) % 4
DATASET = TensorDataset(IMAGES, LABELS)


class Classifier(L.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))

    def forward(self, images):
        return self.net(images)

    def training_step(self, batch, index):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, index):
        self.log("loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Augmented(Dataset):
    """Keeps a generator and a counter of its own."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(0)
        self.reads = 0

    def __len__(self):
        return 40

    def __getitem__(self, index):
        self.reads += 1
        return IMAGES[index] + torch.randn(3, 8, 8, generator=self.generator) + self.reads / 100, LABELS[index]


class WholeBatches(Dataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        return IMAGES[8 * index : 8 * index + 8], LABELS[8 * index : 8 * index + 8]


def fit(tmp_path, *callbacks, train=None, val=None):
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    module = Classifier()
    settings = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = L.Trainer(
        callbacks=list(callbacks), max_epochs=1, logger=False, accelerator="cpu", default_root_dir=tmp_path, **settings
    )
    trainer.fit(module, train or DataLoader(DATASET, 8), val or DataLoader(DATASET, 8))
    return module.state_dict()


def monitor(probe):
    sink = MemorySink()
    return SaliencyMonitor("gradient", probe=probe, sinks=[sink], storage=Storage(save_maps=False)), sink


def test_a_dataset_with_state_of_its_own_trains_to_the_same_weights(tmp_path):
    plain = fit(tmp_path, train=DataLoader(Augmented(), 8))
    callback, sink = monitor(Probe(4, source="train"))
    monitored = fit(tmp_path, callback, train=DataLoader(Augmented(), 8))
    assert sink.snapshots
    assert all(torch.equal(plain[name], monitored[name]) for name in plain)


def test_only_samples_of_the_validation_are_shown(tmp_path):
    callback, sink = monitor(4)
    fit(tmp_path, callback, val=DataLoader(DATASET, 5, sampler=SubsetRandomSampler(range(30, 40))))
    assert len(sink.latest.ids) == 4
    assert {int(name) for name in sink.latest.ids} <= set(range(30, 40))


def test_a_dataset_that_delivers_whole_batches(tmp_path):
    callback, sink = monitor(10)
    fit(tmp_path, callback, val=DataLoader(WholeBatches(), None))
    assert sink.latest.labels.tolist() == LABELS[:10].tolist()
