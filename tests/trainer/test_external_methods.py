"""Methods of other libraries in real trainings: equal to their direct calls, and without a trace in the training."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import captum.attr
import lightning as L
import pytest
import pytorch_grad_cam
import torch
import torchcam.methods
import zennit.attribution
import zennit.composites
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.cli import LightningCLI
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from saliency_callbacks import (
    CueAlarm,
    FaithfulnessTest,
    Probe,
    RandomizationTest,
    SaliencyMonitor,
    TokenSaliencyMonitor,
)
from saliency_callbacks.callbacks.cue.confirmation import Confirmation
from saliency_callbacks.callbacks.randomization.settings import Cascade, Draws
from saliency_callbacks.callbacks.runtime.settings import Compute
from saliency_callbacks.errors import ExternalMethodError, LayerError, SaliencyWarning
from saliency_callbacks.methods import (
    CaptumMethod,
    ExternalMethod,
    GradCamMethod,
    InputXGradient,
    TorchCamMethod,
    ZennitMethod,
)
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.replay import find_checkpoints, replay
from saliency_callbacks.sinks import MemorySink, read_index
from tests.trainer import text_runs
from tests.trainer.interference import Case, assert_equal, noisy
from tests.trainer.runs import Classifier, digits, train_loader, trainer, val_loader

LAYER = "net.4"
IMAGES, LABELS = digits(100, 104).tensors


def _one_hot(target: Tensor) -> Tensor:
    return torch.eye(10)[target]


def _captum(kind: str, *layer: str, **arguments: Any) -> Callable[..., Any]:
    def direct(model: nn.Module, inputs: Tensor, target: Tensor) -> Any:
        layers = [model.get_submodule(name) for name in layer]
        return getattr(captum.attr, kind)(model, *layers).attribute(inputs, target=target, **arguments)

    return direct


def _zennit(attributor: str, composite: Any) -> Callable[..., Any]:
    def direct(model: nn.Module, inputs: Tensor, target: Tensor) -> Any:
        with getattr(zennit.attribution, attributor)(model, composite() if composite else None) as run:
            return run(inputs, _one_hot(target))[1]

    return direct


def _grad_cam(kind: str) -> Callable[..., Any]:
    def direct(model: nn.Module, inputs: Tensor, target: Tensor) -> Any:
        with getattr(pytorch_grad_cam, kind)(model, [model.get_submodule(LAYER)]) as cam:
            return torch.from_numpy(cam(inputs, list(map(ClassifierOutputTarget, target.tolist())))).unsqueeze(1)

    return direct


def _torchcam(kind: str) -> Callable[..., Any]:
    def direct(model: nn.Module, inputs: Tensor, target: Tensor) -> Any:
        with getattr(torchcam.methods, kind)(model, LAYER) as cam:
            return cam(target.tolist(), model(inputs))[0].unsqueeze(1)

    return direct


def _box() -> Any:
    return zennit.composites.EpsilonGammaBox(low=0.0, high=1.0)


WINDOW = {"sliding_window_shapes": [1, 2, 2]}
PAIRS: list[tuple[Any, Callable[..., Any]]] = [
    (CaptumMethod("DeepLift"), _captum("DeepLift")),
    (CaptumMethod("IntegratedGradients", {"n_steps": 4}), _captum("IntegratedGradients", n_steps=4)),
    (CaptumMethod("LayerGradCam"), _captum("LayerGradCam", LAYER)),
    (CaptumMethod("Occlusion", WINDOW), _captum("Occlusion", sliding_window_shapes=(1, 2, 2))),
    (ZennitMethod("EpsilonPlusFlat"), _zennit("Gradient", zennit.composites.EpsilonPlusFlat)),
    (ZennitMethod("EpsilonGammaBox", {"low": 0.0, "high": 1.0}), _zennit("Gradient", _box)),
    (ZennitMethod(None, attributor="IntegratedGradients"), _zennit("IntegratedGradients", None)),
    (GradCamMethod("ScoreCAM"), _grad_cam("ScoreCAM")),
    (GradCamMethod("AblationCAM"), _grad_cam("AblationCAM")),
    (GradCamMethod("EigenGradCAM"), _grad_cam("EigenGradCAM")),
    (TorchCamMethod("ScoreCAM"), _torchcam("ScoreCAM")),
    (TorchCamMethod("GradCAMpp"), _torchcam("GradCAMpp")),
    (TorchCamMethod("LayerCAM"), _torchcam("LayerCAM")),
]


def test_twelve_methods_equal_their_direct_calls_in_a_training_that_they_do_not_change(tmp_path: Path) -> None:
    sink, methods = MemorySink(), [method for method, _ in PAIRS]

    def monitor() -> L.Callback:
        probe = Probe.from_tensors(IMAGES, LABELS)
        return SaliencyMonitor(methods, probe, target="label", target_layers=LAYER, sinks=[sink], on_error="raise")

    observed = Case().final_state(tmp_path, monitor)
    assert_equal(Case().final_state(tmp_path), observed)
    # The last validation is that of the final weights.
    model = noisy()
    model.load_state_dict(observed["weights"])
    model.eval()
    found = sink.snapshots[-1].attributions
    assert list(found) == [method.name for method in methods]
    for method, direct in PAIRS:
        with warnings.catch_warnings():
            # Called directly they warn, of hooks and of inputs without a gradient.
            warnings.simplefilter("ignore")
            expected = direct(model, IMAGES.clone(), LABELS)
        torch.testing.assert_close(found[method.name].values, expected.detach(), rtol=0, atol=1e-6, msg=method.name)
        assert found[method.name].values.any(), method.name
    drifts = [sink.snapshots[-1].scores[f"saliency/{method.name}/drift_initial"] for method in methods]
    assert all(0 <= drift <= 2 for drift in drifts)


def fit(root: Path, *callbacks: L.Callback, **changes: Any) -> L.Trainer:
    run = trainer(root, *callbacks, **changes)
    run.fit(Classifier(), train_loader(), val_loader())
    return run


class Unsteady:
    """Fails in its observations of these numbers."""

    def __init__(self, *failing: int) -> None:
        self.failing, self.n_runs = failing, 0

    def __call__(self, model: nn.Module, inputs: Tensor, target: Tensor, samples: Tensor) -> Tensor:
        self.n_runs += 1
        if self.n_runs - 1 in self.failing:
            model.model.net[0].weight.data.zero_()
            raise ValueError("no memory of its own")
        scores = model(inputs.requires_grad_())
        return torch.autograd.grad(scores.gather(1, target[:, None]).sum(), inputs)[0]


def test_what_fails_is_left_out_once_and_tried_again(tmp_path: Path) -> None:
    sink, unsteady = MemorySink(), Unsteady(1, 2)
    monitor = SaliencyMonitor(
        ["gradient", ExternalMethod("own", unsteady)], 4, sinks=[sink], report=True, on_error="warn"
    )
    with pytest.warns(SaliencyWarning, match=r"'own' failed \(ValueError: no memory.*'net\.0\.weight'") as caught:
        fit(tmp_path, monitor, max_epochs=3)
    assert len([one for one in caught if "'own'" in str(one.message)]) == 1
    assert [list(one.attributions) for one in sink.snapshots] == [
        ["gradient", "own"],
        ["gradient"],
        ["gradient"],
        ["gradient", "own"],
    ]
    last = sink.snapshots[-1].scores
    # The initial maps are not forgotten meanwhile.
    assert last["saliency/own/drift_initial"] == pytest.approx(last["saliency/gradient/drift_initial"])
    assert last["saliency/own/drift_initial"] > 0
    observations = read_index(tmp_path / "saliency")["observations"]
    assert [list(one["methods"]) for one in observations] == [list(one.attributions) for one in sink.snapshots]
    (report,) = tmp_path.rglob("report*.html")
    assert "own" in report.read_text(encoding="utf-8")


def test_raises_where_that_is_asked_for(tmp_path: Path) -> None:
    monitor = SaliencyMonitor(["gradient", ExternalMethod("own", Unsteady(1))], 4, on_error="raise")
    with pytest.raises(ExternalMethodError, match="method 'own' failed"):
        fit(tmp_path, monitor)


@pytest.mark.parametrize(("failing", "observed"), [(0, [("fit", 0), ("fit", 1)]), (1, [("initial", 0), ("fit", 1)])])
def test_an_observation_with_nothing_else_is_skipped(tmp_path: Path, failing: int, observed: list[Any]) -> None:
    sink = MemorySink()
    monitor = SaliencyMonitor(ExternalMethod("own", Unsteady(failing)), 4, sinks=[sink])
    with pytest.warns(SaliencyWarning, match="'own' failed"):
        fit(tmp_path, monitor)
    assert [(one.stage, one.epoch) for one in sink.snapshots] == observed


@pytest.mark.parametrize("kind", [SaliencyMonitor, RandomizationTest, FaithfulnessTest])
def test_a_layer_that_does_not_exist_is_an_error_before_the_training(tmp_path: Path, kind: Any) -> None:
    with pytest.raises(LayerError, match=r"net\.nope"):
        fit(tmp_path, kind(["gradient", GradCamMethod("GradCAM", layer="net.nope")], 4))


class Attentive(Classifier):
    """Attention between the rows of an image."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten())
        self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        rows = inputs[:, 0]
        return self.head(self.attention(rows, rows, rows)[0].mean(dim=1))


