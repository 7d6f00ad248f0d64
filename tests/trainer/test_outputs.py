"""Models that return probabilities, several labels or embeddings, in real Trainers; against the models' own outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from saliency_callbacks import CueAlarm, FaithfulnessTest, ModelReading, RandomizationTest, SaliencyMonitor
from saliency_callbacks.callbacks.runtime.appearance import SampleNames
from saliency_callbacks.errors import OutputError, SaliencyWarning, TargetError
from saliency_callbacks.probe import PatchCue, Probe
from saliency_callbacks.sinks import MemorySink
from saliency_callbacks.targets import SimilarityTarget
from tests.trainer.runs import WEIGHTS_ONLY, trainer

_CUE = PatchCue((2, 2, 4, 4))
_PROBABILITIES = r"returns probabilities \((softmax|sigmoid)\)"


def _images(labels: Tensor) -> Tensor:
    images = torch.rand(len(labels), 1, 8, 8) * 0.2
    images[labels == 1, :, 2:6, 2:6] += 0.7
    return images


class HandMade(nn.Module):
    """A sigmoid that no function of PytTorch computes."""

    def forward(self, logits: Tensor) -> Tensor:
        return 1 / (1 + torch.exp(-logits))


class TwoColumns(nn.Module):
    def forward(self, logits: Tensor) -> Tensor:
        p = logits.sigmoid().clamp(1e-6, 1 - 1e-6)
        return torch.cat([1 - p, p], dim=1)


class Net(L.LightningModule):
    """One linear layer, and whatever makes its output of that."""

    def __init__(self, n_out: int, last: nn.Module, *, is_multi_label: bool = False) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, n_out), last)
        self.is_multi_label = is_multi_label

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        output, labels = self(batch[0]), batch[1]
        if self.is_multi_label:
            return F.binary_cross_entropy(output, labels.float())
        if output.shape[1] == 1:
            return F.binary_cross_entropy(output[:, 0], labels.float())
        if isinstance(self.net[-1], nn.LogSoftmax):
            return F.nll_loss(output, labels)
        return F.binary_cross_entropy(output, F.one_hot(labels, output.shape[1]).float())

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.5)


_HEADS = {
    "sigmoid": (1, nn.Sigmoid, ModelReading()),
    "softmax": (2, lambda: nn.Softmax(1), ModelReading()),
    "log-softmax": (2, lambda: nn.LogSoftmax(1), ModelReading()),
    "each against the rest": (2, nn.Sigmoid, ModelReading()),
    "both of one": (1, TwoColumns, ModelReading()),
    "made by hand": (1, HandMade, ModelReading(outputs="probabilities")),
}


def _truth(net: Net, images: Tensor) -> Tensor:
    with torch.no_grad():
        p = net(images)
    p = p.exp() if isinstance(net.net[-1], nn.LogSoftmax) else p
    return torch.cat([1 - p, p], dim=1) if p.shape[1] == 1 else p


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.SaliencyWarning")
@pytest.mark.parametrize("head", _HEADS)
def test_numbers_are_those_of_the_model(tmp_path: Path, head: str) -> None:
    n_out, last, reading = _HEADS[head]
    labels = torch.arange(32) % 2
    images = _images(labels)
    data = DataLoader(TensorDataset(images, labels), 16)
    net = Net(n_out, last())
    monitor = SaliencyMonitor("gradient", probe=32, reading=reading)
    alarm = CueAlarm(_CUE, 1, on_alarm="log", reading=reading)
    run = trainer(tmp_path, monitor, alarm, max_epochs=6)
    run.fit(net, data, data)
    p, found = _truth(net, images), run.callback_metrics
    confidence, predicted = p.max(dim=1)
    assert float(found["saliency/probe_accuracy"]) == pytest.approx(float((predicted == labels).float().mean()))
    assert float(found["saliency/probe_confidence"]) == pytest.approx(float(confidence.mean()), abs=1e-5)
    cued = images[labels == 0].clone()
    cued[:, :, 2:6, 2:6] = 1
    after = _truth(net, cued)
    flipped = (p[labels == 0].argmax(dim=1) == 0) & (after.argmax(dim=1) == 1)
    assert float(found["cue/patch/flip_rate"]) == pytest.approx(float(flipped.float().mean()))
    everyone = images.clone()
    everyone[:, :, 2:6, 2:6] = 1
    hits = [_truth(net, one).argmax(dim=1) == labels for one in (images, everyone)]
    worst = min(float(hit[labels == c].float().mean()) for hit in hits for c in (0, 1))
    assert alarm.groups.worst == pytest.approx(worst)


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.SaliencyWarning")
@pytest.mark.parametrize(("n_out", "last"), [(1, nn.Sigmoid()), (2, nn.Softmax(1))], ids=["sigmoid", "softmax"])
def test_a_cue_does_to_probabilities_what_it_does_to_their_logits(tmp_path: Path, n_out: int, last: nn.Module) -> None:
    labels = torch.arange(16) % 2
    probe = Probe.from_tensors(_images(labels), labels)
    data = DataLoader(TensorDataset(_images(labels), labels), 16)
    effects = []
    for head in (last, nn.Identity()):
        torch.manual_seed(1)
        run = trainer(tmp_path, CueAlarm(_CUE, 1, probe, on_alarm="log"))
        run.validate(Net(n_out, head), data, verbose=False)
        effects.append(float(run.callback_metrics["cue/patch/effect"]))
    assert effects[0] == pytest.approx(effects[1], rel=1e-3)


def test_that_logits_explain_better_is_said_once(tmp_path: Path) -> None:
    labels = torch.arange(32) % 2
    data = DataLoader(TensorDataset(_images(labels), labels), 16)
    callbacks = [SaliencyMonitor("gradient"), CueAlarm(_CUE, 1, on_alarm="log"), RandomizationTest("gradient", 4)]
    with pytest.warns(SaliencyWarning, match=_PROBABILITIES) as caught:
        trainer(tmp_path, *callbacks).fit(Net(2, nn.Softmax(1)), data, data)
    said = [str(one.message) for one in caught if "probabilities" in str(one.message)]
    assert len(said) == 1
    assert "reading=ModelReading(output_fn=…)" in said[0]


def test_logits_within_0_and_1_are_no_probabilities(tmp_path: Path) -> None:
    labels = torch.arange(32) % 2
    net = Net(1, nn.Identity())
    nn.init.zeros_(net.net[1].weight)
    nn.init.constant_(net.net[1].bias, 0.4)
    sink = MemorySink()
    data = DataLoader(TensorDataset(_images(labels), labels), 16)
    monitor = SaliencyMonitor("gradient", Probe.from_tensors(_images(labels), labels), sinks=[sink])
    trainer(tmp_path, monitor).validate(net, data, verbose=False)
    assert sink.snapshots[-1].confidences.tolist() == pytest.approx([float(torch.tensor(0.4).sigmoid())] * 32)


def test_what_is_none_cannot_be_declared_as_probabilities(tmp_path: Path) -> None:
    labels = torch.arange(32) % 2
    data = DataLoader(TensorDataset(_images(labels), labels), 16)
    monitor = SaliencyMonitor("gradient", reading=ModelReading(outputs="probabilities"))
    net = Net(2, nn.Identity())
    nn.init.constant_(net.net[1].bias, -5)
    with pytest.raises(OutputError, match="outputs='probabilities', but the model's outputs lie in"):
        trainer(tmp_path, monitor).fit(net, data, data)


def test_outputs_do_not_change_their_meaning(tmp_path: Path) -> None:
    """What they are is settled at the first observation, and goes on from a checkpoint."""

    class Turning(Net):
        def forward(self, images: Tensor) -> Tensor:
            output = super().forward(images)
            return output.softmax(dim=1) if self.current_epoch == 0 else output.softmax(dim=1) * 0.9

    labels = torch.arange(32) % 2
    data = DataLoader(TensorDataset(_images(labels), labels), 16)
    monitor = SaliencyMonitor("gradient")
    run = trainer(tmp_path, monitor)
    with pytest.warns(SaliencyWarning, match=_PROBABILITIES):
        run.fit(Turning(2, nn.Identity()), data, data)
    assert monitor.state.outputs == "softmax"
    run.save_checkpoint(tmp_path / "last.ckpt")
    again = SaliencyMonitor("gradient")
    trainer(tmp_path, again, max_epochs=3).fit(
        Turning(2, nn.Identity()), data, data, ckpt_path=tmp_path / "last.ckpt", **WEIGHTS_ONLY
    )
    assert again.state.outputs == "softmax", "and nothing is said again"


# Several labels


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.SaliencyWarning")
@pytest.mark.parametrize("last", [nn.Sigmoid(), nn.Identity()], ids=["probabilities", "logits"])
def test_several_labels(tmp_path: Path, last: nn.Module) -> None:
    class Several(Net):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            z = self.net[:2](batch[0])
            return F.binary_cross_entropy_with_logits(z, batch[1].float())

    several = torch.rand(40, 3, generator=torch.Generator().manual_seed(0)) > 0.4
    several[0], several[1] = True, False
    images = _images(several[:, 0].long())
    data = DataLoader(TensorDataset(images, several.float()), 20)
    sink = MemorySink()
    net = Several(3, last)
    monitor = SaliencyMonitor("gradient", probe=Probe.from_tensors(images, several), sinks=[sink])
    alarm = CueAlarm(_CUE, 0, probe=Probe.from_tensors(images, several), on_alarm="log")
    run = trainer(tmp_path, monitor, alarm, max_epochs=5)
    run.fit(net, data, data)
    with torch.no_grad():
        z = net.net[:2](images)
        cued = images.clone()
        cued[:, :, 2:6, 2:6] = 1
        after = net.net[:2](cued)
    found = run.callback_metrics
    right = (z > 0) == several
    assert float(found["saliency/probe_accuracy"]) == pytest.approx(float(right.float().mean()))
    confidence = z.sigmoid().max(dim=1).values
    assert float(found["saliency/probe_confidence"]) == pytest.approx(float(confidence.mean()), abs=1e-4)
    usable = ~several[:, 0]
    flips = ((z[:, 0] <= 0) & (after[:, 0] > 0))[usable]
    assert float(found["cue/patch/flip_rate"]) == pytest.approx(float(flips.float().mean()))
    effect = ((after - z)[:, 0] / (z.abs() / 2).mean())[usable].mean()
    assert float(found["cue/patch/effect"]) == pytest.approx(float(effect), rel=1e-2)
    share = torch.stack([right, (after > 0) == several], dim=2).float().mean(dim=0)
    torch.testing.assert_close(alarm.groups.accuracy, share.double())
    captions = SampleNames(monitor._probe, ["cat", "dog", "owl"]).captions(sink.snapshots[1])
    assert [caption.title for caption in captions[:2]] == ["cat, dog, owl", "no label"]


# Embeddings


class Encoder(L.LightningModule):
    """Trains two views of an image to be alike, as contrastive learning does."""

    def __init__(self, width: int = 16, *, normalizes: bool = False) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, width)
        )
        self.normalizes = normalizes

    def forward(self, images: Tensor) -> Tensor:
        embedding = self.net(images)
        return F.normalize(embedding, dim=1) if self.normalizes else embedding

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        one, other = F.normalize(self(batch[0]), dim=1), F.normalize(self(batch[0].flip(3)), dim=1)
        return F.cross_entropy(one @ other.T / 0.2, torch.arange(len(one)))

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def _classes(n_classes: int) -> DataLoader:
    labels = torch.arange(32) % n_classes
    return DataLoader(TensorDataset(torch.rand(32, 1, 8, 8), labels), 16)


@pytest.mark.parametrize(
    ("module", "data", "reason"),
    [
        (Encoder(16), _classes(4), "16 values per sample, but there are 4 classes"),
        (Encoder(4, normalizes=True), _classes(4), "a vector of length 1"),
    ],
    ids=["more values than classes", "length 1"],
)
def test_embeddings_are_no_classes(tmp_path: Path, module: Encoder, data: DataLoader, reason: str) -> None:
    sink = MemorySink()
    monitor = SaliencyMonitor("gradient", sinks=[sink])
    run = trainer(tmp_path, monitor)
    with pytest.warns(SaliencyWarning, match=reason) as caught:
        run.fit(module, data, data)
    assert len([one for one in caught if "embeddings" in str(one.message)]) == 1
    assert not {"saliency/probe_accuracy", "saliency/probe_confidence"} & set(run.callback_metrics)
    first, *_, last = (snapshot for snapshot in sink.snapshots if snapshot.stage != "final")
    assert first.predictions is None
    assert first.metadata["target"] == "SimilarityTarget('initial')"
    images = monitor._probe.inputs
    start = monitor.state.pins["reference"]
    with torch.no_grad():
        expected = F.cosine_similarity(module(images), start, dim=1)
    torch.testing.assert_close(last.attributions["gradient"].score, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(first.attributions["gradient"].score, torch.ones(len(images)))
    largest = float(first.attributions["gradient"].values.abs().max())
    assert largest == 0 if module.normalizes else largest > 1e-4, "no rounding is drawn"


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.SaliencyWarning")
@pytest.mark.parametrize(
    ("module", "target", "told"),
    [
        (Encoder(16), None, ("SimilarityTarget('initial')", "embeddings")),
        (Net(4, nn.Softmax(dim=1)), None, ("label", "softmax")),
        (Net(4, nn.Softmax(dim=1)), 2, ("2", "softmax")),
    ],
    ids=["embeddings", "labels", "a class"],
)
def test_all_callbacks_record_what_they_explain(tmp_path: Path, module: Any, target: Any, told: Any) -> None:
    sinks = [MemorySink() for _ in range(3)]
    kinds = (RandomizationTest, FaithfulnessTest, SaliencyMonitor)
    callbacks = [kind("gradient", 4, target, sinks=[sink]) for kind, sink in zip(kinds, sinks, strict=True)]
    run = trainer(tmp_path, *callbacks, max_epochs=1)
    run.fit(module, _classes(4), _classes(4))
    explained = [
        [one.metadata[name] for name in ("model", "target", "outputs", "methods", "probe")]
        for sink in sinks
        for one in sink.snapshots
        if one.stage != "final" or sink is not sinks[-1]
    ]
    # Before the training, after an epoch, and the summaries of both tests.
    assert len(explained) == 8
    assert all(one == explained[0] for one in explained)
    assert tuple(explained[0][1:3]) == told


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.SaliencyWarning")
def test_embeddings_of_length_1_have_all_maps_from_the_second_observation_on(tmp_path: Path) -> None:
    sink = MemorySink()
    monitor = SaliencyMonitor(sinks=[sink])
    trainer(tmp_path, monitor).fit(Encoder(8, normalizes=True), _classes(3), _classes(3))
    first, *later = (snapshot for snapshot in sink.snapshots if snapshot.stage != "final")
    assert later
    assert not any(attribution.values.any() for attribution in first.attributions.values())
    for snapshot in later:
        assert set(snapshot.attributions) == set(first.attributions) == {"gradient", "grad_cam"}
        assert snapshot.attributions["gradient"].values.any()
        assert snapshot.attributions["grad_cam"].layer == first.attributions["grad_cam"].layer
    # Evidence for a similarity that fell may be negative throughout, which Grad-CAM leaves out.
    assert any(snapshot.attributions["grad_cam"].values.any() for snapshot in later)


@pytest.mark.parametrize(
    ("callback", "what"),
    [
        (lambda: SaliencyMonitor("gradient", target="predicted"), "target='predicted' is about classes"),
        (lambda: RandomizationTest("gradient", target="initial_prediction"), "'initial_prediction' is about classes"),
        (lambda: CueAlarm(_CUE, 1), "CueAlarm is about classes"),
    ],
)
@pytest.mark.parametrize("width", [3, 16])
def test_a_class_of_embeddings_is_an_error_before_the_training(
    tmp_path: Path, callback: Any, what: str, width: int
) -> None:
    with pytest.raises(TargetError, match=what):
        trainer(tmp_path, callback()).fit(Encoder(width), _classes(5), _classes(5))


@pytest.mark.parametrize(
    ("width", "match"),
    [(3, r"out of range; the model has 3 classes.*SimilarityTarget"), (16, "target='label' is about classes")],
)
@pytest.mark.parametrize("kind", [SaliencyMonitor, RandomizationTest])
def test_labels_of_embeddings_are_an_error_before_the_training(
    tmp_path: Path, width: int, match: str, kind: Any
) -> None:
    with pytest.raises(TargetError, match=match):
        trainer(tmp_path, kind("gradient", target="label")).fit(Encoder(width), _classes(5), _classes(5))


def test_labels_beyond_the_outputs_are_no_classes(tmp_path: Path) -> None:
    monitor = SaliencyMonitor("gradient", target=SimilarityTarget())
    run = trainer(tmp_path, monitor)
    with pytest.warns(SaliencyWarning, match="3 values per sample, but labels go up to 4"):
        run.fit(Encoder(3), _classes(5), _classes(5))
    assert "saliency/probe_accuracy" not in run.callback_metrics
    with pytest.raises(TargetError, match="out of range; the model has 3 classes"):
        trainer(tmp_path, SaliencyMonitor("gradient")).fit(Encoder(3), _classes(5), _classes(5))


def test_class_scores_that_are_declared_as_such(tmp_path: Path) -> None:
    monitor = SaliencyMonitor("gradient", reading=ModelReading(outputs="logits"))
    run = trainer(tmp_path, monitor)
    run.fit(Encoder(16), _classes(4), _classes(4))
    assert "saliency/probe_accuracy" in run.callback_metrics


def test_a_declared_embedding_and_its_resumed_run_have_the_same_reference(tmp_path: Path) -> None:
    def monitor() -> SaliencyMonitor:
        return SaliencyMonitor("gradient", target=SimilarityTarget(), reading=ModelReading(outputs="embeddings"))

    data, first = _classes(4), monitor()
    run = trainer(tmp_path, first)
    run.fit(Encoder(4), data, data)
    assert first.state.pins["reference"].shape == (16, 4)
    run.save_checkpoint(tmp_path / "last.ckpt")
    again = monitor()
    trainer(tmp_path, again, max_epochs=3).fit(Encoder(4), data, data, ckpt_path=tmp_path / "last.ckpt", **WEIGHTS_ONLY)
    assert torch.equal(again.state.pins["reference"], first.state.pins["reference"])


def test_another_view_and_random_weights(tmp_path: Path) -> None:
    images = torch.rand(6, 1, 8, 8)
    target = SimilarityTarget(view=images.flip(3))
    probe, reading = Probe.from_tensors(images), ModelReading(outputs="embeddings")
    sink = MemorySink()
    module = Encoder()
    callbacks = [
        SaliencyMonitor("gradient", probe, target, sinks=[sink], reading=reading),
        RandomizationTest("gradient", probe, reading=reading),
    ]
    run = trainer(tmp_path, *callbacks)
    run.fit(module, _classes(4), _classes(4))
    with torch.no_grad():
        expected = F.cosine_similarity(module(images), module(images.flip(3)), dim=1)
    last = [snapshot for snapshot in sink.snapshots if snapshot.stage == "fit"][-1]
    torch.testing.assert_close(last.attributions["gradient"].score, expected)
    assert callbacks[0].state.pins == {}
    assert callbacks[1].state.pins["reference"].shape == (6, 16)
    assert abs(float(run.callback_metrics["randomization/gradient/similarity"])) <= 1
