"""TokenSaliencyMonitor in real Trainers: what is logged, shown and kept, and what is said where it cannot work."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from saliency_callbacks import (
    Cascade,
    Draws,
    ModelReading,
    Probe,
    RandomizationTest,
    SaliencyMonitor,
    Storage,
    TokenSaliencyMonitor,
    explain,
)
from saliency_callbacks.errors import (
    ConfigurationError,
    InputError,
    LayerError,
    ProbeError,
    SaliencyWarning,
    TargetError,
)
from saliency_callbacks.methods import IntegratedGradients
from saliency_callbacks.sinks import MemorySink, read_index, read_maps, read_probe
from tests import texts
from tests.grouping import grouped
from tests.score_tags import MAP_TAGS
from tests.trainer.runs import WEIGHTS_ONLY, RecordingLogger, trainer
from tests.trainer.text_runs import WORDS, BertClassifier, LstmClassifier, loader, pairs, tokenizer

METHODS = ["gradient_norm", "input_x_gradient", IntegratedGradients(n_steps=4, baselines="pad_token")]
NAMES = ("gradient_norm", "input_x_gradient", "integrated_gradients")


def monitor(sink=None, **changes):
    settings = {
        "methods": METHODS,
        "probe": Probe(indices=[0, 2, 3, 7]),
        "tokenizer": tokenizer(),
        "sinks": () if sink is None else (sink,),
        "save_maps": False,
        "on_error": "raise",
    }
    return TokenSaliencyMonitor(**grouped(TokenSaliencyMonitor, **settings | changes))


def fit(root, *callbacks, module=None, data=None, **changes):
    module = BertClassifier() if module is None else module
    data = loader if data is None else data
    trainer(root, *callbacks, **changes).fit(module, data(shuffle=True), data())
    return module


@pytest.fixture(scope="module")
def sink(tmp_path_factory):
    found = MemorySink()
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("run")
        patch.chdir(root)
        fit(root, monitor(found))
    return found


def test_words_are_scored_and_special_tokens_set_apart(sink):
    assert [snapshot.moment for snapshot in sink.snapshots] == ["start", "epoch 0", "epoch 1"]
    view = sink.snapshots[-1].probe
    assert view.tokens[0] == ("[CLS]", "the", "film", "was", "great", "[SEP]")
    assert view.tokens[1] == ("[CLS]", "a", "film", "so", "greatly", "great", "[SEP]")
    assert view.special[0] == (True, False, False, False, False, True)
    assert view.images is None
    for attribution in sink.snapshots[-1].attributions.values():
        assert attribution.values.shape == (4, 1, 7)
        assert torch.equal(attribution.magnitude, attribution.values[:, 0].abs())
        assert not attribution.values[0, 0, 6:].any()
        assert not attribution.heatmap[~attribution.counted].any()
        assert (attribution.heatmap.amax(1) == 1).all()
    assert sink.snapshots[-1].metadata["target"] == "label"


def test_the_scores_of_a_word_are_the_sum_of_those_of_its_tokens(tmp_path):
    sink = MemorySink()
    module = fit(tmp_path, monitor(sink), max_epochs=1)
    encoded = tokenizer()(["a film so greatly great"], return_tensors="pt")
    given = {key: encoded[key] for key in ("input_ids", "attention_mask")}
    found = explain(module, given, methods="input_x_gradient", target=1, embedding="auto", tokenizer=tokenizer())[
        "input_x_gradient"
    ].values.sum(1)[0]
    # great and ##ly are the fifth and sixth token.
    expected = torch.cat([found[:4], found[4:6].sum()[None], found[6:]])
    logged = sink.snapshots[-1].attributions["input_x_gradient"].values[1, 0]
    torch.testing.assert_close(logged, expected)


def in_twos(tokens):
    """Makes one word of two neighbors."""
    return [None, *(place // 2 for place in range(len(tokens) - 2)), None]


@pytest.mark.parametrize("words", [in_twos, "tests.trainer.test_tokens.in_twos"])
def test_words_are_those_of_a_function(tmp_path, words):
    sink = MemorySink()
    fit(tmp_path, monitor(sink, words=words), max_epochs=1)
    assert sink.snapshots[-1].probe.tokens[0] == ("[CLS]", "thefilm", "wasgreat", "[SEP]")
    assert sink.snapshots[-1].attributions["gradient_norm"].values.shape == (4, 1, 5)


def test_words_of_texts_without_a_tokenizer(tmp_path):
    sink = MemorySink()
    changes = {"tokenizer": None, "words": lambda tokens: [len(token) for token in tokens]}
    fit(tmp_path, monitor(sink, **changes), module=LstmClassifier(), data=pairs, max_epochs=1)
    assert sink.snapshots[-1].probe.tokens[0] == ("194562",)


def test_what_is_logged(sink):
    first, last = sink.snapshots[0], sink.snapshots[-1]
    expected = {f"tokens/{name}/{score}" for name in NAMES for score in MAP_TAGS}
    expected |= {"tokens/probe_accuracy", "tokens/probe_confidence"}
    assert set(first.scores) == expected
    drifts = {f"tokens/{name}/drift_{since}" for name in NAMES for since in ("previous", "initial")}
    assert set(last.scores) == expected | drifts
    assert all(0 <= last.scores[tag] <= 2 for tag in drifts)
    pictures = {f"tokens/{name}{kind}" for name in NAMES for kind in ("", "/filmstrip", "/bars")}
    assert set(sink.pictures[-1]) == pictures
    assert all(picture.dtype == "uint8" and picture.shape[2] == 3 for picture in sink.pictures[-1].values())


def test_texts_are_escaped_and_the_top_tokens_are_those_of_the_class(sink):
    found = set()

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attributes):
            found.add(tag)

    last = sink.snapshots[-1]
    page = last.html["tokens/gradient_norm"]
    Tags().feed(page)
    assert found == {"div", "span", "strong"}
    assert "&lt;b&gt;" in page
    assert "<b>" not in last.texts["tokens/gradient_norm"]
    table = last.markdown["tokens/input_x_gradient/top_tokens"]
    assert table.startswith("| class | word |")
    assert "[CLS]" not in table
    assert {row.split("|")[1].strip() for row in table.splitlines()[2:]} <= {"`0`", "`1`"}


def test_more_padding_changes_no_score(tmp_path):
    def wide(**changes):
        def padded(rows):
            from tests.trainer.text_runs import collate

            batch = collate(rows)
            return {
                key: torch.nn.functional.pad(value, (0, 5)) if value.ndim == 2 else value
                for key, value in batch.items()
            }

        return loader(collate_fn=padded, **changes)

    found = []
    for data in (loader, wide):
        sink = MemorySink()
        torch.manual_seed(0)
        fit(tmp_path, monitor(sink), data=data, max_epochs=1)
        found.append(sink.snapshots[0])
    assert found[0].scores == pytest.approx(found[1].scores, rel=1e-4)
    for name, one in found[0].attributions.items():
        torch.testing.assert_close(found[1].attributions[name].values, one.values, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("build", "data"), [(BertClassifier, loader), (LstmClassifier, pairs)])
def test_the_training_is_not_changed_by_a_bit(tmp_path, build, data):
    states = []
    for callbacks in (
        [],
        [
            monitor(),
            RandomizationTest(METHODS, Probe(4), reading=ModelReading(embedding="auto"), tokenizer=tokenizer()),
        ],
    ):
        torch.manual_seed(1)
        logger = RecordingLogger(tmp_path)
        module = fit(tmp_path, *callbacks, module=build(), data=data, logger=logger)
        rows = [(step, one["train_loss"]) for step, one in logger.records if "train_loss" in one]
        states.append((module.state_dict(), rows, torch.random.get_rng_state()))
    (plain, losses, state), (observed, other_losses, other_state) = states
    assert losses == other_losses
    assert torch.equal(state, other_state)
    assert all(torch.equal(value, observed[name]) for name, value in plain.items())


def test_a_recurrent_model_without_a_tokenizer(tmp_path):
    sink = MemorySink()
    fit(tmp_path, monitor(sink, tokenizer=None), module=LstmClassifier(), data=pairs, max_epochs=1)
    view = sink.snapshots[-1].probe
    assert view.tokens[0] == ("1", "9", "4", "5", "6", "2")
    assert not any(map(any, view.special))
    assert sink.snapshots[-1].attributions["gradient_norm"].counted[0].tolist() == [True] * 6 + [False] * 2
    assert sink.pictures[-1]["tokens/gradient_norm"].size


def test_the_disk_keeps_words_and_scores(tmp_path):
    fit(tmp_path, monitor(save_maps=True))
    (directory,) = tmp_path.rglob("tokens")
    index = read_index(directory)
    view = read_probe(directory, index["probe"])
    assert view.tokens[1][4] == "greatly"
    assert view.special[1][0] is True
    maps = read_maps(directory, index["observations"][-1])
    assert maps["gradient_norm/values"].shape == (4, 1, 7)


def test_a_resumed_run_goes_on(tmp_path):
    whole, first, second = MemorySink(), MemorySink(), MemorySink()
    torch.manual_seed(0)
    fit(tmp_path, monitor(whole), max_epochs=2)
    torch.manual_seed(0)
    runner = trainer(tmp_path, monitor(first), max_epochs=1)
    runner.fit(BertClassifier(), loader(), loader())
    runner.save_checkpoint(tmp_path / "half.ckpt")
    again = monitor(second)
    trainer(tmp_path, again, max_epochs=2).fit(
        BertClassifier(), loader(), loader(), ckpt_path=tmp_path / "half.ckpt", **WEIGHTS_ONLY
    )
    assert [snapshot.epoch for snapshot in second.snapshots] == [1]
    assert "tokens/gradient_norm/drift_initial" in second.snapshots[0].scores
    assert len(again.state.histories["gradient_norm"].frames.kept) == 3


def test_scores_can_be_monitored(tmp_path):
    stop = EarlyStopping("tokens/gradient_norm/entropy", patience=0, mode="max", min_delta=10)
    fit(tmp_path, monitor(), stop, max_epochs=5)
    assert stop.stopped_epoch == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_and_wandb(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    board = TensorBoardLogger(tmp_path / "board")
    wandb = WandbLogger(offline=True, save_dir=tmp_path, project="test")
    fit(tmp_path, monitor(), logger=[board, wandb], max_epochs=1)
    media = Path(wandb.experiment.dir) / "media"
    wandb.experiment.finish()
    pages = [path.read_text() for path in media.rglob("*.html")]
    assert any("&lt;b&gt;" in page and "background" in page for page in pages)
    events = EventAccumulator(board.log_dir, size_guidance={"tensors": 0}).Reload()
    (text,) = [
        event.tensor_proto.string_val[0].decode()
        for event in events.Tensors("tokens/input_x_gradient/text_summary")[-1:]
    ]
    assert re.search(r"\*\*|_", text)
    assert "tokens/input_x_gradient" in events.Tags()["images"]


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.SaliencyWarning")
def test_randomization_of_words(tmp_path):
    test = RandomizationTest(
        METHODS,
        Probe(indices=[0, 2, 3, 7]),
        reading=ModelReading(embedding="auto"),
        tokenizer=tokenizer(),
        draws=Draws(n_draws=3),
        cascade=Cascade(n_draws=2),
        on_error="raise",
        storage=Storage(save_maps=False),
    )
    fit(tmp_path, test, max_epochs=1)
    assert set(test.result.methods) == set(NAMES)
    assert "integrated_gradients" in test.result.table()
    assert test.cascade.steps


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.SaliencyWarning")
@pytest.mark.parametrize("given", [WORDS, tokenizer().backend_tokenizer], ids=["list", "tokenizers"])
def test_any_tokenizer_does_for_a_model_that_knows_no_padding(tmp_path, given):
    def run(one):
        sink = MemorySink()
        torch.manual_seed(0)
        module = LstmClassifier()
        module.model.embedding.padding_idx = None
        names = ("gradient_norm", "input_x_gradient", "integrated_gradients")
        test = RandomizationTest(
            "input_x_gradient",
            Probe(4),
            reading=ModelReading(embedding="auto"),
            tokenizer=one,
            draws=Draws(n_draws=2),
            cascade=Cascade(at_fit_end=False),
            storage=Storage(save_maps=False),
            on_error="raise",
        )
        fit(tmp_path, monitor(sink, methods=names, tokenizer=one), test, module=module, data=pairs, max_epochs=1)
        return sink.snapshots[0], test.result.values["spearman"]["input_x_gradient"]

    (snapshot, similarities), (expected, expected_similarities) = run(given), run(tokenizer())
    assert snapshot.scores == pytest.approx(expected.scores)
    for name, one in expected.attributions.items():
        torch.testing.assert_close(snapshot.attributions[name].values, one.values)
    torch.testing.assert_close(similarities, expected_similarities, equal_nan=True)


def test_texts_that_may_have_been_cut(tmp_path):
    short = tokenizer(model_max_length=7)
    with pytest.warns(
        SaliencyWarning,
        match=r"1 text input of the tokenizer's maximum length, which may have been truncated \(samples 2\)",
    ):
        fit(tmp_path, monitor(tokenizer=short), max_epochs=1)


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.SaliencyWarning")
@pytest.mark.parametrize("embedding", ["auto", "model.bert.embeddings.word_embeddings"])
def test_texts_that_are_longer_than_the_model_takes(tmp_path, embedding):
    class Idle(BertClassifier):
        def step(self, batch):
            return self.model.classifier.weight.sum()

    long = texts.batch(texts.ids(2, 40) % 14)
    probe = Probe.from_tensors({key: long[key] for key in ("input_ids", "attention_mask")}, torch.tensor([0, 1]))
    with pytest.raises(InputError, match=r"the text inputs have 40 tokens, but the model's .* = 24; .*Truncate"):
        fit(tmp_path, monitor(probe=probe, embedding=embedding, on_error="warn"), module=Idle())


class Sum(LstmClassifier):
    """A model without a layer of its own for the ids."""

    def __init__(self, model):
        super().__init__()
        self.model = model


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.other, self.head = nn.Embedding(20, 4), nn.Embedding(20, 4), nn.Linear(4, 2)

    def forward(self, tokens):
        return self.head((self.one(tokens) * self.other(tokens)).sum(1))


@pytest.mark.parametrize(
    ("changes", "module", "error", "message"),
    [
        ({}, lambda: Sum(Two()), LayerError, r"\['model.one', 'model.other'\]. Name the one"),
        ({}, lambda: Sum(nn.Sequential(nn.EmbeddingBag(20, 2))), LayerError, "nn.EmbeddingBag adds up"),
        ({"embedding": "model.embeding"}, None, LayerError, "did you mean 'model.embedding'"),
        ({"tokenizer": ["a", "b"]}, None, ProbeError, "expected the tokenizer that encoded the dataset"),
        ({"methods": IntegratedGradients(baselines="mask_token")}, None, ConfigurationError, "there is no such token"),
        (
            {"probe": Probe.from_tensors(torch.zeros(2, 4, dtype=torch.long))},
            None,
            InputError,
            "consist only of padding",
        ),
        ({"probe": Probe.from_tensors(torch.rand(2, 3, 4))}, None, ConfigurationError, "holds embeddings"),
        ({"target": "label", "probe": Probe.from_tensors(texts.ids() % 14)}, None, TargetError, "no class labels"),
        ({"probe": Probe.from_tensors(texts.ids() % 14 + 16)}, None, ConfigurationError, "expected"),
    ],
)
@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.SaliencyWarning")
def test_what_cannot_work_is_said_before_the_first_step(tmp_path, changes, module, error, message):
    built = LstmClassifier() if module is None else module()
    with pytest.raises(error, match=message):
        fit(tmp_path, monitor(**({"on_error": "warn"} | changes)), module=built, data=pairs)
    assert built.trainer.global_step == 0


@pytest.mark.parametrize(
    "changes", [{"baseline": "nothing"}, {"merge": "mean"}, {"bars": -1}, {"top": "all"}, {"words": 3}]
)
def test_arguments(changes):
    with pytest.raises(ConfigurationError, match=next(iter(changes))):
        monitor(**changes)


def test_the_monitor_of_images_points_to_this_one(tmp_path):
    with pytest.raises(ConfigurationError, match="TokenSaliencyMonitor"):
        fit(
            tmp_path, SaliencyMonitor("gradient", storage=Storage(save_maps=False)), module=LstmClassifier(), data=pairs
        )