@pytest.mark.parametrize("kind", [SaliencyMonitor, RandomizationTest, FaithfulnessTest])
@pytest.mark.parametrize(
    ("method", "module", "layers", "message"),
    [
        (CaptumMethod("LayerGradCam"), Classifier, ["net.0", LAYER], "has the layers .* expected one"),
        (ZennitMethod("EpsilonPlus"), Attentive, "auto", "nn.MultiheadAttention 'attention'"),
    ],
    ids=["layers", "attention"],
)
def test_what_a_method_cannot_explain_is_an_error_before_the_training(
    tmp_path: Path, kind: Any, method: Any, module: Any, layers: Any, message: str
) -> None:
    run = trainer(tmp_path, kind(["gradient", method], 4, target_layers=layers))
    explained = module()
    with pytest.raises(ExternalMethodError, match=message):
        run.fit(explained, train_loader(), val_loader())
    assert run.global_step == 0


def test_a_composite_that_cannot_be_made_is_left_out(tmp_path: Path) -> None:
    def composite() -> Any:
        raise ValueError("no rules today")

    sink = MemorySink()
    monitor = SaliencyMonitor(["gradient", ZennitMethod(composite, name="lrp")], 4, sinks=[sink])
    with pytest.warns(SaliencyWarning, match="no rules today"):
        fit(tmp_path, monitor)
    assert [*sink.latest.attributions] == ["gradient"]


