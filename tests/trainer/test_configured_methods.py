"""Methods and targets with all of their arguments, from files of a LightningCLI and of Hydra to records and replays."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import yaml
from hydra.utils import instantiate
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import OmegaConf
from torch import Tensor, nn

from benchmarks.sanity import SmallViT
from saliency_callbacks import (
    FaithfulnessTest,
    Localization,
    Perturbation,
    Probe,
    RandomizationTest,
    SaliencyMonitor,
    methods,
    targets,
)
from saliency_callbacks.callbacks.randomization.settings import Cascade, Draws
from saliency_callbacks.replay import find_checkpoints, load_run, replay
from saliency_callbacks.sinks import read_index
from tests.trainer.runs import Classifier, train_loader, trainer, val_loader
from tests.trainer.test_hydra import assert_plain
from tests.trainer.test_replay import assert_same_archive

_HERE = "tests.trainer.test_configured_methods"

# Every argument of each class is in one of these, with another value than its default.
_METHODS = """
- class_path: CaptumMethod
  init_args:
    attribution: NoiseTunnel
    arguments: {nt_samples: 3, stdevs: 0.1, nt_type: smoothgrad}
    constructor: {attribution_method: Saliency}
    name: noise
    signed: false
    reduction: sum
    stochastic: true
    rows: one
- class_path: CaptumMethod
  init_args: {attribution: LayerGradCam, arguments: {relu_attributions: true}, layer: net.patches}
- class_path: CaptumMethod
  init_args: {attribution: Occlusion, arguments: {sliding_window_shapes: [1, 2, 2]}}
- class_path: ZennitMethod
  init_args:
    composite: EpsilonGammaBox
    arguments: {low: 0.0, high: 1.0}
    canonizers: [SequentialMergeBatchNorm]
    attributor: SmoothGrad
    attributor_arguments: {noise_level: 0.1, n_iter: 2}
    name: lrp
    layer: null
    signed: false
    reduction: abs_max
    stochastic: true
    rows: one
- class_path: ZennitMethod
  init_args: {composite: null, attributor: IntegratedGradients}
- class_path: GradCamMethod
  init_args:
    cam: GradCAMPlusPlus
    arguments: {eigen_smooth: true}
    constructor: {reshape_transform: torch.relu}
    name: plus
    layer: [net.patches]
    signed: false
    reduction: l2
    stochastic: true
    rows: one
- class_path: TorchCamMethod
  init_args:
    cam: SmoothGradCAMpp
    arguments: {normalized: false}
    constructor: {num_samples: 2, std: 0.2}
    name: smooth
    layer: net.patches
    signed: false
    reduction: sum
    stochastic: true
    rows: one
- class_path: ExternalMethod
  init_args:
    name: own
    explain: tests.contracts.presets.saliency
    make: HERE.made
    layer: target_layers
    signed: false
    reduction: sum
    stochastic: true
    rows: one
- class_path: LeGrad
  init_args: {layers: 2, score: output, name: last}
- class_path: GradientXAttention
  init_args: {name: chefer}
- class_path: AttentionRollout
  init_args: {name: rollout}
"""

_TARGETS = """
- class_path: ContrastTarget
  init_args: {a: label, b: second}
- class_path: ContrastTarget
  init_args: {a: [3, 4], b: 0}
- class_path: DetectionTarget
  init_args: {label: cat, box: annotation, min_iou: 0.4, min_score: 0.3, background: true}
- class_path: DetectionTarget
  init_args: {label: 1, box: [1.0, 2.0, 3.0, 4.0]}
- class_path: SegmentationTarget
  init_args: {label: road, region: predicted}
- class_path: SegmentationTarget
  init_args: {label: 1, region: [[0.5, 0.25], [0.0, 1.0]]}
- class_path: SegmentationTarget
  init_args: {label: 1, region: [[true, false], [false, false]]}
- class_path: SimilarityTarget
  init_args: {reference: text}
