"""The training is not changed by a bit, whatever the training is and whatever the callback does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch import callbacks as lightning_callbacks
from lightning.pytorch.callbacks import LearningRateMonitor, StochasticWeightAveraging
from torch.utils.data import DataLoader, TensorDataset
from torchvision.transforms import v2

from saliency_callbacks import (
    Cascade,
    CueAlarm,
    Draws,
    FaithfulnessTest,
    ModelReading,
    Perturbation,
    Probe,
    RandomizationTest,
    SaliencyMonitor,
    ShortcutDiscovery,
    Storage,
    TokenSaliencyMonitor,
)
from saliency_callbacks.discovery.kinds import GENERATORS
from saliency_callbacks.errors import ObservationError, SaliencyWarning
from saliency_callbacks.methods import BUILT_IN, IntegratedGradients, SmoothGrad
from saliency_callbacks.methods.catalog import COSTS
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.sinks import MemorySink
from tests.discovery.planted import Corners, planted_digits
from tests.grouping import grouped
from tests.trainer import interference, text_runs
from tests.trainer.interference import Case, assert_equal, n_validations
from tests.trainer.runs import Augmented, train_loader, trainer, val_loader

WITH_SUMMARY = True

_SAMPLED = {"smooth_grad": SmoothGrad(nt_samples=2), "integrated_gradients": IntegratedGradients(n_steps=2)}
_ADAPTIVE = [
    IntegratedGradients("auto", tolerance=0.01, max_steps=33, name="auto_steps"),
    SmoothGrad("auto", max_samples=24, name="auto_copies"),
]
_METHODS = ["gradient", "grad_cam", *_SAMPLED.values(), *_ADAPTIVE]
_ALL_METHODS = [
    _SAMPLED.get(name, name)
    for name in BUILT_IN
    if name not in ("gradient_norm", "smooth_grad_squared", "var_grad", "smooth_integrated_gradients")
    and "attention" not in COSTS[name].needs
]
# Validated after the third of five batches: in the middle of a window of accumulated gradients.
_MID_WINDOW = {"accumulate_grad_batches": 2, "val_check_interval": 3}
_TEXT_MID_WINDOW = {"accumulate_grad_batches": 3, "val_check_interval": 2}
_EMA = pytest.mark.skipif(
    not hasattr(lightning_callbacks, "EMAWeightAveraging"), reason="this release of Lightning averages no weights"
)
_FP16 = pytest.mark.skipif(not torch.cuda.is_available(), reason="Lightning has no float16 on a CPU")


def _ema() -> list[L.Callback]:
    return [lightning_callbacks.EMAWeightAveraging(decay=0.8)]


def _swa() -> list[L.Callback]:
    return [StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=1, annealing_epochs=1)]


_CASES = {
    "sgd with momentum": Case(),
    "adam": Case(partial(interference.noisy, optimizer="adam")),
    "validation in the middle of accumulation": Case(settings=_MID_WINDOW),
    "manual optimization": Case(interference.Manual, {"val_check_interval": 3}),
    "bf16-mixed": Case(settings={"precision": "bf16-mixed"}),
    "bf16-true": Case(settings={"precision": "bf16-true"}),
    "64-true": Case(settings={"precision": "64-true"}),
    "16-mixed": Case(settings={"precision": "16-mixed", "accelerator": "cuda"}),
    "clipped by norm": Case(settings={"gradient_clip_val": 0.1, **_MID_WINDOW}),
    "clipped by value": Case(settings={"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"}),
    "compiled module": Case(interference.Quiet, wrap=partial(torch.compile, backend="eager")),
    "compiled part": Case(interference.CompiledInside),
    "checkpointed": Case(partial(interference.Checkpointed, use_reentrant=False)),
    "checkpointed, reentrant": Case(partial(interference.Checkpointed, use_reentrant=True)),
    "ema first": Case(callbacks=_ema),
    "ema last": Case(callbacks=_ema, is_last=True),
    "swa first": Case(callbacks=_swa),
    "swa last": Case(callbacks=_swa, is_last=True),
    "swa without BatchNorm": Case(interference.without_batch_norm, callbacks=_swa),
    "resumed": Case(resumes=True),
    "resumed with ema": Case(callbacks=_ema, resumes=True),
    "overfitted batches": Case(
        settings={"overfit_batches": 2}, loaders=partial(interference.digit_loaders, shuffle=False)
    ),
    "several validation dataloaders": Case(loaders=partial(interference.digit_loaders, 2)),
    "validated twice an epoch": Case(settings={"val_check_interval": 0.5}),
    "plateau": Case(partial(interference.Scheduled, plateau=True), callbacks=lambda: [LearningRateMonitor()]),
    "one cycle": Case(partial(interference.Scheduled, plateau=False), callbacks=lambda: [LearningRateMonitor()]),
}
_MARKS = {"16-mixed": [_FP16], "ema first": [_EMA], "ema last": [_EMA], "resumed with ema": [_EMA]}


def _monitor(sink: MemorySink, methods: Any = _METHODS) -> SaliencyMonitor:
    return SaliencyMonitor(methods, probe=6, sinks=[sink], storage=Storage(save_maps=False), on_error="raise")


def _randomization(sink: MemorySink, methods: Any = ("gradient", "grad_cam")) -> RandomizationTest:
    return RandomizationTest(
        methods,
        probe=6,
        draws=Draws(n_draws=2),
        cascade=Cascade(n_draws=2),
        sinks=[sink],
        storage=Storage(save_maps=False),
        on_error="raise",
    )


def _faithfulness(sink: MemorySink, methods: Any = ("gradient", "grad_cam")) -> FaithfulnessTest:
    less, storage = Perturbation(shares=[0.5], n_noisy=1), Storage(save_maps=False)
    return FaithfulnessTest(methods, 6, perturbation=less, sinks=[sink], storage=storage, on_error="raise")


def _cue_alarm(sink: MemorySink, **changes: Any) -> CueAlarm:
    settings = {"probe": 12, "groups_every_n_epochs": 1, "on_alarm": "log", "sinks": [sink], "save_maps": False}
    return CueAlarm(PatchCue((0, 0, 2, 2)), 0, **grouped(CueAlarm, **{**settings, **changes}))


@pytest.fixture(autouse=True)
def _told_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a search proposes is no matter here, and 8×8 pixels are too few for it."""
    monkeypatch.setitem(GENERATORS, "copies", Corners)


