"""The configurations for Hydra, instantiated by Hydra and merged as its users merge them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch.utils.data import DataLoader

from saliency_callbacks import (
    Appearance,
    Compute,
    Confirmation,
    CueAlarm,
    ModelReading,
    Probe,
    RandomizationTest,
    SaliencyMonitor,
    Storage,
)
from saliency_callbacks.discovery.kinds import GENERATORS
from saliency_callbacks.methods import ExternalMethod, GradCAM, Gradient, IntegratedGradients
from saliency_callbacks.probe import ChannelShiftCue, PatchCue
from saliency_callbacks.sinks import DiskSink, MemorySink, read_index
from saliency_callbacks.targets import SimilarityTarget
from tests.discovery.planted import Nothing
from tests.trainer import text_runs
from tests.trainer.runs import Classifier, digits, image_mean, train_loader, trainer, val_loader

_CALLBACKS = Path(__file__).parents[2] / "configs" / "hydra" / "callbacks"
_FILES = sorted(path.stem for path in _CALLBACKS.glob("*.yaml"))


def composed(tmp_path: Path, *names: str, overrides: tuple[str, ...] = ()) -> DictConfig:
    """Compose files of the ``callbacks`` group as lightning-hydra-template does."""
    group = tmp_path / "hydra" / "callbacks"
    group.mkdir(parents=True)
    for path in _CALLBACKS.glob("*.yaml"):
        (group / path.name).write_text(path.read_text())
    (group / "mine.yaml").write_text(f"defaults: [{', '.join(names)}, _self_]\n")
    (tmp_path / "hydra" / "train.yaml").write_text("defaults: [callbacks: mine, _self_]\n")
    with initialize_config_dir(str(tmp_path / "hydra"), version_base="1.3"):
        return compose("train", overrides=list(overrides))


def instantiated(config: DictConfig) -> list[L.Callback]:
    return [instantiate(one) for one in config.callbacks.values()]


def run(root: Path, *callbacks: L.Callback) -> None:
    trainer(root, *callbacks, max_epochs=1).fit(Classifier(), train_loader(), val_loader())


class Plain(ExternalMethod):
    def __init__(self) -> None:
        super().__init__("own", "torch.ones_like")


def test_a_method_with_arguments_of_its_own_is_told_how_to_be_written() -> None:
    written = {"_target_": "saliency_callbacks.SaliencyMonitor", "methods": [{"_target_": f"{__name__}.Plain"}]}
    with pytest.raises(InstantiationException, match=r"of `Plain`.*Write `_convert_: object` beside"):
        instantiate(OmegaConf.create(written))
    (method,) = instantiate(OmegaConf.create({**written, "_convert_": "object"})).settings.methods
    assert isinstance(method, Plain)


@pytest.mark.parametrize("callback", ["SaliencyMonitor", "FaithfulnessTest"])
def test_a_target_as_for_the_lightning_cli_is_told_how_to_be_written(callback: str) -> None:
    target = {"class_path": "saliency_callbacks.targets.ContrastTarget", "init_args": {"a": 0, "b": 1}}
    written = {"_target_": f"saliency_callbacks.{callback}", "methods": ["gradient"], "target": target}
    with pytest.raises(InstantiationException, match=r"is a mapping; .*for Hydra write `_target_: saliency"):
        instantiate(OmegaConf.create(written))


@pytest.mark.parametrize("name", _FILES)
def test_each_file_makes_callbacks_that_run(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    callbacks = instantiated(composed(tmp_path, name))
    assert len(callbacks) == (3 if name == "saliency_full" else 1)
    if name == "shortcut_discovery":
        for kind in GENERATORS:
            # What a search proposes is no matter here.
            monkeypatch.setitem(GENERATORS, kind, Nothing)
        many = DataLoader(digits(0, 1000), 250)
        trainer(tmp_path, *callbacks, max_epochs=1).fit(Classifier(), many, val_loader())
    elif name.startswith("token_"):
        texts = text_runs.loader()
        trainer(tmp_path, *callbacks, max_epochs=1).fit(text_runs.BertClassifier(), texts, texts)
    else:
        run(tmp_path, *callbacks)
    assert all(callback.state.n_observations == 2 for callback in callbacks)


def test_files_merge_under_their_own_keys(tmp_path: Path) -> None:
    names = ("saliency_monitor", "randomization_test", "cue_alarm")
    config = composed(tmp_path, *names, overrides=("callbacks.saliency_monitor.probe=5",))
    callbacks = instantiated(config)
    assert [type(one) for one in callbacks] == [SaliencyMonitor, RandomizationTest, CueAlarm]
    assert callbacks[0].probe == Probe(5)
    assert callbacks[2].cue == PatchCue((-2, -2, 2, 2))


_EVERY_LIST = """
monitor:
  _target_: saliency_callbacks.SaliencyMonitor
  methods:
    - gradient
    - {_target_: saliency_callbacks.methods.IntegratedGradients, n_steps: 3, baselines: [zeros, mean]}
    - {class_path: saliency_callbacks.methods.GradCAM}
  probe: {_target_: saliency_callbacks.Probe, indices: [4, 1, 7]}
  target: tests.trainer.runs.image_mean
  target_layers: [net.0, net.2]
  appearance:
    normalization: [[0.5], [0.2]]
    class_names: [a, b, c, d, e, f, g, h, i, j]
  storage: {keep_maps: {last: 1, every: 2}}
  sinks:
    - {_target_: saliency_callbacks.sinks.DiskSink, directory: own}
    - {_target_: saliency_callbacks.sinks.MemorySink}
