"""How often is a giveaway word found in texts, and is anything found where there is none?

Every run has data, a network and a seed of its own. Sentences of Python's standard library (four natural classes, a
random half of them for each run) and generated texts (each class with 60 words of its own, each of which is in 7 % of
them) are given a word that is in half or nine tenths of one class, in a tenth of every class, or in none. The search is
made on 96 texts a class, after each epoch.

    python benchmarks/shortcuts_in_texts.py --runs 20 --out docs/evidence/shortcuts_in_texts.md
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saliency_callbacks.discovery.discover import discover_shortcuts
from saliency_callbacks.discovery.suspicion import Suspicion

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

CLASSES, SUSPECT, GIVEAWAY, LENGTH = 4, 1, 1, 26
PLANTED = {"none": (0.0, 0.0), "a tenth of all": (0.1, 0.1), "half": (0.5, 0.0)}


@cache
def _library() -> list[tuple[list[str], int]]:
    from standard_library import sentences as read

    return read()


def sentences(seed: int) -> tuple[Tensor, Tensor]:
    """Return a random half of the sentences of the standard library, as ids of words that are there twice."""
    texts = _library()
    generator = torch.Generator().manual_seed(seed)
    texts = [texts[at] for at in torch.randperm(len(texts), generator=generator)[: len(texts) // 2].tolist()]
    counts = Counter(word for words, _ in texts for word in words)
    known = {word: index for index, word in enumerate(sorted(word for word in counts if counts[word] > 1), start=3)}
    ids = torch.zeros(len(texts), LENGTH, dtype=torch.int64)
    for row, (words, _) in enumerate(texts):
        found = [known.get(word, 2) for word in words][: LENGTH - 1]
        ids[row, : len(found)] = torch.tensor(found)
    return ids, torch.tensor([label for _, label in texts])


def topics(seed: int) -> tuple[Tensor, Tensor]:
    """Return texts of common words, and of words of each class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(CLASSES).repeat(384)
    common = torch.randint(10, 310, (len(labels), LENGTH), generator=generator)
    own = 310 + 60 * labels[:, None] + torch.randint(0, 60, common.shape, generator=generator)
    words = torch.where(torch.rand(common.shape, generator=generator) < 0.4, own, common)
    lengths = torch.randint(8, 17, (len(words), 1), generator=generator)
    return words.masked_fill(torch.arange(LENGTH) >= lengths, 0), labels


def planted(ids: Tensor, labels: Tensor, shares: tuple[float, float], seed: int) -> Tensor:
    """Return texts with the giveaway before a word of the first five, in shares of the suspect class and of others."""
    generator = torch.Generator().manual_seed(seed + 1)
    wanted = torch.where(labels == SUSPECT, shares[0], shares[1])
    rows = ids.tolist()
    for row in (torch.rand(len(ids), generator=generator) < wanted).nonzero()[:, 0].tolist():
        rows[row].insert(int(torch.randint(0, 5, (), generator=generator)), GIVEAWAY)
    return torch.tensor([row[:LENGTH] for row in rows])


class Bag(nn.Module):
    """The mean of the embeddings, and a linear layer."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, 32, padding_idx=0)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        """Return class scores."""
        return self.head(self.embedding(ids).sum(1) / (ids != 0).sum(1, keepdim=True).clamp(min=1))


class Transformer(nn.Module):
    """Two layers of attention, and the mean of what they give."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, 48, padding_idx=0)
        self.places = nn.Parameter(0.1 * torch.randn(LENGTH, 48))
        layer = nn.TransformerEncoderLayer(48, 4, 96, dropout=0.1, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(48, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        """Return class scores."""
        padding = ids == 0
        found = self.layers(self.embedding(ids) + self.places, src_key_padding_mask=padding)
        return self.head(found.masked_fill(padding[..., None], 0).sum(1) / (~padding).sum(1, keepdim=True).clamp(min=1))


@dataclass
class Run:
    """What the searches of one run found, epoch by epoch."""

    found: list[list[Suspicion]]
    seconds: float

    def names(self, epoch: int) -> list[str]:
        """Return what was found after an epoch."""
        return [f"{one.class_index}: {one.what}" for one in self.found[epoch]]

    def has_giveaway(self, epoch: int, *, used: bool) -> bool:
        """Tell whether the giveaway was found, or found to be used."""
        return any(
            one.kind == "tokens"
            and one.class_index == SUSPECT
            and GIVEAWAY in one.change.token_ids  # type: ignore[attr-defined]
            and (one.is_used or not used)
            for one in self.found[epoch]
        )


def run(data: Callable[[int], tuple[Tensor, Tensor]], make: Any, shares: tuple[float, float], seed: int, n: int) -> Run:
    """Train a network, and search after each of ``n`` epochs."""
    ids, labels = data(seed)
    ids = planted(ids, labels, shares, seed)
    torch.manual_seed(seed)
    model = make(int(ids.max()) + 1)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    probe = torch.cat([(labels == index).nonzero()[:96, 0] for index in range(CLASSES)])
    found, seconds = [], 0.0
    for _ in range(n):
        model.train()
        for rows in torch.randperm(len(labels)).split(32):
            optimizer.zero_grad()
            F.cross_entropy(model(ids[rows]), labels[rows]).backward()
            optimizer.step()
        begin = time.perf_counter()
        found.append(discover_shortcuts(model, ids[probe], labels[probe], embedding="auto", seed=seed))
        seconds += time.perf_counter() - begin
    return Run(found, seconds / n)


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows, others = [], []
    for data in (sentences, topics):
        for make in (Bag, Transformer):
            for name, shares in PLANTED.items():
                seeds = range(arguments.first_seed, arguments.first_seed + arguments.runs)
                runs = [run(data, make, shares, seed, arguments.epochs) for seed in seeds]
                rows.append(_row(data.__name__, make.__name__, name, runs))
                print(rows[-1], flush=True)
                for seed, one in zip(seeds, runs, strict=True):
                    if len(one.found[-1]) != one.has_giveaway(-1, used=False):
                        others.append(f"- {data.__name__}, {make.__name__}, {name}, seed {seed}: {one.names(-1)}")
    head = (
        "| texts | network | word in the class | runs | found after epoch 1 | used after the last | runs in which "
        "anything else was found, ever | of it used, ever | seconds a search |\n|---|---|---|---|---|---|---|---|---|\n"
    )
    listed = "\n".join(others) or "- none"
    text = f"{head}{chr(10).join(rows)}\n\nWhat else was found after the last epoch:\n\n{listed}\n"
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(f"# Giveaway words in texts\n\n{__doc__.strip()}\n\n{text}", encoding="utf-8")
    print(text)


def _row(data: str, network: str, planted_in: str, runs: list[Run]) -> str:
    def is_other(one: Suspicion) -> bool:
        ids = getattr(one.change, "token_ids", ())
        return not (one.kind == "tokens" and one.class_index == SUSPECT and GIVEAWAY in ids)

    found = sum(one.has_giveaway(0, used=False) for one in runs)
    used = sum(one.has_giveaway(-1, used=True) for one in runs)
    others = sum(any(is_other(each) for epoch in one.found for each in epoch) for one in runs)
    used_others = sum(any(is_other(each) and each.is_used for epoch in one.found for each in epoch) for one in runs)
    seconds = sum(one.seconds for one in runs) / len(runs)
    cells = (data, network, planted_in, len(runs), found, used, others, used_others, f"{seconds:.2f}")
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
