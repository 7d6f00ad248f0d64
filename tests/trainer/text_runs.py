"""Tiny models of texts in real Trainers, with a word-piece tokenizer whose vocabulary is written here."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from tests import texts

WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "film", "was", "great", "bad", "##ly", "the", "a", "<b>", "so", "dull"]
GOOD = ["the film was great", "so great", "a film so greatly great", "great <b> film"]
BAD = ["the film was bad", "so bad dull", "a film so badly bad", "dull <b> film"]


def tokenizer(**settings: Any) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordPiece({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.decoder = decoders.WordPiece(cleanup=False)
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names, **settings)


TOKENIZER = tokenizer()


def items(repeat: int = 2) -> list[dict[str, Any]]:
    """Return texts as dictionaries of different lengths, as a dataset of Hugging Face holds them."""
    encode = tokenizer()
    labeled = [(text, 1) for text in GOOD] + [(text, 0) for text in BAD]
    return [dict(encode(text)) | {"labels": label} for text, label in labeled * repeat]


def collate(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
    labels = torch.tensor([row["labels"] for row in rows])
    inputs = [{key: value for key, value in row.items() if key != "labels"} for row in rows]
    return dict(tokenizer().pad(inputs, return_tensors="pt")) | {"labels": labels}


def loader(**changes: Any) -> DataLoader:
    return DataLoader(items(), **({"batch_size": 4, "collate_fn": collate} | changes))


def pairs(**changes: Any) -> DataLoader:
    """Batches ``(ids, labels)``."""

    def as_pairs(rows: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
        batch = collate(rows)
        return batch["input_ids"], batch["labels"]

    return loader(collate_fn=as_pairs, **changes)


class BertClassifier(L.LightningModule):
    """A model of Hugging Face; batches are dictionaries with the labels inside."""

    def __init__(self) -> None:
        super().__init__()
        self.model = texts.bert(vocab_size=len(WORDS), num_labels=2, hidden_dropout_prob=0.2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        return self.model(input_ids=input_ids, attention_mask=attention_mask)

    def step(self, batch: dict[str, Tensor]) -> Tensor:
        return self.model(**batch).loss

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.step(batch)
        self.log("train_loss", loss, on_step=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.step(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class LstmClassifier(BertClassifier):
    """A recurrent network; batches are ``(ids, labels)``."""

    def __init__(self) -> None:
        L.LightningModule.__init__(self)
        self.model = texts.Recurrent()
        self.dropout = nn.Dropout(0.2)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.dropout(self.model(tokens))

    def step(self, batch: Any) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])


class CheckpointedClassifier(LstmClassifier):
    """Computes what follows the embeddings twice, instead of keeping what it needs for the backward."""

    def forward(self, tokens: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(tokens)
        embedded = self.model.embedding(tokens.t())
        _, (last, _) = checkpoint(self.model.lstm, embedded, use_reentrant=False)
        return self.dropout(self.model.head(last.movedim(0, 1).flatten(1)))


class ManualClassifier(LstmClassifier):
    """Steps its optimizer by hand, on every second batch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        optimizer, loss = self.optimizers(), self.step(batch)
        self.manual_backward(loss)
        if batch_idx % 2:
            optimizer.step()
            optimizer.zero_grad()
        self.log("train_loss", loss, on_step=True)
        return loss