def _discovery(sink: MemorySink, **changes: Any) -> ShortcutDiscovery:
    probe = Probe.from_tensors(*planted_digits(24).tensors)
    settings = {"probe": probe, "every_n_epochs": 1, "kinds": "copies", "watch": True, "threshold": 0.0}
    settings |= {"on_suspicion": "log", "sinks": [sink], "save_maps": False, "on_error": "raise"}
    return ShortcutDiscovery(**grouped(ShortcutDiscovery, **{**settings, **changes}))


class Cropped(Augmented):
    """Draws, beside the global generators, from one that its transforms keep, and keeps what it has read."""

    def __init__(self, inner: TensorDataset) -> None:
        super().__init__(inner)
        self.transform = v2.Compose([v2.RandomCrop(8, padding=1), v2.RandomHorizontalFlip()])
        self.generator = torch.Generator().manual_seed(0)
        self.cache: dict[int, Any] = {}

    def __getitem__(self, index: int) -> Any:
        if index not in self.cache:
            image, label = self.inner[index]
            self.cache[index] = self.transform(image) * torch.rand((), generator=self.generator).add(9).gt(1), label
        return self.cache[index]


def _token_monitor(sink: MemorySink) -> TokenSaliencyMonitor:
    methods = ("gradient_norm", *_SAMPLED.values())
    return TokenSaliencyMonitor(methods, 4, text_runs.tokenizer(), sinks=[sink], storage=Storage(save_maps=False))


