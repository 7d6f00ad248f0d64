"""Observations of a training that no Trainer runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from saliency_callbacks import CueAlarm, Draws, RandomizationTest, SaliencyMonitor, TokenSaliencyMonitor, explain
from saliency_callbacks.callbacks.cue.evaluation import evaluate_cue
from saliency_callbacks.callbacks.cue.image_probe import ImageCueProbe
from saliency_callbacks.callbacks.places import open_sinks
from saliency_callbacks.callbacks.runtime.appearance import Appearance
from saliency_callbacks.callbacks.runtime.observation import Moment
from saliency_callbacks.callbacks.runtime.preconditions import check_validation_is_off, explained_module
from saliency_callbacks.callbacks.runtime.probe_loader import freeze_probe
from saliency_callbacks.callbacks.runtime.settings import Compute, ModelReading, Storage, engine_settings
from saliency_callbacks.callbacks.saliency.explain_probe import ProbeExplainer
from saliency_callbacks.callbacks.saliency.state import MonitorState
from saliency_callbacks.errors import ConfigurationError, LayerError, ProbeError, SaliencyWarning
from saliency_callbacks.probe import PatchCue, Probe, freeze
from saliency_callbacks.sinks import DiskSink, MemorySink, read_index
from tests.callbacks.plain_host import PlainHost

_METHODS = ("gradient", "grad_cam")


def _net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)
        )
    with torch.no_grad():
        # Whatever is seen speaks for every class, so that no map of positive evidence is empty.
        net[-1].weight.abs_()
    return net


def _batches(sizes=(6, 4)):
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.rand(size, 1, 8, 8, generator=generator), torch.randint(3, (size,), generator=generator))
        for size in sizes
    ]


def _host(**facts):
    return PlainHost(_net(), **{"val": [_batches()], **facts})


def _settings(methods=_METHODS):
    return engine_settings(methods, ModelReading(), Compute())


def _trained(host):
    """Train the module of a host for two batches, in a plain loop."""
    optimizer = torch.optim.SGD(host.module.parameters(), lr=0.05)
    for images, labels in host.val[0]:
        optimizer.zero_grad()
        nn.functional.cross_entropy(host.module(images), labels).backward()
        optimizer.step()
        host.global_step += 1
    host.epoch += 1


def test_a_probe_is_read_from_batches():
    host, batches = _host(), _batches()
    frozen = freeze_probe(host, Probe(8))
    assert torch.equal(frozen.inputs, torch.cat([images for images, _ in batches])[:8])
    assert frozen.labels.tolist() == torch.cat([labels for _, labels in batches])[:8].tolist()
    assert host.ranks.agreed(frozen) is frozen


def test_a_probe_of_the_training_data():
    host = _host(val=(), train=[_batches((5,))])
    assert freeze_probe(host, Probe(4)) is None
    assert torch.equal(freeze_probe(host, Probe(4, source="train")).inputs, _batches((5,))[0][0][:4])


def test_a_probe_of_data_that_does_not_exist():
    with pytest.raises(ProbeError, match=r"Choose another with Probe\(dataloader_idx="):
        freeze_probe(_host(), Probe(4, dataloader_idx=1))
    with pytest.raises(ProbeError, match="there is no validation data"):
        check_validation_is_off(_host(val=()), "SaliencyMonitor")
    with pytest.warns(SaliencyWarning, match="SaliencyMonitor observes nothing"):
        check_validation_is_off(_host(val=(), validation_is_off=True), "SaliencyMonitor")


def test_the_module_that_is_explained():
    host = _host()
    assert explained_module(host, None) is host.module
    assert explained_module(host, "0") is host.module[0]
    with pytest.raises(LayerError):
        explained_module(host, "net")
    host.has_forward = False
    with pytest.raises(ConfigurationError, match="Sequential has no `forward`"):
        explained_module(host, None)


def test_the_probe_is_explained_and_the_model_is_left_alone():
    host = _host()
    host.module.train()
    before = {name: value.clone() for name, value in host.module.state_dict().items()}
    probe = freeze_probe(host, Probe(8))
    explainer = ProbeExplainer(_settings(), None, probe, Appearance(), "saliency")
    observation = explainer.observe(host.module, Moment(0, 0, "initial"), MonitorState(), host)
    snapshot = observation.snapshot
    expected = explain(host.module, probe.inputs, methods=_METHODS, target=probe.labels)
    for method in _METHODS:
        torch.testing.assert_close(snapshot.attributions[method].values, expected[method].values)
    assert {"saliency/gradient/gini", "saliency/grad_cam/entropy", "saliency/probe_accuracy"} <= snapshot.scores.keys()
    assert observation.next_state.target_layers == ("1",)
    assert observation.next_state.histories.keys() == set(_METHODS)
    for tag in ("saliency/gradient", "saliency/grad_cam/filmstrip", "saliency/methods"):
        assert observation.pictures[tag].dtype == np.uint8
    assert host.module.training
    assert all(parameter.grad is None for parameter in host.module.parameters())
    assert all(torch.equal(value, before[name]) for name, value in host.module.state_dict().items())


def test_a_training_is_followed_to_its_end(tmp_path):
    host = _host(directory=tmp_path)
    probe = freeze_probe(host, Probe(8))
    explainer = ProbeExplainer(_settings(), None, probe, Appearance(), "saliency")
    own = MemorySink()
    writer = open_sinks(host, [own], namespace="saliency", storage=Storage(), resumed=False, on_error="raise")
    state = MonitorState()
    for stage in ("initial", "fit", "fit"):
        if stage == "fit":
            _trained(host)
        moment = Moment(host.epoch, host.step, stage)
        observation = explainer.observe(host.module, moment, state, host).under({"precision": host.precision})
        state = observation.counted(state)
        writer.write(observation.snapshot, observation.pictures)
        host.log(observation.snapshot.scores)
    assert state.n_observations == 3
    assert "saliency/gradient/drift_initial" not in host.logged[0][1]
    assert host.logged[2][1]["saliency/gradient/drift_initial"] > 0
    summary = explainer.summarize(host.module, Moment(host.epoch, host.step, "final"), state)
    assert summary.pictures["saliency/gradient/evolution"].shape[0] == 3
    writer.close()
    assert [one.step for one in own.snapshots] == [0, 2, 4]
    assert [one.metadata["precision"] for one in own.snapshots] == ["32-true"] * 3
    assert "weights" not in own.snapshots[0].metadata, "nothing averages them"
    assert isinstance(writer.sinks[1], DiskSink)
    assert [one["step"] for one in read_index(tmp_path / "saliency")["observations"]] == [0, 2, 4]


def test_the_forwards_are_those_of_the_training():
    class Entered:
        count = 0

        def __enter__(self):
            self.count += 1

        def __exit__(self, *error):
            pass

    context, host = Entered(), _host()
    host.forward_context = lambda: context
    probe = freeze_probe(host, Probe(4))
    explainer = ProbeExplainer(_settings(), None, probe, Appearance(), "saliency")
    explainer.observe(host.module, Moment(0, 0, "fit"), MonitorState(), host)
    assert context.count > 0


def test_a_model_that_does_not_take_the_probe():
    host = _host(val=[[(torch.rand(8, 2, 8, 8), torch.zeros(8, dtype=torch.long))]])
    monitor = SaliencyMonitor("gradient", probe=4, storage=Storage(save_maps=False))
    with pytest.raises(ProbeError, match="Sequential cannot be run on the probe"):
        monitor.start(host)


def test_a_cue_is_evaluated():
    class Reads(nn.Module):
        """Says class 1 the more, the brighter the first pixel is."""

        def forward(self, images):
            zero = images[:, 0, 0, 0] * 0
            return torch.stack([zero, images[:, 0, 0, 0], images[:, 0, 4, 4]], dim=1)

    host = PlainHost(Reads())
    images = 0.5 * torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    probe = ImageCueProbe.prepare(
        freeze(images, torch.tensor([0, 2] * 5)),
        PatchCue((0, 0, 2, 2)),
        1,
        settings=_settings(),
        normalization=None,
        removal=None,
        n_shown=2,
    )
    finding = evaluate_cue(host.module, probe, 1, _settings(("gradient",)), host)
    logits = [host.module(inputs).double() for inputs in (probe.clean_inputs, probe.cued_inputs)]
    margins = [each[:, 1] - each[:, [0, 2]].amax(dim=1) for each in logits]
    spread = logits[0].std(dim=1, correction=0).mean()
    assert torch.equal(finding.effect.flips == 1, (margins[0] < 0) & (margins[1] > 0))
    assert finding.effect.flips.any()
    torch.testing.assert_close(finding.effect.effect.double(), (margins[1] - margins[0]) / spread, rtol=1e-4, atol=1e-5)
    shown = torch.stack(margins, dim=1)[probe.shown]
    torch.testing.assert_close(finding.margins.double(), shown, rtol=1e-4, atol=1e-5)
    assert finding.scores()["lift"] > 1, "the map is where the patch is"
    assert finding.picture("a cue", str, Appearance()).dtype == np.uint8


def _callbacks():
    own = {"probe": 8, "on_error": "raise"}
    return {
        "saliency": lambda sink: SaliencyMonitor(_METHODS, sinks=[sink], **own),
        "cue/patch": lambda sink: CueAlarm(PatchCue((0, 0, 2, 2), name="patch"), 1, sinks=[sink], **own),
        "randomization": lambda sink: RandomizationTest("gradient", draws=Draws(n_draws=2), sinks=[sink], **own),
    }


@pytest.mark.parametrize("identity", _callbacks())
def test_every_callback_observes_for_any_host(tmp_path, identity):
    host, sink = _host(directory=tmp_path), MemorySink()
    callback = _callbacks()[identity](sink)
    assert callback.observe(host, "initial", host.step, is_early=True) is not None
    _trained(host)
    snapshot = callback.observe(host, "fit", host.step, is_early=False)
    assert callback.observe(host, "final", host.step, is_early=False) is not None
    callback.drain()
    assert [(one.stage, one.step) for one in sink.snapshots] == [("initial", 0), ("fit", 2), ("final", 2)]
    assert snapshot.scores
    assert all(tag.startswith(identity) for tag in snapshot.scores)
    assert (callback.state.n_observations, callback.state.last_observed) == (2, 1)
    assert len(read_index(tmp_path / identity)["observations"]) == 3


def test_text_inputs_are_observed_for_any_host(tmp_path):
    class Bag(nn.Module):
        def __init__(self):
            super().__init__()
            with torch.random.fork_rng():
                torch.manual_seed(0)
                self.embed, self.head = nn.Embedding(6, 4), nn.Linear(4, 2)

        def forward(self, ids):
            return self.head(self.embed(ids).tanh().mean(dim=1))

    ids = torch.randint(1, 6, (8, 5), generator=torch.Generator().manual_seed(0))
    host, sink = PlainHost(Bag(), val=[[(ids, ids[:, 0] % 2)]], directory=tmp_path), MemorySink()
    words = ["[PAD]", "a", "dull", "fine", "film", "plot"]
    monitor = TokenSaliencyMonitor("input_x_gradient", probe=4, tokenizer=words, sinks=[sink], on_error="raise")
    snapshot = monitor.observe(host, "initial", 0, is_early=True)
    monitor.drain()
    assert snapshot.metadata["embedding"] == "embed"
    assert snapshot.probe.tokens[0] == tuple(words[index] for index in ids[0])
    assert snapshot.tables.keys() == {"tokens/input_x_gradient/top_tokens"}
    assert len(sink.snapshots) == 1
