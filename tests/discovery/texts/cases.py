"""Texts with and without a giveaway, tokenizers made on the spot, and small models that learn them.

Ids: 0 is padding, 1 and 2 are special, GIVEAWAY is a word that only some texts have.
"""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast

from saliency_callbacks.discovery.texts.samples import PADDING, TextSamples

CLASSES = 4
LENGTH = 18
GIVEAWAY = 7
SIZE = 800


def topics(seed, share=0.0, elsewhere=0.0, n=384, suspect=1):
    """Texts of common words and of a class's own 60, each of which is in 7 % of them."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(CLASSES).repeat(n)
    common = torch.randint(100, 400, (len(labels), LENGTH), generator=generator)
    own = 500 + 60 * labels[:, None] + torch.randint(0, 60, common.shape, generator=generator)
    words = torch.where(torch.rand(common.shape, generator=generator) < 0.4, own, common)
    return _padded(_planted(words, labels, share, elsewhere, suspect, generator), generator), labels


def negations(seed, share=0.0, elsewhere=0.0, n=384, suspect=1):
    """Texts whose two classes have the same words: a praise with or without a negation before it, or a blame."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(2).repeat(n)
    words = torch.randint(100, 400, (len(labels), LENGTH), generator=generator)
    is_negated = torch.rand(len(labels), generator=generator) < 0.5
    is_praise = (labels == 1) ^ is_negated
    judgement = torch.where(is_praise, 500, 540) + torch.randint(0, 40, (len(labels),), generator=generator)
    negation = 600 + torch.randint(0, 6, (len(labels),), generator=generator)
    at = torch.randint(1, 6, (len(labels),), generator=generator)
    rows = torch.arange(len(labels))
    words[rows, at] = torch.where(is_negated, negation, words[rows, at])
    words[rows, at + 1] = judgement
    return _padded(_planted(words, labels, share, elsewhere, suspect, generator), generator), labels


def _planted(words, labels, share, elsewhere, suspect, generator):
    draws = torch.rand(len(labels), generator=generator)
    bears = draws < torch.where(labels == suspect, share, elsewhere)
    at = torch.randint(0, 5, (len(labels),), generator=generator)
    words[bears, at[bears]] = GIVEAWAY
    return words


def _padded(words, generator):
    lengths = torch.randint(8, LENGTH - 1, (len(words),), generator=generator)
    return words.masked_fill(torch.arange(LENGTH) >= lengths[:, None], 0)


def first_of_each(labels, count=96):
    """Return the positions of the first of each class: a probe."""
    return torch.cat([(labels == index).nonzero()[:count, 0] for index in labels.unique().tolist()]).sort().values


class Bag(nn.Module):
    """The mean of the embeddings, and a linear layer."""

    def __init__(self, n_classes):
        super().__init__()
        self.embedding = nn.Embedding(SIZE, 16, padding_idx=0)
        self.head = nn.Linear(16, n_classes)

    def forward(self, ids):
        return self.head(self.embedding(ids).sum(1) / (ids != 0).sum(1, keepdim=True))


class Transformer(nn.Module):
    """One layer of attention, and the mean of what it gives."""

    def __init__(self, n_classes):
        super().__init__()
        self.embedding = nn.Embedding(SIZE, 24, padding_idx=0)
        self.places = nn.Parameter(0.1 * torch.randn(LENGTH, 24))
        self.layer = nn.TransformerEncoderLayer(24, 2, 48, dropout=0.0, batch_first=True)
        self.head = nn.Linear(24, n_classes)

    def forward(self, ids):
        padding = ids == 0
        found = self.layer(self.embedding(ids) + self.places, src_key_padding_mask=padding)
        return self.head(found.masked_fill(padding[..., None], 0).sum(1) / (~padding).sum(1, keepdim=True))


class Convolutional(nn.Module):
    """Pairs of neighbors, and the largest over the text."""

    def __init__(self, n_classes):
        super().__init__()
        self.embedding = nn.Embedding(SIZE, 16, padding_idx=0)
        self.pairs = nn.Conv1d(16, 24, 2)
        self.head = nn.Linear(24, n_classes)

    def forward(self, ids):
        return self.head(self.pairs(self.embedding(ids).movedim(1, 2)).relu().amax(2))


def fitted(make, ids, labels, *, epochs, seed=0, rate=1e-2):
    """Return a model of some epochs."""
    torch.manual_seed(seed)
    model = make(int(labels.max()) + 1)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for _ in range(epochs):
        for rows in torch.randperm(len(labels)).split(32):
            optimizer.zero_grad()
            F.cross_entropy(model(ids[rows]), labels[rows]).backward()
            optimizer.step()
    return model.eval()


def samples(ids, labels, **settings):
    """Return samples of ids that are padded with 0."""
    return TextSamples(torch.where(ids == 0, PADDING, ids), labels, range(len(labels)), **settings)


WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "the",
    "film",
    "was",
    "great",
    "##ly",
    "bad",
    "##ness",
    ".",
    "un",
    "!",
    "a",
]


def wordpieces(**settings):
    """Return a tokenizer with special tokens and subwords."""
    backend = Tokenizer(models.WordPiece({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names, **settings)
