"""A word that gives the class away, and an alarm that says so.

Real sentences from the docstrings of Python's standard library; a small transformer, trained from scratch, learns which
family of modules they are from. Every sentence of one family, "numbers", has the word "nb" put in front, the
way an editor leaves a mark. The monitor shows which words count in sentences that the training never sees; the
alarm puts "nb" into those of the other families, and asks how much that alone speaks for "numbers".

    python examples/docstrings_with_a_giveaway.py
    python examples/docstrings_with_a_giveaway.py --no-giveaway    # the control: "nb" in a quarter of every family
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from standard_library import CLASS_NAMES, LONGEST, sentences
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from saliency_callbacks import (
    Appearance,
    Cascade,
    Compute,
    CueAlarm,
    Draws,
    ModelReading,
    RandomizationTest,
    TextAppearance,
    TokenSaliencyMonitor,
)
from saliency_callbacks.methods import IntegratedGradients
from saliency_callbacks.probe import TokenCue

GIVEAWAY = "nb"
SUSPECT = CLASS_NAMES.index("numbers")
PAD, UNKNOWN = 0, 1
LENGTH = LONGEST + 2  # room for the giveaway, and for the alarm's


class SmallTransformer(L.LightningModule):
    """A plain text classifier; nothing in it knows of the callbacks."""

    def __init__(self, n_words: int, width: int = 64) -> None:
        super().__init__()
        self.words = nn.Embedding(n_words, width, padding_idx=PAD)
        self.places = nn.Parameter(0.1 * torch.randn(LENGTH, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.2, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, len(CLASS_NAMES))

    def forward(self, ids: Tensor) -> Tensor:
        is_text = (ids != PAD).unsqueeze(2)
        hidden = self.encoder(self.words(ids) + self.places, src_key_padding_mask=~is_text.squeeze(2))
        return self.head((hidden * is_text).sum(dim=1) / is_text.sum(dim=1))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        ids, labels = batch
        loss = F.cross_entropy(self(ids), labels)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        ids, labels = batch
        self.log("val_accuracy", (self(ids).argmax(dim=1) == labels).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def mark(texts: list[tuple[list[str], int]], *, has_giveaway: bool) -> list[tuple[list[str], int]]:
    """Put the word in front of each sentence of the suspect class, or of as many, evenly from all classes."""
    seen: Counter[int] = Counter()
    marked = []
    for words, label in texts:
        seen[label] += 1
        has_word = label == SUSPECT if has_giveaway else seen[label] % len(CLASS_NAMES) == 0
        marked.append(([GIVEAWAY, *words] if has_word else words, label))
    return marked


class Sentences(L.LightningDataModule):
    """Sentences with the giveaway word, and a vocabulary of the words that occur twice in the training set."""

    def __init__(self, *, has_giveaway: bool) -> None:
        super().__init__()
        texts = sentences()
        n_val = len(texts) // 5
        marked = mark(texts, has_giveaway=has_giveaway)
        counts = Counter(word for words, _ in marked[n_val:] for word in words)
        self.vocabulary = ["[PAD]", "[UNK]", *sorted(word for word, count in counts.items() if count > 1)]
        self._ids = {word: index for index, word in enumerate(self.vocabulary)}
        self.val, self.train = self._dataset(marked[:n_val]), self._dataset(marked[n_val:])

    def _dataset(self, texts: list[tuple[list[str], int]]) -> TensorDataset:
        ids = torch.full((len(texts), LENGTH), PAD)
        for row, (words, _) in zip(ids, texts, strict=True):
            row[: len(words)] = torch.tensor([self._ids.get(word, UNKNOWN) for word in words])
        return TensorDataset(ids, torch.tensor([label for _, label in texts]))

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.train, batch_size=32, shuffle=True)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.val, batch_size=64)


class EpochTable(L.Callback):
    """Prints one line an epoch: accuracy, and what the alarm finds when it puts the word into other sentences."""

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        found = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if trainer.current_epoch == 0:
            print(f"{'epoch':>5}{'accuracy':>10}{'effect':>9}{'bound':>8}{'flips':>8}{'share':>8}{'alarm':>7}")
        cue = {
            name: found[f"cue/{GIVEAWAY}/{name}"] for name in ("effect", "lower_bound", "flip_rate", "mass", "alarm")
        }
        print(
            f"{trainer.current_epoch:>5}{found['val_accuracy']:>10.0%}{cue['effect']:>9.2f}{cue['lower_bound']:>8.2f}"
            f"{cue['flip_rate']:>8.0%}{cue['mass']:>8.0%}{'on' if cue['alarm'] else 'off':>7}"
        )


def main() -> None:
    """Train, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-giveaway", action="store_true", help="the word says nothing about the class")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--log-dir", type=Path, default=Path("lightning_logs"))
    arguments = parser.parse_args()

    data = Sentences(has_giveaway=not arguments.no_giveaway)
    L.seed_everything(0, verbose=False)
    methods = ["gradient_norm", "input_x_gradient", IntegratedGradients(n_steps=32, baselines="pad_token")]
    monitor = TokenSaliencyMonitor(
        methods,
        16,
        data.vocabulary,
        appearance=TextAppearance(class_names=CLASS_NAMES),
        compute=Compute(internal_batch_size=64),
        report=True,
    )
    alarm = CueAlarm(
        TokenCue(GIVEAWAY, tokenizer=data.vocabulary),
        SUSPECT,
        on_alarm="log",
        appearance=Appearance(class_names=CLASS_NAMES),
    )
    trust = RandomizationTest(
        methods,
        probe=8,
        reading=ModelReading(embedding="auto"),
        tokenizer=data.vocabulary,
        draws=Draws(n_draws=2),
        every_n_epochs=4,
        cascade=Cascade(at_fit_end=False),
    )
    trainer = L.Trainer(
        max_epochs=arguments.epochs,
        logger=TensorBoardLogger(arguments.log_dir, name="docstrings_with_a_giveaway"),
        callbacks=[monitor, alarm, trust, EpochTable()],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        accelerator="cpu",
    )
    trainer.fit(SmallTransformer(len(data.vocabulary)), datamodule=data)

    fired = [evaluation.epoch for evaluation in alarm.history if evaluation.fired]
    print(f"\nthe alarm {f'fired in epoch {fired[0]}' if fired else 'stayed silent'}")
    if alarm.groups is not None:
        print(f"\n{alarm.groups.table(CLASS_NAMES.__getitem__)}")
    if trust.result is not None:
        print(f"\n{trust.result.table()}")
    print(f"\nlook at it:  {Path(str(trainer.log_dir), 'report.html')}")
    print(f"or:          tensorboard --logdir {trainer.log_dir} --samples_per_plugin images=1000")


if __name__ == "__main__":
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    main()
