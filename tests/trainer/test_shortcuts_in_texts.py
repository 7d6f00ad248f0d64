"""The discovery of giveaway words in a real Trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from saliency_callbacks import CueAlarm, ModelReading, SaliencyMonitor, ShortcutDiscovery, TokenSaliencyMonitor
from saliency_callbacks.errors import ConfigurationError, ProbeError
from saliency_callbacks.sinks import MemorySink
from tests import texts
from tests.discovery.texts.cases import GIVEAWAY, WORDS, Bag, Transformer, first_of_each, topics, wordpieces
from tests.grouping import grouped
from tests.trainer import text_runs
from tests.trainer.runs import WEIGHTS_ONLY, trainer

N = 72


class TextClassifier(L.LightningModule):
    """A plain classifier of ids; batches are ``(ids, labels)``."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, ids: Tensor) -> Tensor:
        return self.net(ids)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", F.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def _discovery(**changes: Any) -> ShortcutDiscovery:
    settings = {"probe": 4 * N, "every_n_epochs": 1, "embedding": "auto", "on_suspicion": "log", "on_error": "raise"}
    return ShortcutDiscovery(**grouped(ShortcutDiscovery, **{**settings, **changes}))


def _fit(root: Path, *callbacks: L.Callback, share: float = 0.9, net: Any = Bag, **changes: Any) -> L.Trainer:
    ids, labels = topics(0, share=share, n=240)
    resuming = {"ckpt_path": changes.pop("ckpt_path"), **WEIGHTS_ONLY} if "ckpt_path" in changes else {}
    run = trainer(root, *callbacks, **changes)
    few = first_of_each(labels, 8)
    run.fit(
        TextClassifier(net(4)),
        DataLoader(TensorDataset(ids, labels), 32, shuffle=True),
        DataLoader(TensorDataset(ids[few], labels[few]), 16),
        **resuming,
    )
    return run


@pytest.mark.parametrize("net", [Bag, Transformer])
def test_a_giveaway_word_is_found_at_the_first_evaluation_and_used_later(tmp_path: Path, net: Any) -> None:
    sink = MemorySink()
    discovery = _discovery(sinks=[sink])
    _fit(tmp_path, discovery, net=net, max_epochs=3)
    (found,) = discovery.suspicions
    assert (found.class_index, found.kind, found.what) == (1, "tokens", f"the word “{GIVEAWAY}”")
    assert found.first_seen == 0
    assert found.is_used
    assert [snapshot.scores["shortcuts/n_found"] for snapshot in sink.snapshots] == [1] * 4
    assert sink.snapshots[0].scores["shortcuts/n_used"] == 0
    assert sink.latest.metadata["kinds"] == ["tokens", "missing", "properties"]
    assert sink.latest.metadata["n_texts"] == 4 * N
    (row,) = sink.latest.tables["shortcuts/list"].rows
    assert [cell.text for cell in row[1:4]] == ["1", "tokens", f"the word “{GIVEAWAY}”"]
    (picture,) = sink.pictures[-1].values()
    assert picture.shape[2] == 3
    alarms = [text for snapshot in sink.snapshots for text in snapshot.texts.values()]
    assert len(alarms) == 1
    assert f"uses `the word “{GIVEAWAY}”` as evidence for class `1`" in alarms[0]


def test_clean_texts_give_an_empty_list(tmp_path: Path) -> None:
    discovery = _discovery()
    _fit(tmp_path, discovery, share=0.0, max_epochs=2)
    assert discovery.suspicions == ()


def test_a_run_goes_on_where_it_was_and_watches_what_was_confirmed(tmp_path: Path) -> None:
    first = _discovery(watch=True)
    run = _fit(tmp_path / "first", first, max_epochs=3)
    run.save_checkpoint(tmp_path / "last.ckpt")
    sink = MemorySink()
    second = _discovery(watch=True, sinks=[sink])
    _fit(tmp_path / "second", second, max_epochs=4, ckpt_path=tmp_path / "last.ckpt")
    assert second.suspicions[0].first_seen == 0
    watched = [name for name in sink.latest.scores if "/watched/" in name]
    assert len(watched) == 2
    assert sink.latest.scores[watched[0]] > 0.25


