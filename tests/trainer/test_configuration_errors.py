"""What cannot work is an error before the first training step; it names the value and the fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from saliency_callbacks import ModelReading, Probe, SaliencyMonitor
from saliency_callbacks.errors import ConfigurationError, LayerError, MethodError, OutputError, ReluError, TargetError
from saliency_callbacks.sinks import MemorySink
from tests.grouping import grouped
from tests.trainer.runs import Classifier, digits, small_net, train_loader, trainer, val_loader


class Untouched(Classifier):
    """Fails if it is trained."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        raise AssertionError("a training step was made")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"methods": "grad_camm"}, MethodError, r"'grad_camm' is unknown; did you mean 'grad_cam'"),
        ({"methods": []}, MethodError, "methods is empty"),
        ({"methods": ["gradient", "gradient"]}, MethodError, r"\['gradient'\] appear twice"),
        ({"target": 10}, TargetError, r"target \[10\] is out of range; the model has 10 classes"),
        ({"target": -1}, TargetError, r"target \[-1\] is out of range"),
        ({"target": "labels"}, TargetError, r"'labels' is unknown; did you mean 'label'"),
        ({"target": "no.such.function"}, ConfigurationError, r"target='no.such.function' cannot be imported"),
        ({"target_layers": "net.33"}, LayerError, r"no layer 'net.33'; did you mean 'net.3'"),
        ({"target_layers": ["net.0", "conv"]}, LayerError, "no layer 'conv'"),
        ({"target_layers": "net.6"}, LayerError, "net.6"),
        ({"target_layers": nn.Conv2d(1, 1, 1)}, LayerError, "not a module of the explained"),
        ({"module": "nett"}, LayerError, r"no layer 'nett'; did you mean 'net'"),
        ({"style": "rainbow"}, ConfigurationError, "rainbow"),
        ({"color_scale": "sharde"}, ConfigurationError, r"color_scale='sharde' is unknown; did you mean 'shared'"),
        ({"colormap": "infernoo"}, ConfigurationError, r"infernoo.*did you mean 'inferno'"),
        ({"alpha": 1.5}, ConfigurationError, "alpha is 1.5"),
        ({"on_error": "ignore"}, ConfigurationError, "on_error='ignore' is unknown"),
        ({"namespace": "a/b"}, ConfigurationError, "namespace='a/b'"),
        ({"every_n_epochs": 0}, ConfigurationError, "every_n_epochs=0"),
        ({"internal_batch_size": 0}, ConfigurationError, "internal_batch_size=0"),
        ({"output_fn": "torch.nope"}, ConfigurationError, "output_fn='torch.nope' cannot be imported"),
        ({"reshape_transform": "torch.pi"}, ConfigurationError, "reshape_transform='torch.pi' names a float"),
        ({"probe": "all"}, ConfigurationError, "; expected a Probe, its size or None"),
        ({"probe": 0}, ConfigurationError, "size=0"),
        ({"normalization": [0.5, 0.5]}, ConfigurationError, r"normalization=\[0.5, 0.5\]; expected \(mean, std\)"),
        ({"normalization": [[0.5, 0.5], [1.0, 1.0]]}, ConfigurationError, "has 2 values; expected 1"),
        ({"sinks": [print]}, ConfigurationError, r"sinks contains <built-in function print>"),
        ({"sinks": [MemorySink]}, ConfigurationError, "expected objects with write"),
    ],
    ids=str,
)
def test_arguments(tmp_path: Path, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        trainer(tmp_path, SaliencyMonitor(**grouped(SaliencyMonitor, **arguments))).fit(
            Untouched(), train_loader(), val_loader()
        )


def test_a_label_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"out of range; the model has 7 classes.*Check the labels"):
        trainer(tmp_path, SaliencyMonitor("gradient", probe=10), num_sanity_val_steps=0).fit(
            Untouched(small_net(n_classes=7)), train_loader(), val_loader()
        )


def test_labels_as_target_where_there_are_none(tmp_path: Path) -> None:
    probe = Probe.from_tensors(digits(0, 3).tensors[0])
    with pytest.raises(TargetError, match="target='label', but the probe has no class labels"):
        trainer(tmp_path, SaliencyMonitor("gradient", probe, "label")).fit(Untouched(), train_loader(), val_loader())


def test_a_guided_method_without_any_relu(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.GELU(), nn.Flatten(), nn.Linear(72, 10))
    with pytest.raises(ReluError, match=r"ran none \(it ran: .*gelu"):
        trainer(tmp_path, SaliencyMonitor("guided_backprop", probe=4)).fit(Untouched(net), train_loader(), val_loader())


def test_an_output_that_is_not_class_scores(tmp_path: Path) -> None:
    class Maps(Untouched):
        def forward(self, images: Tensor) -> Any:
            return {"map": images, "other": images}

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            """Nothing to compute."""

    with pytest.raises(OutputError, match=r"'map': Tensor\[4, 1, 8, 8\] float32.*output_fn"):
        trainer(tmp_path, SaliencyMonitor("gradient", probe=4)).fit(Maps(), train_loader(), val_loader())


def test_a_module_without_forward_and_the_submodule_that_has_one(tmp_path: Path) -> None:
    class NoForward(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = small_net()

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            """Nothing to compute."""

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=4))
    with pytest.raises(ConfigurationError, match=r"NoForward has no `forward`.*module='net'"):
        run.fit(NoForward(), train_loader(), val_loader())
    assert run.global_step == 0
    sink = MemorySink()
    monitor = SaliencyMonitor(
        ["gradient", "grad_cam"], probe=4, reading=ModelReading(module="net"), target_layers="3", sinks=[sink]
    )
    trainer(tmp_path, monitor, max_epochs=1).fit(NoForward(), train_loader(), val_loader())
    assert sink.latest.attributions["grad_cam"].layer == "3"
    assert sink.latest.metadata["model"] == "Sequential"