def test_what_waits_for_a_drift_waits_also_where_the_method_fails_at_first(tmp_path: Path) -> None:
    monitor = SaliencyMonitor(["gradient", ExternalMethod("own", Unsteady(0, 1))], 4)
    with pytest.warns(SaliencyWarning, match="'own' failed"):
        run = fit(tmp_path, monitor, EarlyStopping("saliency/own/drift_previous", patience=9))
    assert run.current_epoch == 2


def _made(made: list[float]) -> Callable[..., Any]:
    def make(model: nn.Module, layers: Any) -> nn.Module:
        made.append(float(model.model.net[0].weight.detach().sum()))
        return model

    return make


def _tested(root: Path, *methods: Any, **changes: Any) -> RandomizationTest:
    test = RandomizationTest(
        ["gradient", *methods], 4, draws=Draws(n_draws=3), cascade=Cascade(at_fit_end=False), target="label", **changes
    )
    fit(root, test, max_epochs=1)
    return test


def test_random_copies_have_an_explainer_of_their_own(tmp_path: Path) -> None:
    made: list[float] = []
    result = _tested(tmp_path, ExternalMethod("own", Unsteady(), _made(made))).result
    # The model of two observations, for two classes each, and three copies, which are kept.
    assert len(made) == 7
    assert len(set(made)) == 5
    for kind in (result.values, result.floors, result.random_logit):
        torch.testing.assert_close(kind["spearman"]["own"], kind["spearman"]["gradient"], rtol=0, atol=1e-4)


def test_what_fails_on_a_random_copy_is_left_out_of_the_test(tmp_path: Path) -> None:
    sink = MemorySink()
    with pytest.warns(SaliencyWarning, match="'own' failed"):
        _tested(tmp_path, ExternalMethod("own", Unsteady(3)), sinks=[sink])
    first, then = ({tag.split("/")[1] for tag in one.scores if tag.endswith("/floor")} for one in sink.snapshots[:2])
    assert first == {"gradient"}
    assert then == {"gradient", "own"}