- class_path: SimilarityTarget
  init_args: {reference: [[0.5, -1.0], [0.25, 1.0]]}
- class_path: SimilarityTarget
  init_args: {view: [[0.5, 1.0]]}
- class_path: SimilarityTarget
  init_args: {prompt: a film, tokenizer: HERE.tokens}
- class_path: SimilarityTarget
  init_args: {prompts: [a film, the film], tokenizer: HERE.tokens}
"""

_OF_METHODS = ("CaptumMethod", "ZennitMethod", "GradCamMethod", "TorchCamMethod", "ExternalMethod")
_OF_ATTENTION = ("LeGrad", "GradientXAttention", "AttentionRollout")


def made(model: nn.Module, layers: Any) -> nn.Module:
    """What a function is given in place of the model."""
    return model


def tokens(texts: Any) -> Tensor:
    """One token for each word."""
    return torch.tensor([[len(word) for word in text.split()] for text in texts])


def bright(images: Tensor) -> Tensor:
    """Masks of what is drawn."""
    return images[:, 0] > 0.5


class VisionTransformer(Classifier):
    """Has attention, and a layer with a map."""

    def __init__(self) -> None:
        torch.manual_seed(7)
        super().__init__(SmallViT(16, 2, width=8))


class Digits(L.LightningDataModule):
    """The digits."""

    def train_dataloader(self) -> Any:
        return train_loader()

    def val_dataloader(self) -> Any:
        return val_loader()


def _read(listed: str, package: str) -> list[dict[str, Any]]:
    given = yaml.safe_load(listed.replace("HERE", _HERE))
    return [{**one, "class_path": f"saliency_callbacks.{package}.{one['class_path']}"} for one in given]


def _kind(one: dict[str, Any]) -> Any:
    package, _, name = one["class_path"].rpartition(".")
    return getattr(methods if package.endswith("methods") else targets, name)


def _python(one: dict[str, Any]) -> Any:
    return _kind(one)(**one["init_args"])


def _of_hydra(one: dict[str, Any]) -> dict[str, Any]:
    return {"_target_": one["class_path"], **one["init_args"]}


METHODS, TARGETS = _read(_METHODS, "methods"), _read(_TARGETS, "targets")


def _built(monkeypatch: pytest.MonkeyPatch, path: Path, *more: str) -> list[Any]:
    silent = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    given = ["--config", str(path), "--trainer.accelerator=cpu", *(f"--trainer.{name}=false" for name in silent), *more]
    monkeypatch.setattr(sys, "argv", ["train.py", *given])
    cli = LightningCLI(Classifier, Digits, run=False, save_config_callback=None, seed_everything_default=0)
    return [one for one in cli.trainer.callbacks if isinstance(one, SaliencyMonitor)]


def _from_yaml(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], root: Path, arguments: list[dict[str, Any]]
) -> tuple[list[Any], list[Any]]:
    """Return the monitors of a file, and those of the file that a LightningCLI prints of it."""
    callbacks = [
        {"class_path": "saliency_callbacks.SaliencyMonitor", "init_args": {**one, "namespace": f"n{number}"}}
        for number, one in enumerate(arguments)
    ]
    written, printed = root / "written.yaml", root / "printed.yaml"
    written.write_text(yaml.safe_dump({"trainer": {"callbacks": callbacks}}))
    first = _built(monkeypatch, written)
    capsys.readouterr()
    with pytest.raises(SystemExit, match="0"):
        _built(monkeypatch, written, "--print_config")
    printed.write_text(capsys.readouterr().out)
    return first, _built(monkeypatch, printed)


@pytest.mark.parametrize("listed", [METHODS, TARGETS], ids=["methods", "targets"])
def test_no_argument_is_forgotten(listed: list[dict[str, Any]]) -> None:
    for kind in {_kind(one) for one in listed}:
        given = [one["init_args"].keys() for one in listed if _kind(one) is kind]
        assert set().union(*given) == inspect.signature(kind).parameters.keys(), kind
    names = set(targets.__all__) if listed is TARGETS else {*_OF_METHODS, *_OF_ATTENTION}
    assert {_kind(one).__name__ for one in listed} == names


def test_methods_of_a_lightning_cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for (monitor,) in _from_yaml(monkeypatch, capsys, tmp_path, [{"methods": METHODS}]):
        for found, one in zip(monitor.settings.methods, METHODS, strict=True):
            assert found == _python(one)


def test_targets_of_a_lightning_cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for monitors in _from_yaml(monkeypatch, capsys, tmp_path, [{"target": one} for one in TARGETS]):
        for monitor, one in zip(monitors, TARGETS, strict=True):
            assert monitor.target == _python(one)


@pytest.mark.parametrize("one", METHODS, ids=lambda one: one["class_path"].rpartition(".")[2])
def test_methods_of_hydra(one: dict[str, Any]) -> None:
    for written in (one, _of_hydra(one)):
        for given in (written, [written]):
            config = OmegaConf.create({"_target_": "saliency_callbacks.SaliencyMonitor", "methods": given})
            (found,) = instantiate(config).settings.methods
            assert found == _python(one)
            assert_plain(vars(found))
    cue = {"_target_": "saliency_callbacks.probe.PatchCue", "box": [0, 0, 2, 2]}
    confirmation = {"method": _of_hydra(one)}
    alarm = {"_target_": "saliency_callbacks.CueAlarm", "cue": cue, "suspect_class": 0, "confirmation": confirmation}
    assert instantiate(OmegaConf.create(alarm)).confirmation.method == _python(one)


@pytest.mark.parametrize("one", TARGETS, ids=lambda one: one["class_path"].rpartition(".")[2])
def test_targets_of_hydra(one: dict[str, Any]) -> None:
    config = {"_target_": "saliency_callbacks.FaithfulnessTest", "target": _of_hydra(one)}
    target = instantiate(OmegaConf.create(config)).target
    assert target == _python(one)
    assert_plain(vars(target))


_GROUPS = {
    "SaliencyMonitor": {"localization": {"mask": 0.3, "foreground": 0.9, "background": 0.2, "longest_side": 64}},
    "FaithfulnessTest": {
        "perturbation": {"shares": [0.1, 0.5], "replacements": ["blurred"], "noise": 0.1, "n_noisy": 2}
    },
}


@pytest.mark.parametrize("has_target", [True, False], ids=["_target_", "mapping"])
@pytest.mark.parametrize("kind", _GROUPS)
def test_settings_of_hydra(kind: str, has_target: bool) -> None:
    ((name, given),) = _GROUPS[kind].items()
    group = Localization if kind == "SaliencyMonitor" else Perturbation
    own = {"_target_": f"saliency_callbacks.{group.__name__}"} if has_target else {}
    made = instantiate(OmegaConf.create({"_target_": f"saliency_callbacks.{kind}", name: {**own, **given}}))
    assert getattr(made, name) == group(**given)
    assert_plain(vars(made))


_SHOWN = ("noise", "plus", "own", "last")
_RUN = f"""
seed_everything: 3
model: {{class_path: {_HERE}.VisionTransformer}}
data: {{class_path: {_HERE}.Digits}}
"""


def _probe() -> dict[str, Any]:
    return {"class_path": "saliency_callbacks.Probe", "init_args": {"size": 2, "masks": f"{_HERE}.bright"}}


def _configured(root: Path) -> dict[str, Any]:
    """Return the configuration of a run with all of them."""
    contrast = TARGETS[0]
    shown = [one for one in METHODS if _python(one).name in _SHOWN]
    tested = [one for one in METHODS if _python(one).name in ("own", "last")]
    of_tests = {"methods": ["gradient", *tested], "target": contrast, "probe": 2, "on_error": "raise"}
    callbacks = [
        ("saliency_callbacks.SaliencyMonitor", {**_GROUPS["SaliencyMonitor"], "methods": shown, "probe": _probe()}),
        ("saliency_callbacks.FaithfulnessTest", {**_GROUPS["FaithfulnessTest"], **of_tests}),
        (
            "saliency_callbacks.RandomizationTest",
            {**of_tests, "draws": {"n_draws": 2}, "cascade": {"at_fit_end": False}},
        ),
    ]
    callbacks[0][1].update(target=contrast, target_layers="net.patches", on_error="raise")
    saver = {"dirpath": str(root / "checkpoints"), "save_top_k": -1}
    callbacks.append(("lightning.pytorch.callbacks.ModelCheckpoint", saver))
    logger = {"class_path": "lightning.pytorch.loggers.TensorBoardLogger"}
    logger["init_args"] = {"save_dir": str(root), "name": "", "version": "live"}
    quiet = dict.fromkeys(("enable_progress_bar", "enable_model_summary"), False)
    listed = [{"class_path": kind, "init_args": arguments} for kind, arguments in callbacks]
    settings = {"accelerator": "cpu", "max_epochs": 1, "log_every_n_steps": 1, "logger": logger, **quiet}
    return {**yaml.safe_load(_RUN), "trainer": {**settings, "callbacks": listed}}


def _in_python() -> list[L.Callback]:
    """Return the same callbacks, written in Python."""
    made = {_python(one).name: _python(one) for one in METHODS}
    tested = ["gradient", *(made[name] for name in ("own", "last"))]
    contrast = targets.ContrastTarget("label", "second")
    return [
        SaliencyMonitor(
            [made[name] for name in _SHOWN],
            Probe(2, masks=bright),
            contrast,
            target_layers="net.patches",
            localization=Localization(0.3, 0.9, 0.2, 64),
        ),
        FaithfulnessTest(tested, 2, contrast, perturbation=Perturbation([0.1, 0.5], ["blurred"], 0.1, 2)),
        RandomizationTest(tested, 2, contrast, draws=Draws(n_draws=2), cascade=Cascade(at_fit_end=False)),
    ]


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.SaliencyWarning")
def test_a_file_gives_the_records_of_python_and_so_does_its_replay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(_configured(tmp_path)))
    monkeypatch.setattr(sys, "argv", ["train.py", "fit", "--config", str(path)])
    LightningCLI(save_config_callback=None)

    twin = trainer(tmp_path, *_in_python(), logger=TensorBoardLogger(tmp_path, name="", version="twin"), max_epochs=1)
    twin.fit(VisionTransformer(), datamodule=Digits())

    run = load_run([path], tmp_path / "replay")
    found, _ = find_checkpoints([tmp_path / "checkpoints"])
    replay(run.trainer, run.module, found, datamodule=run.datamodule, is_untrained=run.is_untrained)

    for directory in ("saliency", "faithfulness", "randomization"):
        assert_same_archive(tmp_path / "live" / directory, tmp_path / "twin" / directory)
        assert_same_archive(tmp_path / "live" / directory, tmp_path / "replay" / directory)

    said = {
        name: read_index(tmp_path / "live" / name)["observations"][1]["metadata"]
        for name in ("saliency", "faithfulness")
    }
    assert said["saliency"]["methods"] == {
        name: repr(_python(one)) for name in _SHOWN for one in METHODS if _python(one).name == name
    }
    assert said["saliency"]["localization"] == _GROUPS["SaliencyMonitor"]["localization"]
    assert said["saliency"]["target"] == said["faithfulness"]["target"] == "ContrastTarget(a='label', b='second')"
    assert said["faithfulness"]["shares"] == [0.1, 0.5]
    assert said["faithfulness"]["replacements"] == ["blurred"]
    assert (said["faithfulness"]["noise"], said["faithfulness"]["n_noisy"]) == (0.1, 2)