def _token_randomization(sink: MemorySink) -> RandomizationTest:
    return RandomizationTest(
        "gradient_norm",
        4,
        reading=ModelReading(embedding="auto"),
        tokenizer=text_runs.tokenizer(),
        draws=Draws(n_draws=2),
        cascade=Cascade(n_draws=2),
        sinks=[sink],
        storage=Storage(save_maps=False),
    )


def _token_faithfulness(sink: MemorySink) -> FaithfulnessTest:
    reading, storage = ModelReading(embedding="auto"), Storage(save_maps=False)
    return FaithfulnessTest(
        "gradient_norm", 4, reading=reading, tokenizer=text_runs.tokenizer(), sinks=[sink], storage=storage
    )


def _skipping(callback: Any, methods: Any = ("gradient", "smooth_grad")) -> Callable[[MemorySink], L.Callback]:
    return lambda sink: callback(methods, 4, sinks=[sink], storage=Storage(save_maps=False))


class Plain:
    """A case, and the final state of its training without a callback under test, which is found out once."""

    def __init__(self, case: Case, root: Path) -> None:
        self.case, self.root = case, root
        self.state = case.final_state(root)

    def check(self, make: Callable[[MemorySink], L.Callback]) -> MemorySink:
        """Train with the callback, compare, and return what it observed."""
        sinks = []

        def made() -> L.Callback:
            sinks.append(MemorySink())
            return make(sinks[-1])

        assert_equal(self.state, self.case.final_state(self.root, made))
        # Before the training, and at each validation.
        observed = [snapshot for snapshot in sinks[-1].snapshots if snapshot.stage != "final"]
        assert len(observed) == n_validations(self.state) + (not self.case.resumes)
        return sinks[-1]


