"""Every callback finds before the first training step what would fail at every observation, and says a thing once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saliency_callbacks import (
    Cascade,
    CueAlarm,
    Draws,
    ModelReading,
    Probe,
    RandomizationTest,
    SaliencyMonitor,
    Storage,
    TokenSaliencyMonitor,
)
from saliency_callbacks.callbacks.base import ObservingCallback
from saliency_callbacks.errors import (
    GradientError,
    LayerError,
    OutputError,
    ProbeError,
    SaliencyWarning,
    TargetError,
)
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.sinks import MemorySink
from tests.trainer import text_runs
from tests.trainer.runs import Classifier, small_net, stages, train_loader, trainer, val_loader


def _monitor(**settings: Any) -> ObservingCallback[Any]:
    return SaliencyMonitor("gradient", probe=6, storage=Storage(save_maps=False), **settings)


def _test(**settings: Any) -> ObservingCallback[Any]:
    draws, cascade = Draws(n_draws=2), Cascade(at_fit_end=False)
    return RandomizationTest(
        "gradient", probe=6, draws=draws, cascade=cascade, storage=Storage(save_maps=False), **settings
    )


def _alarm(**settings: Any) -> ObservingCallback[Any]:
    cue = PatchCue((0, 0, 2, 2), name="patch")
    return CueAlarm(cue, suspect_class=0, probe=20, storage=Storage(save_maps=False), **settings)


IMAGES = pytest.mark.parametrize("make", [_monitor, _test, _alarm])
QUIET = pytest.mark.filterwarnings("ignore:cue|gradient:UserWarning", "ignore:None of the inputs:UserWarning")


class Untouched(Classifier):
    """Fails if it is trained."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        raise AssertionError("a training step was made")

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Nothing to compute."""


class Ensemble(Untouched):
    """Runs every sample through three members, and returns the rows of all of them."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([self.net(images * scale) for scale in (0.9, 1.0, 1.1)])


class Averaged(Ensemble):
    """The same, for a person to read with an `output_fn`."""


class ByName(Untouched):
    """Takes what no probe of pairs gives it."""

    def forward(self, *, pixels: Tensor, mask: Tensor) -> Tensor:
        return self.net(pixels * mask)


class TrainsOnly(Untouched):
    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            raise RuntimeError("it only trains")
        return self.net(images)


class Detached(Untouched):
    """A frozen backbone that is detached on purpose."""

    def forward(self, images: Tensor) -> Tensor:
        return self.net[-1](self.net[:-1](images).detach())


class Reentrant(Classifier):
    def forward(self, images: Tensor) -> Tensor:
        return torch.utils.checkpoint.checkpoint(self.net[1:], self.net[0](images), use_reentrant=True)


@IMAGES
@QUIET
def test_a_reentrant_checkpoint_is_explained_without_it(tmp_path: Path, make: Any) -> None:
    callback = make()
    trainer(tmp_path, callback, max_epochs=1).fit(Reentrant(), train_loader(), val_loader())
    assert callback.state.n_observations == 2


@IMAGES
@pytest.mark.parametrize(
    ("module", "error", "message"),
    [
        (Ensemble, OutputError, r"class scores \[\d+, 10\] for (6|20) samples"),
        (ByName, ProbeError, "ByName cannot be run on the probe"),
        (TrainsOnly, ProbeError, r"TrainsOnly cannot be run on the probe \(RuntimeError: it only trains\)"),
        (Detached, GradientError, "No layer with a spatial map lies above it"),
    ],
)
@QUIET
def test_a_model_that_cannot_be_explained(tmp_path: Path, make: Any, module: Any, error: Any, message: str) -> None:
    run = trainer(tmp_path, make())
    with pytest.raises(error, match=message):
        run.fit(module(), train_loader(), val_loader())
    assert run.global_step == 0


def _members(output: Tensor) -> Tensor:
    return output.unflatten(0, (3, -1)).mean(0)


def _wrong(output: Tensor) -> Tensor:
    return output["logits"]


@IMAGES
@QUIET
def test_the_output_of_an_ensemble_is_read_with_a_function(tmp_path: Path, make: Any) -> None:
    class Trained(Ensemble):
        training_step = Classifier.training_step

        def loss(self, batch: Any) -> Tensor:
            return F.cross_entropy(_members(self(batch[0])), batch[1])

    sink = MemorySink()
    callback = make(reading=ModelReading(output_fn=_members), sinks=[sink])
    trainer(tmp_path, callback, max_epochs=1).fit(Trained(), train_loader(), val_loader())
    assert stages(sink)[:2] == [("initial", 0), ("fit", 0)]


