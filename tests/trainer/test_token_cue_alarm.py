"""CueAlarm on texts, in real trainings: a word that gives a class away, and the same word that does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import yaml
from lightning.pytorch.cli import LightningCLI
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from saliency_callbacks import CueAlarm, Probe
from saliency_callbacks.errors import CueAlarmWarning, CueError, SaliencyWarning
from saliency_callbacks.probe import TokenCue
from saliency_callbacks.sinks import MemorySink
from tests.grouping import grouped
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
    settings = {"probe": 30, "on_alarm": "log", "n_bootstrap": 200, "panel_size": 4, "scalars": "all"}
    return CueAlarm(cue, 0, **grouped(CueAlarm, **{**settings, **changes}))


def fit(root: Path, *callbacks: L.Callback, net: nn.Module | None = None, **changes: Any) -> L.Trainer:
    L.seed_everything(0, verbose=False)
    data = changes.pop("data", None) or loaders(changes.pop("planted", "class 0"), changes.pop("side", "right"))
    run = trainer(root, *callbacks, **{"max_epochs": 6, **changes})
    run.fit(TextClassifier(Reader() if net is None else net), *data)
    return run


def as_dictionary(samples: list[Any]) -> dict[str, Tensor]:
    """Batches as a tokenizer's collator makes them."""
    ids, labels = torch.stack([ids for ids, _ in samples]), torch.stack([label for _, label in samples])
    return {"input_ids": ids, "attention_mask": (ids != PAD).long(), "labels": labels}


class DictionaryClassifier(TextClassifier):
    """Takes batches of dictionaries."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        return self.net(input_ids, attention_mask)

    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(self(batch["input_ids"], batch["attention_mask"]), batch["labels"])


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_alarm_goes_on_for_a_word_that_gives_the_class_away(tmp_path, side):
    watch, logger, sink = alarm(on_alarm=("warn", "log")), RecordingLogger(tmp_path), MemorySink()
    watch.sinks = (sink,)
    with pytest.warns(CueAlarmWarning, match="'imdb' as evidence for class 0"):
        fit(tmp_path, watch, side=side, logger=logger, max_epochs=4)
    last = watch.history[-1]
    assert last.alarm
    assert last.lower_bound > 0.25
    assert last.flip_rate > 0.5
    assert watch.groups.worst < 0.5
    assert logger.of("cue/imdb/effect")[-1][1] == pytest.approx(last.mean, rel=1e-5)
    shares = [value for _, value in logger.of("cue/imdb/mass")]
    assert shares[-1] > 0.4, "the words of these texts have a tenth each"
    assert logger.of("cue/imdb/lift")[-1][1] > 3
    assert {tag for pictures in sink.pictures for tag in pictures} == {"cue/imdb/panel"}
    assert any("cue/imdb/alarm" in snapshot.texts for snapshot in sink.snapshots)


@pytest.mark.parametrize("side", ["right", "left"])
def test_it_stays_silent_where_the_word_is_in_all_classes(tmp_path, side):
    watch = alarm()
    fit(tmp_path, watch, planted="evenly", side=side, max_epochs=4)
    assert not any(evaluation.fired for evaluation in watch.history)
    assert watch.history[-1].lower_bound < 0.25


@pytest.mark.parametrize("embedding", ["auto", "net.embedding", None])
def test_the_training_is_the_same_with_and_without(tmp_path, embedding):
    """Weights, optimizer, losses and the next random numbers, under dropout."""
    found = []
    for callbacks in ([], [alarm(embedding=embedding)]):
        logger = RecordingLogger(tmp_path)
        run = fit(tmp_path, *callbacks, logger=logger, max_epochs=2)
        found.append(
            (
                run.lightning_module.state_dict(),
                run.optimizers[0].state_dict()["state"],
                logger.of("train_loss"),
                torch.random.get_rng_state(),
            )
        )
    (weights, steps, losses, state), (others, other_steps, other_losses, other_state) = found
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert all(torch.equal(steps[key]["exp_avg"], other_steps[key]["exp_avg"]) for key in steps)
    assert losses == other_losses
    assert len(losses) == 20
    assert torch.equal(state, other_state)


def test_dictionaries_with_an_attention_mask(tmp_path):
    watch = alarm(position="end")
    L.seed_everything(0, verbose=False)
    run = trainer(tmp_path, watch, max_epochs=4)
    run.fit(DictionaryClassifier(Reader()), *loaders("class 0", collate=as_dictionary))
    assert watch.history[-1].alarm
    assert watch.groups.worst < 0.5


def test_a_model_without_an_embedding_layer_has_an_alarm_without_maps(tmp_path):
    watch, logger = alarm(method=None), RecordingLogger(tmp_path)
    fit(tmp_path, watch, net=BagOfWords(), logger=logger, max_epochs=8)
    assert watch.history[-1].alarm
    assert logger.of("cue/imdb/flip_rate")
    assert not logger.of("cue/imdb/mass")


def test_by_hand(tmp_path):
    """The effect of the first evaluation, from the formula and a word put in by list operations."""
    watch = alarm(probe=Probe(indices=list(range(12))), on_alarm=[])
    net = Reader()
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    fit(tmp_path, watch, net=net, max_epochs=1)
    twin = Reader()
    twin.load_state_dict(weights)
    twin.eval()
    ids, labels = (tensor[:12] for tensor in texts(60, "class 0", seed=1).tensors)
    cued = torch.tensor([[CLS, SITE, *row[1:-1]] for row in ids.tolist()])
    with torch.no_grad():
        before, after = twin(ids), twin(cued)

    def margin(logits: Tensor) -> Tensor:
        return logits[:, 0] - logits[:, 1:].amax(dim=1)

    expected = (margin(after) - margin(before)) / before.std(dim=1, correction=0).mean()
    found = torch.tensor(watch.history[0].effects)
    assert torch.equal(found.isnan(), labels == 0)
    torch.testing.assert_close(found[labels != 0], expected[labels != 0], atol=1e-5, rtol=1e-4)


def test_texts_that_are_cut_are_named(tmp_path):
    cue = TokenCue("imdb imdb imdb imdb imdb", tokenizer=WORDS)
    with pytest.warns(SaliencyWarning, match=r"too little padding .* up to \d token"):
        fit(tmp_path, alarm(cue=cue), max_epochs=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cue": TokenCue(" ".join(["imdb"] * 14), tokenizer=WORDS)}, "fits into none of the probe's text inputs"),
        ({"removal": "local_mean"}, "is for text inputs. Leave out"),
    ],
)
def test_what_does_not_fit_is_found_before_the_training(tmp_path, changes, message):
    watch = alarm(**changes)
    with pytest.raises(CueError, match=message):
        fit(tmp_path, watch, max_epochs=1)
    assert not watch.history


def test_a_word_can_be_written_as_yaml(monkeypatch, tmp_path):
    given = {"word": "imdb", "position": "end", "token_ids": [SITE], "special_ids": [CLS, SEP], "pad_id": PAD}
    cue = {"class_path": "saliency_callbacks.probe.TokenCue", "init_args": given}
    callback = {"class_path": "saliency_callbacks.CueAlarm", "init_args": {"cue": cue, "suspect_class": 0}}
    settings = {"callbacks": [callback], "logger": False, "accelerator": "cpu"}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"trainer": settings}))
    monkeypatch.setattr("sys.argv", ["main.py", "--config", str(path)])
    command = LightningCLI(TextClassifier, run=False, save_config_callback=None)
    (found,) = (each for each in command.trainer.callbacks if isinstance(each, CueAlarm))
    assert found.cue == TokenCue(**given)
