"""Small models of texts, and texts for them; 0 is padding, 1 and 2 are special."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import nn

VOCABULARY = 30
CLASSES = 3


def ids(n_samples=4, length=7, *, padded=True):
    """Texts ``[N, T]`` between 1 and 2, of different lengths where ``padded``."""
    found = torch.randint(3, VOCABULARY, (n_samples, length), generator=torch.Generator().manual_seed(0))
    found[:, 0], found[:, -1] = 1, 2
    if padded and n_samples > 1:
        found[1, 4], found[1, 5:] = 2, 0
    return found


def tokenizer(**changes):
    facts = {"pad_token_id": 0, "mask_token_id": 29, "unk_token_id": 3, "all_special_ids": [0, 1, 2, 3, 29]}
    return SimpleNamespace(**(facts | changes))


class Bag(nn.Module):
    """The sum of the embeddings of all tokens, and a linear layer: the gradient at each token is known."""

    def __init__(self, dim=4):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, dim)
        self.head = nn.Linear(dim, CLASSES)

    def forward(self, tokens):
        return self.head(self.embedding(tokens).sum(1))


class Recurrent(nn.Module):
    """An LSTM over sequences ``[T, N]``, as older models have them; reads lengths where they are given."""

    def __init__(self, dim=6, *, sequence_first=True):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, dim, padding_idx=0)
        self.lstm = nn.LSTM(dim, 5, batch_first=not sequence_first, bidirectional=True)
        self.head = nn.Linear(10, CLASSES)
        self.sequence_first = sequence_first

    def forward(self, tokens, lengths=None):
        embedded = self.embedding(tokens.t() if self.sequence_first else tokens)
        if lengths is not None:
            embedded = nn.utils.rnn.pack_padded_sequence(
                embedded, lengths.cpu(), batch_first=not self.sequence_first, enforce_sorted=False
            )
        return self.head(self.lstm(embedded)[1][0].movedim(0, 1).flatten(1))


class Convolutional(nn.Module):
    """Convolutions of two widths, ReLU, and the maximum over the text."""

    def __init__(self, dim=6):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, dim, padding_idx=0)
        self.convolutions = nn.ModuleList(nn.Conv1d(dim, 5, width, padding=1) for width in (2, 3))
        self.head = nn.Linear(10, CLASSES)

    def forward(self, tokens):
        embedded = self.embedding(tokens).movedim(1, 2)
        return self.head(torch.cat([one(embedded).relu().amax(2) for one in self.convolutions], 1))


def bert(**changes):
    """A tiny BERT with random weights, dropout and all."""
    import transformers

    torch.manual_seed(0)
    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 24,
        "num_labels": CLASSES,
        "pad_token_id": 0,
        "initializer_range": 0.5,
    }
    return transformers.BertForSequenceClassification(transformers.BertConfig(**(settings | changes)))


def batch(tokens):
    """What a tokenizer of Hugging Face makes of texts."""
    return {
        "input_ids": tokens,
        "token_type_ids": torch.zeros_like(tokens),
        "attention_mask": (tokens != 0).long(),
    }