def test_two_monitors_need_two_namespaces(tmp_path: Path) -> None:
    class BringsTwo(Untouched):
        def configure_callbacks(self) -> list[L.Callback]:
            return [SaliencyMonitor("gradient"), SaliencyMonitor("grad_cam")]

    with pytest.raises(RuntimeError, match="state_key` must be unique"):
        trainer(tmp_path, SaliencyMonitor("gradient"), SaliencyMonitor("grad_cam"))
    # Lightning does not look at the callbacks that a module brings.
    with pytest.raises(ConfigurationError, match=r"SaliencyMonitor and SaliencyMonitor both write to 'saliency'"):
        trainer(tmp_path).fit(BringsTwo(), train_loader(), val_loader())


def test_two_monitors_with_two_namespaces(tmp_path: Path) -> None:
    sinks = [MemorySink(), MemorySink()]
    monitors = [
        SaliencyMonitor("gradient", probe=4, namespace=name, sinks=[sink])
        for name, sink in zip("ab", sinks, strict=True)
    ]
    assert monitors[0].state_key != monitors[1].state_key
    run = trainer(tmp_path, *monitors)
    run.fit(Classifier(), train_loader(), val_loader())
    run.save_checkpoint(tmp_path / "two.ckpt")
    assert {"a/gradient/gini", "b/gradient/gini"} <= run.callback_metrics.keys()
    for position in range(3):
        one, other = (sink.snapshots[position].attributions["gradient"].values for sink in sinks)
        assert torch.equal(one, other)
    states = torch.load(tmp_path / "two.ckpt", weights_only=True)["callbacks"]
    assert {monitor.state_key for monitor in monitors} <= states.keys()


@pytest.mark.parametrize("hook", ["setup", "configure_model"])
def test_layers_that_a_module_builds_late_are_found(tmp_path: Path, hook: str) -> None:
    class BuildsLate(Classifier):
        def __init__(self) -> None:
            super().__init__(nn.Identity())

    def build(self: BuildsLate, *args: Any, **kwargs: Any) -> None:
        self.net = small_net()

    setattr(BuildsLate, hook, build)
    sink = MemorySink()
    monitor = SaliencyMonitor("grad_cam", probe=4, target_layers="net.3", sinks=[sink])
    trainer(tmp_path, monitor, max_epochs=1).fit(BuildsLate(), train_loader(), val_loader())
    assert sink.latest.attributions["grad_cam"].layer == "net.3"


class Regression(Classifier):
    """Predicts the mean of an image and its spread."""

    def __init__(self) -> None:
        super().__init__(small_net(n_classes=2))

    def loss(self, batch: Any) -> Tensor:
        return F.mse_loss(self(batch[0]), batch[1])


def test_a_regression_with_a_callable_target_as_dotted_path(tmp_path: Path) -> None:
    images = digits(0, 60).tensors[0]
    values = torch.stack([images.flatten(1).mean(1), images.flatten(1).std(1)], dim=1)
    loaders = [DataLoader(TensorDataset(images[a:b], values[a:b]), 10) for a, b in ((0, 40), (40, 60))]
    sink = MemorySink()
    monitor = SaliencyMonitor("gradient", probe=4, target="tests.trainer.runs.image_mean", sinks=[sink])
    module = Regression()
    run = trainer(tmp_path, monitor, max_epochs=1)
    run.fit(module, *loaders)
    probe = images[40:60][[int(name) for name in sink.latest.ids]].requires_grad_()
    score = module.eval()(probe).mean(1)
    gradient = sink.latest.attributions["gradient"]
    torch.testing.assert_close(gradient.score, score.detach())
    torch.testing.assert_close(gradient.values, torch.autograd.grad(score.sum(), probe)[0])
    assert gradient.target.tolist() == [-1] * 4
    assert sink.latest.labels is None
    assert "saliency/probe_accuracy" not in run.callback_metrics


class Binary(Classifier):
    """A single logit: is the digit above 4?"""

    def __init__(self) -> None:
        super().__init__(small_net(n_classes=1))

    def loss(self, batch: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(self(batch[0])[:, 0], batch[1].float())


def test_a_binary_classifier_with_one_logit(tmp_path: Path) -> None:
    images, labels = digits(0, 60)[:]
    labels = (labels > 4).long()
    loaders = [DataLoader(TensorDataset(images[a:b], labels[a:b]), 10) for a, b in ((0, 40), (40, 60))]
    sink = MemorySink()
    module = Binary()
    trainer(tmp_path, SaliencyMonitor("gradient", probe=6, sinks=[sink])).fit(module, *loaders)
    assert sorted(sink.latest.labels.tolist()) == [0, 0, 0, 1, 1, 1]
    probe = images[40:60][[int(name) for name in sink.latest.ids]].requires_grad_()
    logit = module.eval()(probe)[:, 0]
    sign = sink.latest.labels * 2 - 1
    gradient = sink.latest.attributions["gradient"]
    torch.testing.assert_close(gradient.score, logit.detach() * sign)
    torch.testing.assert_close(gradient.values, torch.autograd.grad((logit * sign).sum(), probe)[0])
    accuracy = ((logit > 0) == sink.latest.labels.bool()).float().mean().item()
    assert sink.latest.scores["saliency/probe_accuracy"] == pytest.approx(accuracy)
