"""In which precision an explanation runs: the Trainer's, or float32; neither changes the training by a bit."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.plugins.precision import Precision
from torch import Tensor
from torch.utils.data import DataLoader

from saliency_callbacks import (
    Compute,
    CueAlarm,
    Probe,
    RandomizationTest,
    SaliencyMonitor,
    Storage,
    TokenSaliencyMonitor,
    explain,
)
from saliency_callbacks.errors import ConfigurationError, SaliencyWarning
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.sinks import MemorySink
from tests.grouping import grouped
from tests.trainer.runs import Classifier, digits, small_net, trainer
from tests.trainer.text_runs import BertClassifier, LstmClassifier, loader, pairs, tokenizer

_METHODS = ["gradient", "grad_cam", "layer_cam", "integrated_gradients", "smooth_grad", "guided_backprop"]
_HALF = ["bf16-mixed", "bf16-true"]


class AutocastHalf(Precision):
    """``16-mixed`` on the CPU, which Lightning refuses, without the scaler of the training."""

    precision = "16-mixed"

    @contextlib.contextmanager
    def forward_context(self) -> Iterator[None]:
        with torch.autocast("cpu", dtype=torch.float16):
            yield


class Copying(L.Callback):
    """Keeps a float32 copy of the module as it was at every observation."""

    def __init__(self) -> None:
        self.copies: list[torch.nn.Module] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: Classifier) -> None:
        self.copies.append(copy.deepcopy(pl_module.net).float().eval())

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: Classifier) -> None:
        if not trainer.sanity_checking:
            self.on_train_start(trainer, pl_module)


def _monitor(sink: MemorySink, **changes: Any) -> SaliencyMonitor:
    settings = {"methods": _METHODS, "probe": 6, "sinks": [sink], "save_maps": False, "target": "label"}
    return SaliencyMonitor(**grouped(SaliencyMonitor, **{**settings, **changes}))


def _randomization(sink: MemorySink, **changes: Any) -> RandomizationTest:
    settings = {"probe": 6, "n_draws": 2, "cascade_draws": 2, "sinks": [sink], "save_maps": False}
    return RandomizationTest(["gradient", "grad_cam"], **grouped(RandomizationTest, **{**settings, **changes}))


def _alarm(sink: MemorySink, **changes: Any) -> CueAlarm:
    settings = {"probe": 12, "on_alarm": "log", "sinks": [sink], "save_maps": False}
    return CueAlarm(PatchCue((0, 0, 2, 2)), 0, **grouped(CueAlarm, **{**settings, **changes}))


def _fit(root: Path, module: Classifier, *callbacks: L.Callback, **changes: Any) -> L.Trainer:
    torch.manual_seed(1)
    run = trainer(root, *callbacks, **{"max_epochs": 2, "num_sanity_val_steps": 0, **changes})
    run.fit(module, DataLoader(digits(0, 40), 8, shuffle=True), DataLoader(digits(100, 120), 8))
    return run


@pytest.mark.parametrize("precision", _HALF)
def test_float32_maps_are_those_of_the_float32_model(tmp_path: Path, precision: str) -> None:
    sink, copying = MemorySink(), Copying()
    _fit(tmp_path, Classifier(small_net(noisy=True)), copying, _monitor(sink, precision="32"), precision=precision)
    assert len(sink.snapshots) == len(copying.copies) == 3
    for snapshot, model in zip(sink.snapshots, copying.copies, strict=True):
        positions = [int(name) for name in snapshot.ids]
        images = digits(100, 120).tensors[0][positions]
        images = images.bfloat16().float() if precision == "bf16-true" else images
        layers = snapshot.metadata["target_layers"][0].removeprefix("net.")
        expected = explain(model, images, methods=_METHODS, target=snapshot.labels, target_layers=layers)
        for name, found in snapshot.attributions.items():
            assert torch.equal(found.values, expected[name].values), name
            assert found.values.numpy().dtype == "float32"


@pytest.mark.parametrize("precision", _HALF)
@pytest.mark.parametrize("build", [_monitor, _randomization, _alarm])
def test_training_is_bit_identical(tmp_path: Path, precision: str, build: Callable[..., L.Callback]) -> None:
    final = []
    for asked in (None, "32"):
        torch.manual_seed(0)
        sink = MemorySink()
        module = Classifier(small_net(noisy=True), optimizer="adam")
        callbacks = [] if asked is None else [build(sink, precision=asked)]
        run = _fit(tmp_path, module, *callbacks, precision=precision)
        assert len(sink.snapshots) >= (0 if asked is None else 3)
        moments = [state["exp_avg"] for state in run.optimizers[0].state.values()]
        final.append([*module.state_dict().values(), *moments, torch.get_rng_state()])
    for plain, observed in zip(*final, strict=True):
        assert plain.dtype == observed.dtype
        assert torch.equal(plain, observed)


@pytest.mark.parametrize("build", [_monitor, _randomization, _alarm])
def test_half_precision_weights_come_back(tmp_path: Path, build: Callable[..., L.Callback]) -> None:
    """The very tensors, of the very bits, also where the explanation fails in the middle."""

    class Fails(Classifier):
        def forward(self, images: Tensor) -> Tensor:
            if not self.training and images.dtype == torch.float32:
                raise RuntimeError("as if out of memory")
            return super().forward(images)

    class Compares(L.Callback):
        def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            tensors = pl_module.state_dict(keep_vars=True).values()
            self.before = [(tensor, tensor.detach().clone(), tensor.data_ptr()) for tensor in tensors]

        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            compared.append(len(self.before))
            for now, (tensor, content, place) in zip(
                pl_module.state_dict(keep_vars=True).values(), self.before, strict=True
            ):
                assert now is tensor
                assert now.data_ptr() == place
                assert now.dtype in (torch.bfloat16, torch.int64)
                assert torch.equal(now, content)

    for kind in (Classifier, Fails):
        compared: list[int] = []
        module = kind(small_net(noisy=True))
        with pytest.warns(SaliencyWarning, match="as if out of memory") if kind is Fails else contextlib.nullcontext():
            _fit(tmp_path, module, Compares(), build(MemorySink(), precision="32"), precision="bf16-true")
        assert compared == [len(module.state_dict())] * 2


def test_random_copies_are_drawn_in_the_precision_of_the_weights(tmp_path: Path) -> None:
    drawn: list[torch.dtype] = []

    def draw(module: torch.nn.Module) -> None:
        for parameter in module.parameters(recurse=False):
            drawn.append(parameter.dtype)
            torch.nn.init.normal_(parameter)

    sink = MemorySink()
    test = _randomization(sink, precision="32", randomize=draw, cascade_at_fit_end=False)
    _fit(tmp_path, Classifier(), test, precision="bf16-true")
    assert set(drawn) == {torch.bfloat16}
    assert abs(sink.latest.scores["randomization/gradient/similarity"]) < 0.9


def test_float64_stays_float64(tmp_path: Path) -> None:
    maps = []
    for asked in ("trainer", "32"):
        sink = MemorySink()
        _fit(tmp_path, Classifier(), _monitor(sink, precision=asked), precision="64-true")
        maps.append(sink.latest.attributions)
    assert maps[1]["gradient"].values.dtype == torch.float64
    assert all(torch.equal(maps[0][name].values, maps[1][name].values) for name in _METHODS)


class Faint(Classifier):
    """Gradients that float16 has no number for."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * 1e-6