def test_what_is_found_is_a_cue_for_an_alarm(tmp_path: Path) -> None:
    discovery = _discovery()
    _fit(tmp_path / "first", discovery, max_epochs=2)
    cue = discovery.suspicions[0].to_cue()
    sink = MemorySink()
    alarm = CueAlarm(
        **grouped(CueAlarm, cue=cue, suspect_class=1, probe=32, method=None, on_alarm="log", on_error="raise"),
        sinks=[sink],
    )
    _fit(tmp_path / "second", alarm, max_epochs=3)
    assert alarm.history[-1].lower_bound > 0.25
    assert alarm.history[-1].mean == pytest.approx(discovery.suspicions[0].effect, rel=0.6)


class _Badly(torch.utils.data.Dataset):
    """Texts as a tokenizer of Hugging Face encodes them, with "badness" in two of three of class 0."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        words = ["the", "film", "was", "great", "a", "un", "."]
        encode = wordpieces()
        self.rows = []
        for row in range(2 * N):
            text = [words[at] for at in torch.randperm(7, generator=generator)[: 3 + row % 4]]
            written = " ".join(["badness", *text] if row < N and row % 3 else text)
            self.rows.append({**encode(written), "labels": row // N})

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return self.rows[row]


def _padded(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
    inputs = [{name: value for name, value in row.items() if name != "labels"} for row in rows]
    labels = torch.tensor([row["labels"] for row in rows])
    return {**wordpieces().pad(inputs, return_tensors="pt"), "labels": labels}


class _Bert(text_runs.BertClassifier):
    def __init__(self) -> None:
        super().__init__()
        self.model = texts.bert(vocab_size=len(WORDS), num_labels=2)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=3e-3)


def test_with_a_tokenizer_alone_what_a_bert_is_given_is_searched_by_words(tmp_path: Path) -> None:
    sink = MemorySink()
    discovery = _discovery(
        probe=2 * N, embedding=None, tokenizer=wordpieces(), sinks=[sink], kinds="tokens", every_n_epochs=3
    )
    loader = DataLoader(_Badly(), 24, shuffle=True, collate_fn=_padded)
    run = trainer(tmp_path, discovery, max_epochs=6)
    run.fit(_Bert(), loader, DataLoader(_Badly(), 24, collate_fn=_padded))
    (found,) = discovery.suspicions
    assert found.what == "the word “badness” at the start"
    assert found.is_used
    assert found.exhibit.bearing[:, 1:3].tolist() == [[9, 10]] * len(found.exhibit.bearing)
    (picture,) = sink.pictures[-1].values()
    Image.fromarray(picture).verify()


def test_kinds_of_images_are_none_of_texts() -> None:
    with pytest.raises(ConfigurationError, match="places"):
        _discovery(kinds=["places"])
    with pytest.raises(ConfigurationError, match="tokens"):
        ShortcutDiscovery(kinds=["tokens"])


def test_a_probe_without_ids_is_said_before_the_training(tmp_path: Path) -> None:
    run = trainer(tmp_path, _discovery(probe=96), max_epochs=1)
    data = DataLoader(TensorDataset(torch.rand(96, 3), torch.arange(96) % 2), 8)
    with pytest.raises(ConfigurationError, match=r"expected token ids"):
        run.fit(TextClassifier(torch.nn.Linear(3, 2)), data, data)
    assert run.global_step == 0


def test_labels_are_needed(tmp_path: Path) -> None:
    run = trainer(tmp_path, _discovery(probe=32), max_epochs=1, num_sanity_val_steps=0)
    ids, _ = topics(0, n=8)
    with pytest.raises(ProbeError, match="no class labels"):
        run.fit(TextClassifier(Bag(4)), DataLoader(ids, 8), DataLoader(ids, 8))


def test_the_tokenizer_of_the_reading_is_taken_by_all_callbacks_of_texts() -> None:
    reading = ModelReading(tokenizer=wordpieces())
    assert TokenSaliencyMonitor(reading=reading).settings.tokens.pad_id == 0
    own = TokenSaliencyMonitor(tokenizer=["a", "[PAD]"], reading=reading)
    assert own.settings.tokens.pad_id == 1
    with pytest.raises(ConfigurationError, match=r"reading\.tokenizer=.*TokenSaliencyMonitor"):
        SaliencyMonitor(reading=reading)