def test_a_method_that_draws_has_a_ceiling(tmp_path: Path) -> None:
    def noisy_gradient(model: nn.Module, inputs: Tensor, target: Tensor, samples: Tensor) -> Tensor:
        return Unsteady()(model, inputs + torch.rand_like(inputs), target, samples)

    result = _tested(tmp_path, ExternalMethod("own", noisy_gradient, stochastic=True)).result
    assert list(result.ceilings["spearman"]) == ["own"]
    assert (result.ceilings["spearman"]["own"] < 1).any()


def test_the_panel_of_a_cue(tmp_path: Path) -> None:
    sink = MemorySink()
    confirmation = Confirmation(ExternalMethod("own", Unsteady(1)), panel_size=2)
    alarm = CueAlarm(PatchCue((-2, -2, 2, 2)), 0, probe=16, confirmation=confirmation, on_alarm="log", sinks=[sink])
    with pytest.warns(SaliencyWarning, match=r"panel shows gradients in place of own.*'own' failed"):
        fit(tmp_path, alarm)
    effects = [[tag for tag in one.scores if tag.endswith("/effect")] for one in sink.snapshots if one.stage == "fit"]
    assert all(effects)
    assert len(effects) == 2


def test_two_callbacks_share_it(tmp_path: Path) -> None:
    unsteady, sinks = Unsteady(), [MemorySink(), MemorySink()]
    methods = ["gradient", ExternalMethod("own", unsteady)]
    monitors = [
        SaliencyMonitor(methods, 4, sinks=[sink], namespace=name, on_error=on_error)
        for sink, name, on_error in zip(sinks, ("one", "two"), ("warn", "raise"), strict=True)
    ]
    fit(tmp_path, *monitors)
    assert unsteady.n_runs == 3
    for one, two in zip(*(sink.snapshots for sink in sinks), strict=True):
        assert torch.equal(one.attributions["own"].values, two.attributions["own"].values)


def test_the_fastest_precision_is_chosen_by_the_others(tmp_path: Path, said: list[str]) -> None:
    sink, unsteady = MemorySink(), Unsteady()
    methods = ["gradient", ExternalMethod("own", unsteady)]
    fit(tmp_path, SaliencyMonitor(methods, 4, compute=Compute(precision="fast"), sinks=[sink], on_error="raise"))
    assert any("precision='fast' explains" in line for line in said)
    assert unsteady.n_runs == 3


class Digits(L.LightningDataModule):
    """The data of the run."""

    def train_dataloader(self) -> Any:
        return train_loader()

    def val_dataloader(self) -> Any:
        return val_loader()


def test_a_replay_gives_the_same_maps(tmp_path: Path) -> None:
    sinks = [MemorySink(), MemorySink()]
    monitors = [
        SaliencyMonitor(["gradient", CaptumMethod("DeepLift")], 4, sinks=[sink], namespace=name)
        for sink, name in zip(sinks, ("live", "replayed"), strict=True)
    ]
    checkpoints = ModelCheckpoint(tmp_path / "checkpoints", save_top_k=-1)
    fit(tmp_path, monitors[0], checkpoints, enable_checkpointing=True)
    replay(
        trainer(tmp_path, monitors[1]),
        Classifier(),
        find_checkpoints([tmp_path / "checkpoints"])[0],
        datamodule=Digits(),
    )
    live, replayed = ([one for one in sink.snapshots if one.stage == "fit"] for sink in sinks)
    assert len(live) == 2
    for one, other in zip(live, replayed[-2:], strict=True):
        torch.testing.assert_close(
            one.attributions["captum_deep_lift"].values, other.attributions["captum_deep_lift"].values
        )


_YAML = """
trainer:
  logger: false
  callbacks:
    - class_path: saliency_callbacks.SaliencyMonitor
      init_args:
        methods:
          - gradient
          - class_path: saliency_callbacks.methods.CaptumMethod
            init_args:
              attribution: Occlusion
              arguments:
                sliding_window_shapes: [1, 2, 2]
                perturbations_per_eval: 2
              name: occlusion
          - class_path: saliency_callbacks.methods.ZennitMethod
            init_args: {composite: EpsilonPlus, canonizers: [SequentialMergeBatchNorm]}
          - class_path: saliency_callbacks.methods.GradCamMethod
            init_args: {cam: EigenCAM, layer: net.2}
          - class_path: saliency_callbacks.methods.TorchCamMethod
            init_args: {cam: LayerCAM, arguments: {normalized: false}}
          - class_path: saliency_callbacks.methods.ExternalMethod
            init_args: {name: own, explain: tests.trainer.test_external_methods.own, rows: one, stochastic: true}
"""


