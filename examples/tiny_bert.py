"""A Hugging Face BERT, watched while it learns: which subwords it relies on.

Nothing is downloaded. The tokenizer is trained on the spot on sentences of Python's standard library, and the BERT, of
two layers, is made from a configuration with random weights and learns to tell families of modules apart. Batches are
the dictionaries that a tokenizer makes, with an attention mask; the monitor finds the embedding layer, joins subwords
into words, and leaves `[CLS]`, `[SEP]` and padding out of the scores.

    python examples/tiny_bert.py
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from standard_library import CLASS_NAMES, sentences
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import BertConfig, BertForSequenceClassification, DataCollatorWithPadding, PreTrainedTokenizerFast

from saliency_callbacks import Compute, TextAppearance, TokenSaliencyMonitor
from saliency_callbacks.methods import IntegratedGradients
from saliency_callbacks.sinks import MemorySink

LENGTH = 48
TOP_TOKENS = "tokens/integrated_gradients/top_tokens"


class TinyBert(L.LightningModule):
    """A plain text classifier; nothing in it knows of the callback."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__()
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=128,
            max_position_embeddings=LENGTH,
            pad_token_id=tokenizer.pad_token_id,
            num_labels=len(CLASS_NAMES),
        )
        self.bert = BertForSequenceClassification(config)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Any:
        return self.bert(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        return self.bert(**batch).loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        right = self.bert(**batch).logits.argmax(dim=1) == batch["labels"]
        self.log("val_accuracy", right.float().mean(), batch_size=len(right))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def trained_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer of word pieces, few enough that long words are in several."""
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    backend = Tokenizer(models.WordPiece(unk_token=names["unk_token"]))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=1500, special_tokens=list(names.values()), show_progress=False)
    backend.train_from_iterator(texts, trainer)
    ends = [(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=LENGTH, **names)


def loader(texts: list[tuple[list[str], int]], tokenizer: PreTrainedTokenizerFast, *, shuffle: bool) -> DataLoader[Any]:
    """Return batches as a tokenizer's collator makes them."""
    rows = [
        {**tokenizer(" ".join(words), truncation=True, return_token_type_ids=False), "label": label}
        for words, label in texts
    ]
    return DataLoader(rows, batch_size=32, shuffle=shuffle, collate_fn=DataCollatorWithPadding(tokenizer))  # type: ignore[arg-type]


def main() -> None:
    """Train, and print the words that speak most for each class."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--log-dir", type=Path, default=Path("lightning_logs"))
    arguments = parser.parse_args()

    texts = sentences()
    n_val = len(texts) // 5
    tokenizer = trained_tokenizer([" ".join(words) for words, _ in texts[n_val:]])
    L.seed_everything(0, verbose=False)
    observations = MemorySink()
    monitor = TokenSaliencyMonitor(
        ["input_x_gradient", IntegratedGradients(n_steps=32, baselines="pad_token")],
        probe=32,
        tokenizer=tokenizer,
        appearance=TextAppearance(class_names=CLASS_NAMES, top=4),
        compute=Compute(internal_batch_size=64),
        report=True,
        sinks=[observations],
    )
    trainer = L.Trainer(
        max_epochs=arguments.epochs,
        logger=TensorBoardLogger(arguments.log_dir, name="tiny_bert"),
        callbacks=[monitor],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        accelerator="cpu",
    )
    training = loader(texts[n_val:], tokenizer, shuffle=True)
    trainer.fit(TinyBert(tokenizer), training, loader(texts[:n_val], tokenizer, shuffle=False))

    print(f"validation accuracy {float(trainer.callback_metrics['val_accuracy']):.0%}, a quarter is chance")
    print(f"\nthe words that speak most for each class:\n\n{observations.snapshots[-1].tables[TOP_TOKENS].markdown()}")
    print(f"\nlook at it:  {Path(str(trainer.log_dir), 'report.html')}")


if __name__ == "__main__":
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    main()