@pytest.mark.parametrize("asked", ["trainer", "32"])
def test_gradients_do_not_underflow_in_float16(tmp_path: Path, asked: str) -> None:
    sink, exact = MemorySink(), MemorySink()
    methods = ["gradient", "layer_cam", "guided_backprop"]
    settings = {"methods": methods, "target_layers": "net.2"}
    _fit(tmp_path, Faint(), _monitor(sink, precision=asked, **settings), plugins=[AutocastHalf()], max_epochs=1)
    _fit(tmp_path, Faint(), _monitor(exact, **settings), max_epochs=1)
    # Before the training, both have the same weights.
    for name, found in sink.snapshots[0].attributions.items():
        expected = exact.snapshots[0].attributions[name].values
        assert found.values.any()
        assert found.values.dtype == torch.float32
        if asked == "32":
            assert torch.equal(found.values, expected)
        else:
            # One ReLU near 0 is off in one of them; the rest differs by the rounding of float16.
            off = (found.values - expected).abs() > 1e-2 * expected.abs().max()
            assert off.double().mean() < 0.05
            assert torch.corrcoef(torch.stack([found.values.flatten(), expected.flatten()]).double())[0, 1] > 0.99


def _runs_recurrent_layers_in(dtype: torch.dtype) -> bool:
    """Return whether this machine can: without such instructions in the processor, oneDNN refuses to."""
    layer = torch.nn.LSTM(2, 2)
    try:
        with torch.autocast("cpu", dtype=dtype):
            layer(torch.zeros(1, 1, 2))[0].sum().backward()
    except RuntimeError:
        return False
    return True


_RECURRENT = pytest.param(
    LstmClassifier,
    pairs,
    marks=pytest.mark.skipif(
        not _runs_recurrent_layers_in(torch.bfloat16),
        reason="this processor has no bfloat16 instructions, without which oneDNN trains no LSTM in it",
    ),
)


@pytest.mark.parametrize("precision", _HALF)
@pytest.mark.parametrize(("build", "data"), [(BertClassifier, loader), _RECURRENT])
def test_text_inputs(tmp_path: Path, precision: str, build: Callable[[], L.LightningModule], data: Any) -> None:
    sink = MemorySink()
    monitor = TokenSaliencyMonitor(
        probe=3,
        tokenizer=tokenizer(),
        compute=Compute(precision="32"),
        sinks=[sink],
        storage=Storage(save_maps=False),
        on_error="raise",
    )
    torch.manual_seed(1)
    trainer(tmp_path, monitor, max_epochs=1, precision=precision).fit(build(), data(), data())
    assert len(sink.snapshots) == 2
    for found in sink.latest.attributions.values():
        assert found.values.dtype == torch.float32
        # Three digits at most would be left of bfloat16.
        assert not torch.equal(found.values, found.values.bfloat16().float())


def test_inputs_given_by_hand_are_converted_as_the_trainer_does(tmp_path: Path) -> None:
    sink = MemorySink()
    images, labels = digits(0, 4).tensors
    monitor = _monitor(sink, probe=Probe.from_tensors(images, labels), precision="32")
    _fit(tmp_path, Classifier(), monitor, precision="bf16-true", max_epochs=1)
    assert sink.latest.attributions["gradient"].values.dtype == torch.float32


@pytest.mark.parametrize("precision", ["16", 16, None, "bf16"])
def test_another_precision_is_refused(precision: Any) -> None:
    with pytest.raises(ConfigurationError, match="precision"):
        SaliencyMonitor(compute=Compute(precision=precision))


def test_the_number_is_as_good_as_the_text() -> None:
    assert SaliencyMonitor(compute=Compute(precision=32)).settings.full_precision
    assert not SaliencyMonitor().settings.full_precision