@IMAGES
@QUIET
def test_a_function_that_fails(tmp_path: Path, make: Any) -> None:
    with pytest.raises(OutputError, match=r"output_fn fails \((IndexError|TypeError).*Tensor\[(6|20), 10\]"):
        trainer(tmp_path, make(reading=ModelReading(output_fn=_wrong))).fit(Untouched(), train_loader(), val_loader())


@pytest.mark.parametrize("make", [_monitor, _test])
def test_a_target_that_fails(tmp_path: Path, make: Any) -> None:
    with pytest.raises(TargetError, match=r"target fails \((IndexError|TypeError)"):
        trainer(tmp_path, make(target=_wrong)).fit(Untouched(), train_loader(), val_loader())


def test_a_layout_that_fails(tmp_path: Path) -> None:
    monitor = SaliencyMonitor(
        "grad_cam",
        probe=6,
        target_layers="net.2",
        reading=ModelReading(reshape_transform=lambda output: output.reshape(6, 7, 7, 7)),
    )
    with pytest.raises(LayerError, match=r"reshape_transform fails \(RuntimeError: shape.*layer 'net.2'"):
        trainer(tmp_path, monitor).fit(Untouched(), train_loader(), val_loader())


def test_a_text_model_that_cannot_be_run(tmp_path: Path) -> None:
    class Broken(text_runs.LstmClassifier):
        def forward(self, ids: Tensor) -> Tensor:
            raise KeyError("lengths")

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            """Nothing to compute."""

    monitor = TokenSaliencyMonitor("gradient_norm", probe=4)
    with pytest.raises(ProbeError, match=r"Broken cannot be run on the probe \(KeyError"):
        trainer(tmp_path, monitor).fit(Broken(), text_runs.pairs(), text_runs.pairs())


@IMAGES
@QUIET
def test_settings_that_a_resumed_run_cannot_work_with(tmp_path: Path, make: Any) -> None:
    first, checkpoint = trainer(tmp_path, make(), max_epochs=1), tmp_path / "first.ckpt"
    first.fit(Classifier(), train_loader(), val_loader())
    first.save_checkpoint(checkpoint)
    run = trainer(tmp_path, make(reading=ModelReading(output_fn=_wrong)), max_epochs=2)
    with pytest.raises(OutputError, match="output_fn fails"):
        run.fit(Untouched(), train_loader(), val_loader(), ckpt_path=checkpoint)