def own(model: nn.Module, inputs: Tensor, target: Tensor, samples: Tensor) -> Tensor:
    """A function that a configuration names."""
    return inputs


def test_from_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(_YAML, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["train.py", "--config", str(path)])
    cli = LightningCLI(Classifier, run=False, save_config_callback=None, seed_everything_default=False)
    (monitor,) = (one for one in cli.trainer.callbacks if isinstance(one, SaliencyMonitor))
    _, occlusion, lrp, eigen, layer_cam, mine = monitor.settings.methods
    assert occlusion.name == "occlusion"
    assert occlusion.arguments == {"sliding_window_shapes": (1, 2, 2), "perturbations_per_eval": 2}
    assert lrp.name == "zennit_epsilon_plus"
    assert eigen.layer == "net.2"
    assert layer_cam.arguments == {"normalized": False}
    assert (mine.explain, mine.rows, mine.stochastic) == (own, "one", True)


def test_what_it_costs_is_kept(tmp_path: Path) -> None:
    sink = MemorySink()
    fit(tmp_path, SaliencyMonitor(["gradient", CaptumMethod("DeepLift")], 4, sinks=[sink]), max_epochs=1)
    cost = sink.snapshots[-1].metadata["external"]["captum_deep_lift"]
    # The sample and its baseline at once, and their gradients.
    assert (cost["forwards"], cost["backwards"]) == (2, 2)
    assert json.loads(json.dumps(cost)) == cost


class Untold(ExternalMethod):
    """A method with a key and objects that nobody can print."""

    def __init__(self, api_key: str) -> None:
        super().__init__("own", Unprintable())
        object.__setattr__(self, "api_key", api_key)

    def __repr__(self) -> str:
        raise RuntimeError("no text")


class Unprintable:
    def __call__(self, model: nn.Module, inputs: Tensor, target: Tensor, samples: Tensor) -> Tensor:
        return inputs

    def __repr__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("kind", [SaliencyMonitor, FaithfulnessTest])
def test_what_nobody_can_print_costs_no_observation_and_no_secret_is_kept(tmp_path: Path, kind: Any) -> None:
    keyed = CaptumMethod("FeaturePermutation", {"password": "SECRET"}, name="keyed")
    fit(tmp_path, kind([Untold("SECRET"), keyed], 4), max_epochs=1)
    kept = [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.suffix in (".jsonl", ".html")]
    assert any("explain=<Unprintable>" in text for text in kept)
    assert any("'password': ***" in text.replace("&#39;", "'") for text in kept)
    assert not any("SECRET" in text for text in kept)


def test_words_of_texts(tmp_path: Path) -> None:
    sink = MemorySink()
    methods = [InputXGradient("sum"), CaptumMethod("InputXGradient", reduction="sum", name="own")]
    monitor = TokenSaliencyMonitor(methods, 4, tokenizer=text_runs.tokenizer(), sinks=[sink], on_error="raise")
    run = trainer(tmp_path, monitor, max_epochs=1)
    run.fit(text_runs.BertClassifier(), text_runs.loader(), text_runs.loader())
    maps = sink.snapshots[-1].attributions
    torch.testing.assert_close(maps["own"].values, maps["input_x_gradient"].values, rtol=1e-3, atol=1e-5)


def test_a_streamed_probe(tmp_path: Path) -> None:
    """In its third run, that of the second chunk, the method fails: of the others of that observation remains all."""
    sink, unsteady = MemorySink(), Unsteady(2)
    methods = ["gradient", ExternalMethod("own", unsteady)]
    monitor = SaliencyMonitor(methods, Probe(20, shown=4), compute=Compute(internal_batch_size=4), sinks=[sink])
    with pytest.warns(SaliencyWarning, match="'own' failed"):
        fit(tmp_path, monitor, max_epochs=1)
    first, then = sink.snapshots[:2]
    assert first.statistics.maps.keys() == {"gradient"}
    assert then.statistics.maps.keys() == {"gradient", "own"}
    assert "saliency/gradient/entropy" in first.statistics.sample_scores
    assert "saliency/own/entropy" not in first.statistics.sample_scores
    assert {"saliency/own/entropy", "saliency/gradient/entropy"} <= then.statistics.sample_scores.keys()
