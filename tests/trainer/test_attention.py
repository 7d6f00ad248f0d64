"""Methods of attention in a real training: it stays bit-identical, and what they show follows the model."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from benchmarks.sanity import SmallViT
from saliency_callbacks import CueAlarm, RandomizationTest, SaliencyMonitor, Storage, TokenSaliencyMonitor, explain
from saliency_callbacks.callbacks.cue.confirmation import Confirmation
from saliency_callbacks.callbacks.randomization.settings import Cascade, Draws
from saliency_callbacks.methods import BUILT_IN
from saliency_callbacks.methods.catalog import COSTS
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.sinks import MemorySink
from tests.trainer import text_runs
from tests.trainer.interference import Case, assert_equal
from tests.trainer.runs import Classifier

OF_ATTENTION = [name for name in BUILT_IN if "attention" in COSTS[name].needs]
METHODS = ["gradient", *OF_ATTENTION]


def classifier():
    torch.manual_seed(7)
    return Classifier(SmallViT(16, 2, width=8))


def monitor(sink):
    return SaliencyMonitor(METHODS, probe=4, sinks=[sink], storage=Storage(save_maps=False), on_error="raise")


def randomization(sink):
    return RandomizationTest(
        METHODS,
        probe=4,
        draws=Draws(n_draws=2),
        cascade=Cascade(n_draws=2),
        sinks=[sink],
        storage=Storage(save_maps=False),
        on_error="raise",
    )


def alarm(sink):
    cue = PatchCue((0, 0, 2, 2))
    shown = Confirmation(method="legrad")
    return CueAlarm(
        cue, 0, confirmation=shown, probe=12, sinks=[sink], storage=Storage(save_maps=False), on_alarm="log"
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return Case(classifier).final_state(tmp_path_factory.mktemp("plain"))


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.SaliencyWarning")
@pytest.mark.parametrize("make", [monitor, randomization, alarm])
def test_training_is_bit_identical(plain, tmp_path, make):
    sink = MemorySink()
    assert_equal(Case(classifier).final_state(tmp_path, partial(make, sink)), plain)
    assert sink.snapshots
    if make is monitor:
        seen = [one.scores for one in sink.snapshots if one.stage == "fit"]
        assert all(0 < seen[-1][f"saliency/{name}/drift_previous"] < 1 for name in OF_ATTENTION)


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.SaliencyWarning")
def test_texts(tmp_path):
    case = Case(text_runs.BertClassifier, {"max_epochs": 1}, lambda: (text_runs.loader(), text_runs.loader()))
    sink = MemorySink()

    def make():
        return TokenSaliencyMonitor(
            ["gradient_norm", *OF_ATTENTION],
            probe=4,
            tokenizer=text_runs.tokenizer(),
            sinks=[sink],
            storage=Storage(save_maps=False),
            on_error="raise",
        )

    assert_equal(case.final_state(tmp_path, make), case.final_state(tmp_path))
    for name in OF_ATTENTION:
        found = sink.snapshots[-1].attributions[name]
        assert found.values.shape[1:] == (1, *found.counted.shape[1:])
        assert not found.heatmap[~found.counted].any()


@pytest.mark.parametrize("name", OF_ATTENTION)
def test_other_methods_get_the_same_maps_bit_by_bit(name):
    torch.manual_seed(0)
    model, images = SmallViT(16, 2, width=8).eval(), torch.rand(3, 1, 8, 8)
    others = ["gradient", "layer_cam"]
    alone = explain(model, images, methods=others, target=1)
    together = explain(model, images, methods=[*others, *OF_ATTENTION], target=1)
    for other in others:
        assert torch.equal(alone[other].values, together[other].values)
    assert torch.equal(explain(model, images, methods=name, target=1)[name].values, together[name].values)