test:
  _target_: saliency_callbacks.RandomizationTest
  methods: [gradient]
  probe: 4
  target_layers: [net.2]
  draws: {_target_: saliency_callbacks.Draws, similarities: [spearman, cosine], n_draws: 2, max_mib: 64}
  cascade: {n_draws: 2}
alarm:
  _target_: saliency_callbacks.CueAlarm
  cue: {_target_: saliency_callbacks.probe.PatchCue, box: [0, 0, 2, 2], value: [1.0]}
  suspect_class: 0
  on_alarm: [warn, log]
  confirmation:
    method: {_target_: saliency_callbacks.methods.Gradient}
    target_layers: [net.0]
  appearance:
    _target_: saliency_callbacks.Appearance
    normalization: [[0.0], [1.0]]
    class_names: [a, b, c, d, e, f, g, h, i, j]
shift:
  _target_: saliency_callbacks.CueAlarm
  cue: {_target_: saliency_callbacks.probe.ChannelShiftCue, shift: {0: 0.25}}
  suspect_class: 1
"""


def test_hydras_own_lists_and_mappings(tmp_path: Path) -> None:
    config = OmegaConf.create(_EVERY_LIST)
    made = instantiate(config)
    monitor, test, alarm, shift = (made[name] for name in ("monitor", "test", "alarm", "shift"))
    expected = (Gradient(), IntegratedGradients(n_steps=3, baselines=["zeros", "mean"]), GradCAM())
    assert monitor.settings.methods == expected
    assert monitor.probe == Probe(indices=[4, 1, 7])
    assert monitor.target is image_mean
    assert [type(sink) for sink in monitor.sinks] == [DiskSink, MemorySink]
    assert monitor.appearance.normalization == ((0.5,), (0.2,))
    assert monitor.storage.keep_maps == {"last": 1, "every": 2}
    assert (test.draws.n_draws, test.draws.max_mib, test.cascade_settings.n_draws) == (2, 64, 2)
    assert alarm.confirmation.method == Gradient()
    assert shift.cue == ChannelShiftCue({0: 0.25})
    monitor.target = None
    callbacks: list[Any] = [monitor, test, alarm, shift]
    run(tmp_path, *callbacks)
    (entry, *_) = read_index(tmp_path / "saliency")["observations"]
    assert entry["methods"].keys() == {"gradient", "integrated_gradients", "grad_cam"}
    assert entry["methods"]["grad_cam"]["layer"] == "net.0+net.2"
    assert "randomization/gradient/cosine" in test.state.scores
    for callback in callbacks:
        assert_plain(vars(callback))


def test_a_target_for_embeddings() -> None:
    target = {"_target_": "saliency_callbacks.targets.SimilarityTarget", "reference": [0.5, -1.0]}
    reading = {"_target_": "saliency_callbacks.ModelReading", "outputs": "embeddings"}
    config = {"_target_": "saliency_callbacks.SaliencyMonitor", "target": target, "reading": reading}
    monitor = instantiate(OmegaConf.create(config))
    assert isinstance(monitor.target, SimilarityTarget)
    assert monitor.target.reference.tolist() == [0.5, -1.0]
    assert monitor.reading.outputs == "embeddings"
    assert_plain(vars(monitor))


def assert_plain(value: Any) -> None:
    """Nothing of Hydra's stays behind: it would be in pickles and checkpoints."""
    assert not isinstance(value, ListConfig | DictConfig)
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        assert_plain(one)
    if type(value).__module__.startswith("saliency_callbacks.") and hasattr(value, "__dict__"):
        assert_plain({name: one for name, one in vars(value).items() if name not in {"_writer", "state"}})