@IMAGES
@QUIET
def test_a_failure_of_every_epoch_is_told_once_and_counted(
    tmp_path: Path, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Fails(Classifier):
        def forward(self, images: Tensor) -> Tensor:
            if not self.training and len(images) in (6, 20) and self.trainer.state.stage != "sanity_check":
                n_seen = int(self.trainer.global_step)
                if n_seen:
                    raise RuntimeError(f"no luck after {n_seen} steps")
            return super().forward(images)

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            """Nothing to compute."""

    with pytest.warns(SaliencyWarning) as seen, caplog.at_level("INFO"):
        trainer(tmp_path, make(), max_epochs=4).fit(Fails(), train_loader(), val_loader())
    assert len([one for one in seen if "the observation of epoch" in str(one.message)]) == 1
    assert any("4 observations were skipped" in record.message for record in caplog.records)


class _Dead(Classifier):
    """Its ReLUs are dead for some samples, and for more of them in every epoch."""

    def __init__(self) -> None:
        super().__init__(small_net())

    def on_train_epoch_start(self) -> None:
        with torch.no_grad():
            self.net[2].bias.sub_(0.2)


def test_with_several_callbacks_a_thing_is_said_once(tmp_path: Path) -> None:
    everything = [
        SaliencyMonitor(["gradient", "grad_cam"], probe=64),
        SaliencyMonitor(["gradient", "grad_cam"], probe=64, namespace="again"),
        RandomizationTest(["gradient", "grad_cam"], probe=48, cascade=Cascade(at_fit_end=False)),
        CueAlarm(PatchCue((0, 0, 2, 2), name="patch"), suspect_class=0, probe=56),
    ]
    with pytest.warns(SaliencyWarning) as seen:
        trainer(tmp_path, *everything, max_epochs=4).fit(_Dead(), train_loader(), val_loader())
    told = [str(one.message) for one in seen if isinstance(one.message, SaliencyWarning)]
    assert len([message for message in told if "samples instead of" in message]) == 1
    assert len([message for message in told if message.startswith("grad_cam: ")]) == 1
    assert len(told) == len(set(told))


def test_the_next_run_says_it_again(tmp_path: Path) -> None:
    monitor = SaliencyMonitor("gradient", probe=64)
    for _ in range(2):
        with pytest.warns(SaliencyWarning, match="samples instead of 64"):
            trainer(tmp_path, monitor, max_epochs=1).fit(Classifier(), train_loader(), val_loader())


class Lazy(Classifier):
    """Gets its weights with its first batch."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten()))
        self.head = nn.LazyLinear(10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.net(images))


class LateLazy(Lazy):
    """Is built by the Trainer."""

    def configure_model(self) -> None:
        self.head = nn.LazyLinear(10)


def _trained(root: Path, module: Any, seed: int, *callbacks: L.Callback, **changes: Any) -> dict[str, Tensor]:
    L.seed_everything(seed, verbose=False)
    made = module()
    trainer(root, *callbacks, max_epochs=2, **changes).fit(made, train_loader(), val_loader())
    return {name: tensor.clone() for name, tensor in made.state_dict().items()}


@pytest.mark.parametrize("module", [Lazy, LateLazy])
@IMAGES
@QUIET
def test_lazy_layers_keep_the_seed_of_the_training(tmp_path: Path, make: Any, module: Any) -> None:
    sink = MemorySink()
    plain = _trained(tmp_path, module, 1, num_sanity_val_steps=0)
    with pytest.warns(SaliencyWarning, match=r"uninitialized before the first batch.*is not observed") as seen:
        observed = _trained(tmp_path, module, 1, make(sinks=[sink]), num_sanity_val_steps=0)
    assert len([one for one in seen if "before the first batch" in str(one.message)]) == 1
    assert plain.keys() == observed.keys()
    assert all(torch.equal(plain[name], observed[name]) for name in plain)
    assert [stage for stage in stages(sink) if stage[0] != "final"] == [("fit", 0), ("fit", 1)]


@IMAGES
@QUIET
def test_lazy_layers_that_the_sanity_check_has_initialized(tmp_path: Path, make: Any) -> None:
    sink = MemorySink()
    plain = _trained(tmp_path, Lazy, 1)
    observed = _trained(tmp_path, Lazy, 1, make(sinks=[sink]))
    assert all(torch.equal(plain[name], observed[name]) for name in plain)
    assert stages(sink)[0] == ("initial", 0)


def test_lazy_layers_of_a_text_model(tmp_path: Path) -> None:
    class LazyTexts(text_runs.LstmClassifier):
        def __init__(self) -> None:
            super().__init__()
            self.extra = nn.LazyLinear(3)

        def forward(self, *inputs: Any) -> Tensor:
            scores = super().forward(*inputs)
            return scores + self.extra(scores)

    def trained(*callbacks: L.Callback) -> list[Tensor]:
        L.seed_everything(3, verbose=False)
        module = LazyTexts()
        trainer(tmp_path, *callbacks, max_epochs=1, num_sanity_val_steps=0).fit(
            module, text_runs.pairs(), text_runs.pairs()
        )
        return [parameter.clone() for parameter in module.parameters()]

    sink = MemorySink()
    plain = trained()
    with pytest.warns(SaliencyWarning, match=r"'extra' is uninitialized before the first batch"):
        observed = trained(TokenSaliencyMonitor("gradient_norm", probe=4, sinks=[sink]))
    assert all(map(torch.equal, plain, observed))
    assert stages(sink)[0] == ("fit", 0)


def test_what_lies_beside_a_lazy_layer_is_observed_from_the_start(tmp_path: Path) -> None:
    class Beside(Lazy):
        def __init__(self) -> None:
            super().__init__()
            self.plain = small_net()

        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) + self.plain(images)

    sink = MemorySink()
    monitor = _monitor(reading=ModelReading(module="plain"), sinks=[sink])
    trainer(tmp_path, monitor, max_epochs=1, num_sanity_val_steps=0).fit(Beside(), train_loader(), val_loader())
    assert stages(sink)[0] == ("initial", 0)


def test_what_needs_no_run_of_a_lazy_model_is_checked_before_the_training(tmp_path: Path) -> None:
    class Untrained(Lazy, Untouched):
        pass

    for monitor, error in (
        (SaliencyMonitor("grad_cam", target_layers="nett"), LayerError),
        (SaliencyMonitor("gradient", Probe(4, dataloader_idx=3)), ProbeError),
    ):
        with pytest.raises(error):
            trainer(tmp_path, monitor, num_sanity_val_steps=0).fit(Untrained(), train_loader(), val_loader())