@pytest.fixture(scope="module", params=[pytest.param(name, marks=_MARKS.get(name, ())) for name in _CASES])
def plain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Plain:
    return Plain(_CASES[request.param], tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("make", [_monitor, _randomization, _cue_alarm, _discovery])
def test_training_is_bit_identical(plain: Plain, make: Callable[[MemorySink], L.Callback]) -> None:
    assert plain.check(make).snapshots


@pytest.mark.parametrize(
    "case",
    ["sgd with momentum", "validation in the middle of accumulation", "compiled module", "bf16-mixed", "resumed"],
)
def test_training_is_bit_identical_with_a_test_of_faithfulness(tmp_path: Path, case: str) -> None:
    assert Plain(_CASES[case], tmp_path).check(_faithfulness).snapshots


@pytest.mark.parametrize("make", [_monitor, _randomization])
def test_training_is_bit_identical_with_all_methods(tmp_path: Path, make: Any) -> None:
    found = Plain(Case(), tmp_path).check(partial(make, methods=_ALL_METHODS))
    assert all(f"/{method}/" in " ".join(found.latest.scores) for method in _ALL_METHODS if isinstance(method, str))


def test_training_is_bit_identical_with_the_training_data_as_probe(tmp_path: Path) -> None:
    probe = Probe(6, source="train")
    found = Plain(Case(), tmp_path).check(
        lambda sink: SaliencyMonitor(probe=probe, sinks=[sink], storage=Storage(save_maps=False))
    )
    assert len(found.latest.ids) == 6


def test_training_is_bit_identical_where_its_images_are_searched_as_they_are_stored(tmp_path: Path) -> None:
    def loaders() -> Any:
        train = DataLoader(Cropped(planted_digits(24)), 16, shuffle=True)
        return train, [DataLoader(planted_digits(4), 16)]

    probe = Probe(96, source="train")
    found = Plain(Case(loaders=loaders), tmp_path).check(partial(_discovery, probe=probe))
    assert found.latest.scores["shortcuts/n_found"] == 1


_TEXTS: dict[str, Any] = {"loaders": lambda: (text_runs.loader(shuffle=True), text_runs.loader())}
_PAIRS: dict[str, Any] = {"loaders": lambda: (text_runs.pairs(shuffle=True), text_runs.pairs())}
_TEXT_CASES = {
    "bert": Case(text_runs.BertClassifier, **_TEXTS),
    "bert in the middle of accumulation": Case(text_runs.BertClassifier, _TEXT_MID_WINDOW, **_TEXTS),
    "bert in bf16-mixed": Case(text_runs.BertClassifier, {"precision": "bf16-mixed"}, **_TEXTS),
    "bert with swa": Case(text_runs.BertClassifier, callbacks=_swa, **_TEXTS),
    "lstm": Case(text_runs.LstmClassifier, **_PAIRS),
    "lstm with ema": Case(text_runs.LstmClassifier, callbacks=_ema, **_PAIRS),
    "lstm resumed": Case(text_runs.LstmClassifier, resumes=True, **_PAIRS),
    "lstm clipped by norm": Case(text_runs.LstmClassifier, {"gradient_clip_val": 0.1}, **_PAIRS),
    "lstm checkpointed": Case(text_runs.CheckpointedClassifier, **_PAIRS),
    "lstm with manual optimization": Case(text_runs.ManualClassifier, {"val_check_interval": 3}, **_PAIRS),
}
_TEXT_MARKS = {"lstm with ema": [_EMA]}


@pytest.fixture(scope="module", params=[pytest.param(name, marks=_TEXT_MARKS.get(name, ())) for name in _TEXT_CASES])
def plain_text(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Plain:
    return Plain(_TEXT_CASES[request.param], tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("make", [_token_monitor, _token_randomization])
def test_training_on_texts_is_bit_identical(plain_text: Plain, make: Callable[[MemorySink], L.Callback]) -> None:
    assert plain_text.check(make).snapshots


def test_training_on_texts_is_bit_identical_with_a_test_of_faithfulness(tmp_path: Path) -> None:
    case = _TEXT_CASES["bert in the middle of accumulation"]
    assert Plain(case, tmp_path).check(_token_faithfulness).snapshots


@pytest.mark.parametrize(
    ("make", "module", "message"),
    [
        (_skipping(SaliencyMonitor), interference.RaisesWhenExplained, "cannot be explained"),
        (_skipping(RandomizationTest), interference.RaisesWhenExplained, "cannot be explained"),
        (_skipping(FaithfulnessTest), interference.RaisesWhenExplained, "cannot be explained"),
        (partial(_cue_alarm, groups_at_fit_end=False), interference.RaisesWhenExplained, "cannot be explained"),
    ],
)
def test_training_is_bit_identical_where_every_explanation_fails(
    tmp_path: Path, make: Callable[[MemorySink], L.Callback], module: Any, message: str
) -> None:
    sink = MemorySink()
    case = Case(module)
    plain = case.final_state(tmp_path)
    with pytest.warns(SaliencyWarning, match=f"(?s)is skipped .*{message}"):
        observed = case.final_state(tmp_path, lambda: make(sink))
    assert sink.snapshots == []
    assert_equal(plain, observed)


def test_what_a_model_never_allows_is_an_error_before_the_training(tmp_path: Path) -> None:
    run = trainer(tmp_path, _skipping(SaliencyMonitor, "guided_backprop")(MemorySink()))
    with pytest.raises(ObservationError, match="Leave out guided_backprop"):
        run.fit(interference.Checkpointed(use_reentrant=False), train_loader(), val_loader())
    assert run.global_step == 0


def test_the_comparison_notices_a_single_random_number(tmp_path: Path) -> None:
    class Draws(L.Callback):
        def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            torch.rand(1)

    plain = Case().final_state(tmp_path)
    with pytest.raises(AssertionError):
        assert_equal(plain, Case().final_state(tmp_path, Draws))