@pytest.mark.parametrize("target", ["", "_target_: saliency_callbacks.{}, "], ids=["mapping", "_target_"])
def test_a_group_is_a_mapping_or_an_object(target: str) -> None:
    group = {kind: "{" + target.format(kind) for kind in ("ModelReading", "Compute", "Appearance", "Confirmation")}
    alarm = instantiate(
        OmegaConf.create(
            f"""
            _target_: saliency_callbacks.CueAlarm
            cue: {{_target_: saliency_callbacks.probe.PatchCue, box: [0, 0, 2, 2]}}
            suspect_class: 0
            reading: {group["ModelReading"]}module: net, output_fn: torch.sigmoid}}
            compute: {group["Compute"]}precision: "32", seed: 3}}
            appearance: {group["Appearance"]}contour: 0.1, class_names: [a, b], normalization: [[0.5], [0.2]]}}
            confirmation: {group["Confirmation"]}method: grad_cam, target_layers: [net.0, net.2]}}
            """
        )
    )
    assert alarm.reading == ModelReading(module="net", output_fn="torch.sigmoid")
    assert alarm.compute == Compute(precision="32", seed=3)
    assert alarm.appearance == Appearance(contour=0.1, class_names=["a", "b"], normalization=[[0.5], [0.2]])
    assert alarm.confirmation == Confirmation(method="grad_cam", target_layers=["net.0", "net.2"])
    assert_plain(vars(alarm))


@pytest.mark.parametrize("written", ["fast", "trainer", '"32"', "32"])
def test_every_precision(written: str) -> None:
    given = OmegaConf.create(f"{{_target_: saliency_callbacks.SaliencyMonitor, compute: {{precision: {written}}}}}")
    assert str(instantiate(given).compute.precision) == written.strip('"')


def test_a_setting_of_a_group_from_the_command_line(tmp_path: Path) -> None:
    overrides = ("callbacks.saliency_monitor.storage.save_maps=true", "+callbacks.saliency_monitor.compute.seed=5")
    (monitor,) = instantiated(composed(tmp_path, "saliency_economy", overrides=overrides))
    assert (monitor.storage, monitor.compute) == (Storage(save_maps=True), Compute(seed=5))


def test_a_setting_outside_of_its_group_is_told_its_place() -> None:
    config = OmegaConf.create({"_target_": "saliency_callbacks.SaliencyMonitor", "save_maps": False})
    with pytest.raises(InstantiationException, match=r"expected it as storage=Storage\(save_maps=…\)"):
        instantiate(config)


def test_hydras_own_lists_for_texts(tmp_path: Path) -> None:
    config = OmegaConf.create({"_target_": "saliency_callbacks.TokenSaliencyMonitor", "tokenizer": text_runs.WORDS})
    config.update({"methods": ["gradient_norm"], "appearance": {"class_names": ["bad", "good"]}, "probe": 4})
    monitor = instantiate(config)
    texts = text_runs.loader()
    trainer(tmp_path, monitor, max_epochs=1).fit(text_runs.BertClassifier(), texts, texts)
    assert read_index(tmp_path / "tokens")["probe"]["class_names"] == ["bad", "good"]
    assert_plain(vars(monitor))
