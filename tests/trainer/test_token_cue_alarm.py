"""CueAlarm on texts, in real trainings: a word that gives a class away, and the same word that does not."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from saliency_callbacks import CueAlarm, Probe
from saliency_callbacks.errors import CueAlarmWarning, CueError, SaliencyWarning
from saliency_callbacks.probe import PatchCue, TokenCue
from saliency_callbacks.sinks import MemorySink
from tests.trainer.runs import Classifier, RecordingLogger, trainer

PAD, CLS, SEP, SITE = 0, 1, 2, 3
WORDS = ["[PAD]", "[CLS]", "[SEP]", "imdb", *(f"w{index}" for index in range(40))]
LENGTH, N_CLASSES = 14, 3


def texts(count: int, planted: str, seed: int = 0, side: str = "right") -> TensorDataset:
    """Texts whose class weakly shows in their words; the site is in those of class 0, or in half of all."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.full((count, LENGTH), PAD)
    labels = torch.arange(count) % N_CLASSES
    for row in range(count):
        length = int(torch.randint(5, 11, (), generator=generator))
        words = torch.randint(4, 44, (length,), generator=generator)
        typical = torch.rand(length, generator=generator) < 0.25
        words[typical] = 4 + 5 * labels[row] + torch.randint(0, 5, (int(typical.sum()),), generator=generator)
        has_site = labels[row] == 0 if planted == "class 0" else torch.rand((), generator=generator) < 0.5
        parts = [CLS, *([SITE] if has_site else []), *words.tolist(), SEP]
        padding = [PAD] * (LENGTH - len(parts))
        ids[row] = torch.tensor(padding + parts if side == "left" else parts + padding)
    return TensorDataset(ids, labels)


class Reader(nn.Module):
    """A small transformer that reads ids."""

    def __init__(self, width: int = 16, dropout: float = 0.1) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(WORDS), width, padding_idx=PAD)
        self.places = nn.Embedding(LENGTH, width)
        self.block = nn.TransformerEncoderLayer(width, 2, 32, dropout=dropout, batch_first=True)
        self.head = nn.Linear(width, N_CLASSES)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        text = input_ids != PAD if attention_mask is None else attention_mask.bool()
        hidden = self.embedding(input_ids) + self.places(torch.arange(input_ids.shape[1], device=input_ids.device))
        hidden = self.block(hidden, src_key_padding_mask=~text)
        return self.head((hidden * text[..., None]).sum(1) / text.sum(1, keepdim=True))


class BagOfWords(nn.Module):
    """A model without any embedding layer."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(len(WORDS), N_CLASSES)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.head(F.one_hot(input_ids, len(WORDS))[..., 3:].sum(1).float() @ torch.eye(41, len(WORDS)))


class TextClassifier(Classifier):
    """Trains with Adam, since a transformer hardly moves otherwise."""

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=3e-3)


def loaders(planted: str, side: str = "right", collate: Any = None) -> tuple[DataLoader, DataLoader]:
    train, val = texts(240, planted, side=side), texts(60, planted, seed=1, side=side)
    generator = torch.Generator().manual_seed(0)
    return (
        DataLoader(train, batch_size=24, shuffle=True, generator=generator, collate_fn=collate),
        DataLoader(val, batch_size=20, collate_fn=collate),
    )


def alarm(**changes: Any) -> CueAlarm:
    cue = changes.pop("cue", None) or TokenCue("imdb", changes.pop("position", "start"), tokenizer=WORDS)
    settings = {"probe": 30, "on_alarm": "log", "n_bootstrap": 200, "panel_size": 4}
    return CueAlarm(cue, 0, **{**settings, **changes})


def fit(root: Path, *callbacks: L.Callback, net: nn.Module | None = None, **changes: Any) -> L.Trainer:
    L.seed_everything(0, verbose=False)
    data = changes.pop("data", None) or loaders(changes.pop("planted", "class 0"), changes.pop("side", "right"))
    run = trainer(root, *callbacks, **{"max_epochs": 6, **changes})
    run.fit(TextClassifier(Reader() if net is None else net), *data)
    return run


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_alarm_goes_on_for_a_word_that_gives_the_class_away(tmp_path, side):
    watch, sink = alarm(on_alarm=("warn", "log")), MemorySink()
    watch.sinks = (sink,)
    with pytest.warns(CueAlarmWarning, match="'word' as a sign of class 0"):
        fit(tmp_path, watch, side=side)
    last = watch.history[-1]
    assert last.alarm
    assert last.lower_bound > 0.25
    assert last.flip_rate > 0.5
    assert watch.groups.worst < 0.5


@pytest.mark.parametrize("side", ["right", "left"])
def test_it_stays_silent_where_the_word_is_in_all_classes(tmp_path, side):
    watch = alarm()
    fit(tmp_path, watch, planted="evenly", side=side)
    assert not any(evaluation.fired for evaluation in watch.history)
    assert watch.history[-1].lower_bound < 0.25
