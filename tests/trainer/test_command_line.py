"""Every argument can be written in the configuration of a ``LightningCLI``."""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import docstring_parser
import lightning as L
import pytest
import torch
import yaml
from lightning.pytorch.cli import LightningCLI
from torch.utils.data import DataLoader

from saliency_callbacks import (
    CueAlarm,
    FaithfulnessTest,
    Localization,
    Probe,
    RandomizationTest,
    SaliencyMonitor,
    ShortcutDiscovery,
    TokenSaliencyMonitor,
)
from saliency_callbacks.callbacks.base import ObservingCallback
from saliency_callbacks.discovery.kinds import GENERATORS
from saliency_callbacks.methods import Gradient, IntegratedGradients
from saliency_callbacks.sinks import DiskSink, read_index
from saliency_callbacks.targets import ContrastTarget, DetectionTarget, SegmentationTarget, SimilarityTarget
from tests.discovery.planted import Nothing
from tests.trainer import text_runs
from tests.trainer.runs import Classifier, as_pair, digits, image_mean, train_loader, val_loader

_EXAMPLE = Path(__file__).parents[2] / "configs" / "saliency_monitor.yaml"

_EVERY_ARGUMENT = """
methods:
  - gradient
  - class_path: saliency_callbacks.methods.IntegratedGradients
    init_args:
      n_steps: 3
      baselines: mean
probe:
  class_path: saliency_callbacks.Probe
  init_args:
    size: 5
    source: train
    dataloader_idx: 0
    stratify: false
    seed: 3
    unpack_batch: tests.trainer.runs.as_pair
target: tests.trainer.runs.image_mean
target_layers: [net.0, net.2]
every_n_epochs: 2
reading:
  module: net
  output_fn: torch.sigmoid
  attribute_to: x
  outputs: logits
  shared: [mask, 2]
  layout: NCHW
  reshape_transform: torch.relu
  embedding: null
  tokenizer: null
compute:
  internal_batch_size: 2
  precision: "32"
  max_seconds_per_observation: 2.5
  shard_probe: true
  seed: 7
appearance:
  style: signed
  color_scale: per_map
  colormap: viridis
  alpha: 0.3
  contour: 0.2
  normalization: [[0.5], [0.2]]
  bands: [2, 1, 0]
  axis_names: [depth, height, width]
  class_names: [a, b]
localization:
  mask: otsu
  foreground: 0.9
  background: 0.2
  longest_side: 64
storage:
  save_maps: true
  keep_maps:
    last: 5
    every: 10
  directory: kept
  scalars: ["*/gini"]
report: true
sinks:
  - class_path: saliency_callbacks.sinks.DiskSink
    init_args:
      directory: elsewhere
      pictures: true
on_error: raise
namespace: look
"""

_EVERY_ARGUMENT_OF_THE_TEST = """
methods:
  - gradient
  - class_path: saliency_callbacks.methods.SmoothGrad
    init_args:
      nt_samples: 3
probe: 5
target: predicted
target_layers: net.0
tokenizer: [a, b]
draws:
  n_draws: 3
  order: bottom_up
  randomize: permute
  similarities: [abs_spearman, cosine]
  random_logit: false
  max_mib: 64
cascade:
  at_fit_end: false
  order: bottom_up
  n_draws: 4
  max_seconds: 20
every_n_epochs: 2
reading:
  module: net
  output_fn: torch.sigmoid
  attribute_to: 0
  outputs: logits
  shared: [mask, 2]
  layout: NCHW
  reshape_transform: torch.relu
  embedding: auto
  tokenizer: null
compute:
  internal_batch_size: 2
  precision: 32
  max_seconds_per_observation: 2
  shard_probe: true
  seed: 7
storage:
  save_maps: false
  keep_maps: 50
  directory: kept
  scalars: ["*/gini"]
sinks:
  - class_path: saliency_callbacks.sinks.MemorySink
on_error: raise
namespace: trust
"""

_EVERY_ARGUMENT_OF_FAITHFULNESS = """
methods:
  - gradient
  - class_path: saliency_callbacks.methods.LeGrad
    init_args:
      layers: 4
      score: output
probe: 5
target:
  class_path: saliency_callbacks.targets.ContrastTarget
  init_args:
    a: label
    b: second
target_layers: net.0
tokenizer: [a, b]
perturbation:
  shares: [0.1, 0.5]
  replacements: blurred
  noise: 0.1
  n_noisy: 2
every_n_epochs: 2
reading:
  module: net
  output_fn: torch.sigmoid
  attribute_to: 0
  outputs: logits
  shared: [mask, 2]
  layout: NCHW
  reshape_transform: torch.relu
  embedding: auto
  tokenizer: null
compute:
  internal_batch_size: 2
  precision: fast
  max_seconds_per_observation: 2
  shard_probe: true
  seed: 7
storage:
  save_maps: false
  keep_maps: 50
  directory: kept
  scalars: ["*/*_gain"]
sinks:
  - class_path: saliency_callbacks.sinks.MemorySink
on_error: raise
namespace: removed
"""

_EVERY_ARGUMENT_OF_THE_ALARM = """
cue:
  class_path: saliency_callbacks.probe.PatchCue
  init_args:
    box: [-2, -2, 2, 2]
    value: [0.5]
    name: corner
suspect_class: 3
probe:
  class_path: saliency_callbacks.Probe
  init_args:
    size: 9
    masks: tests.trainer.runs.image_mean
    groups: tests.trainer.runs.image_mean
rule:
  statistic: contrast
  threshold: 0.5
  patience: 3
  confidence: 0.9
  n_bootstrap: 50
on_alarm: [warn, stop, tests.trainer.runs.as_pair]
confirmation:
  method:
    class_path: saliency_callbacks.methods.Gradient
    init_args:
      reduction: l2
  target_layers: [net.0]
  panel_size: 4
  removal: noise
  groups_at_fit_end: false
  groups_every_n_epochs: 2
every_n_epochs: 2
reading:
  module: net
  output_fn: torch.sigmoid
  attribute_to: x
  outputs: logits
  shared: [mask, 2]
  layout: NCHW
  reshape_transform: torch.relu
  embedding: null
  tokenizer: null
compute:
  internal_batch_size: 2
  precision: "32"
  max_seconds_per_observation: null
  shard_probe: true
  seed: 7
appearance:
  style: heatmap
  color_scale: per_map
  colormap: viridis
  alpha: 0.3
  contour: 0.2
  normalization: [[0.5], [0.2]]
  bands: [2, 1, 0]
  axis_names: [depth, height, width]
  class_names: [a, b]
storage:
  save_maps: false
  keep_maps: all
  directory: kept
  scalars: ["*/gini"]
sinks: []
on_error: raise
namespace: suspicion
"""

_EVERY_ARGUMENT_FOR_TEXTS = """
methods:
  - gradient_norm
  - class_path: saliency_callbacks.methods.IntegratedGradients
    init_args:
      n_steps: 3
      baselines: mask_token
probe:
  class_path: saliency_callbacks.Probe
  init_args:
    size: 5
    unpack_batch: tests.trainer.runs.as_pair
tokenizer: tests.trainer.text_runs.WORDS
target: tests.trainer.runs.image_mean
words: tests.trainer.test_tokens.in_twos
every_n_epochs: 2
reading:
  module: model
  output_fn: torch.sigmoid
  attribute_to: input_ids
  outputs: logits
  shared: [mask, 2]
  layout: null
  reshape_transform: null
  embedding: model.bert.embeddings.word_embeddings
  tokenizer: null
compute:
  internal_batch_size: 2
  precision: "32"
  max_seconds_per_observation: 2.5
  shard_probe: true
  seed: 7
appearance:
  merge: max
  color_scale: per_map
  bars: 2
  top: 3
  font: /usr/share/fonts/font.ttf
  class_names: [bad, good]
storage:
  save_maps: true
  keep_maps: 5
  directory: kept
  scalars: ["*/gini"]
report: true
sinks:
  - class_path: saliency_callbacks.sinks.MemorySink
on_error: raise
namespace: words
"""

_EVERY_ARGUMENT_OF_THE_DISCOVERY = """
probe:
  class_path: saliency_callbacks.Probe
  init_args: {size: 60, source: train, seed: 3}
every_n_epochs: 3
kinds: [places, copies]
threshold: 0.5
on_suspicion: [stop, tests.trainer.test_shortcut_discovery.note]
watch: true
max_seconds: 2.5
reading:
  module: net
  output_fn: torch.sigmoid
  attribute_to: x
  reshape_transform: torch.relu
  outputs: logits
  shared: [prompt]
  layout: NCHW
  embedding: null
  tokenizer: null
compute:
  internal_batch_size: 2
  precision: "32"
  max_seconds_per_observation: 2.5
  shard_probe: true
  seed: 7
appearance:
  style: signed
  color_scale: per_map
  colormap: viridis
  alpha: 0.3
  contour: 0.2
  normalization: [[0.5], [0.2]]
  class_names: [a, b]
  bands: [0]
  axis_names: [depth, height, width]
storage:
  save_maps: false
  keep_maps: 5
  directory: kept
  scalars: ["*/gini"]
sinks:
  - class_path: saliency_callbacks.sinks.MemorySink
on_error: raise
namespace: found
"""

_EVERY_ARGUMENT_OF = {
    SaliencyMonitor: _EVERY_ARGUMENT,
    RandomizationTest: _EVERY_ARGUMENT_OF_THE_TEST,
    FaithfulnessTest: _EVERY_ARGUMENT_OF_FAITHFULNESS,
    CueAlarm: _EVERY_ARGUMENT_OF_THE_ALARM,
    TokenSaliencyMonitor: _EVERY_ARGUMENT_FOR_TEXTS,
    ShortcutDiscovery: _EVERY_ARGUMENT_OF_THE_DISCOVERY,
}


class Digits(L.LightningDataModule):
    """The digits, for a command line."""

    def train_dataloader(self) -> DataLoader:
        return train_loader()

    def val_dataloader(self) -> DataLoader:
        return val_loader()


class ManyDigits(Digits):
    """As many of them as a search asks for."""

    def train_dataloader(self) -> DataLoader:
        return DataLoader(digits(0, 1000), 250)


class Texts(L.LightningDataModule):
    """Batches of texts as dictionaries, for a command line."""

    def train_dataloader(self) -> DataLoader:
        return text_runs.loader()

    def val_dataloader(self) -> DataLoader:
        return text_runs.loader()


def _config(tmp_path: Path, arguments: dict[str, Any], kind: type = SaliencyMonitor) -> Path:
    callback = {"class_path": f"saliency_callbacks.{kind.__name__}", "init_args": arguments}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"trainer": {"callbacks": [callback]}}))
    return path


def _cli(
    monkeypatch: pytest.MonkeyPatch,
    *arguments: Any,
    run: bool = False,
    of_texts: bool = False,
    data: type[Digits] = Digits,
) -> LightningCLI:
    silent = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    given = [*map(str, arguments), "--trainer.accelerator=cpu", *(f"--trainer.{name}=false" for name in silent)]
    monkeypatch.setattr(sys, "argv", ["train.py", *(["fit"] if run else []), *given])
    model, module = (text_runs.BertClassifier, Texts) if of_texts else (Classifier, data)
    return LightningCLI(model, module, run=run, save_config_callback=None, seed_everything_default=0)


def _monitor(cli: LightningCLI) -> SaliencyMonitor:
    (monitor,) = (callback for callback in cli.trainer.callbacks if isinstance(callback, SaliencyMonitor))
    return monitor


def _settings(monitor: SaliencyMonitor) -> dict[str, Any]:
    names = inspect.signature(SaliencyMonitor).parameters.keys() - {"sinks"} | {"settings"}
    return {name: value for name, value in vars(monitor).items() if name in names}


def test_a_run_of_the_example_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = ["--trainer.default_root_dir", tmp_path, "--trainer.max_epochs", 1, "--trainer.log_every_n_steps", 1]
    cli = _cli(monkeypatch, "--config", _EXAMPLE, *root, run=True)
    assert "saliency/grad_cam/drift_initial" in cli.trainer.callback_metrics
    assert [entry["stage"] for entry in read_index(tmp_path / "saliency")["observations"]] == ["initial", "fit"]
    assert _settings(_monitor(cli)) == _settings(SaliencyMonitor())


def test_a_run_of_the_alarm_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = ["--trainer.default_root_dir", tmp_path, "--trainer.max_epochs", 1, "--trainer.log_every_n_steps", 1]
    cli = _cli(monkeypatch, "--config", _EXAMPLE.with_name("cue_alarm.yaml"), *root, run=True)
    assert {"cue/patch/effect", "randomization/gradient/similarity"} <= cli.trainer.callback_metrics.keys()


def _groups(kind: type) -> dict[str, type]:
    """Return the groups of settings that a callback takes: argument → class."""
    return {name: one for name, one in get_type_hints(kind.__init__).items() if is_dataclass(one) and one is not Probe}


def _own(cli: LightningCLI) -> list[ObservingCallback]:
    return [callback for callback in cli.trainer.callbacks if isinstance(callback, ObservingCallback)]


def _public(callback: ObservingCallback) -> dict[str, Any]:
    """Everything that a callback was given; sinks by their class."""
    # What a run finds, and what Lightning adds.
    later = {"state", "cost", "groups", "result", "cascade", "log", "log_dict"}
    given = {name: value for name, value in vars(callback).items() if not name.startswith("_") and name not in later}
    return {**given, "sinks": [type(sink) for sink in callback.sinks]}


def _printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], written: Path, to: Path) -> Path:
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        _cli(monkeypatch, "--config", written, "--print_config")
    assert exit_.value.code == 0
    to.write_text(capsys.readouterr().out)
    return to


@pytest.mark.parametrize("kind", _EVERY_ARGUMENT_OF, ids=lambda kind: kind.__name__)
def test_every_argument_survives_a_printed_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: type
) -> None:
    arguments = yaml.safe_load(_EVERY_ARGUMENT_OF[kind])
    assert arguments.keys() == inspect.signature(kind).parameters.keys(), "none is forgotten"
    assert set(_groups(kind)) >= {"reading", "compute", "storage"}
    for name, group in _groups(kind).items():
        assert arguments[name].keys() == {one.name for one in fields(group)}, f"none of {name} is forgotten"
    written = _config(tmp_path, arguments, kind)
    (first,) = _own(_cli(monkeypatch, "--config", written))
    printed = _printed(monkeypatch, capsys, written, tmp_path / "printed.yaml")
    (second,) = _own(_cli(monkeypatch, "--config", printed))
    assert type(first) is kind
    assert _public(first) == _public(second)
    for name, group in _groups(kind).items():
        kept = vars(first)["cascade_settings" if name == "cascade" else name]
        assert type(kept) is group
        differing = [field for field, value in arguments[name].items() if getattr(group(), field) != value]
        assert all(getattr(kept, field) != getattr(group(), field) for field in differing)


@pytest.mark.parametrize(
    "tokenizer", ["tests.trainer.text_runs.WORDS", text_runs.WORDS, "tests.trainer.text_runs.TOKENIZER"], ids=type
)
def test_a_tokenizer_by_its_dotted_path_or_as_a_list(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tokenizer: Any
) -> None:
    written = _config(tmp_path, {"tokenizer": tokenizer, "methods": "gradient_norm"}, TokenSaliencyMonitor)
    root = ["--trainer.default_root_dir", tmp_path, "--trainer.max_epochs", 1, "--trainer.log_every_n_steps", 1]
    _cli(monkeypatch, "--config", written, *root, run=True, of_texts=True)
    (first, *_) = read_index(tmp_path / "tokens")["probe"]["tokens"]
    assert first[0] == "[CLS]"
    assert "film" in first


@pytest.mark.parametrize("path", sorted(_EXAMPLE.parent.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_configuration_runs_and_survives_being_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], path: Path
) -> None:
    root = ["--trainer.default_root_dir", tmp_path, "--trainer.max_epochs", 1, "--trainer.log_every_n_steps", 1]
    searches = path.stem == "shortcut_discovery"
    for name in GENERATORS if searches else ():
        # What a search proposes is no matter here.
        monkeypatch.setitem(GENERATORS, name, Nothing)
    data = ManyDigits if searches else Digits
    cli = _cli(monkeypatch, "--config", path, *root, run=True, of_texts=path.stem == "text", data=data)
    callbacks = _own(cli)
    assert callbacks
    assert all(callback.state.n_observations == 2 for callback in callbacks)
    printed = _printed(monkeypatch, capsys, path, tmp_path / "printed.yaml")
    again = _own(_cli(monkeypatch, "--config", printed))
    for first, second in zip(callbacks, again, strict=True):
        assert _public(first) == _public(second)


def test_every_argument(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arguments = yaml.safe_load(_EVERY_ARGUMENT)
    assert arguments.keys() == inspect.signature(SaliencyMonitor).parameters.keys(), "none is forgotten"
    monitor = _monitor(_cli(monkeypatch, "--config", _config(tmp_path, arguments)))
    assert monitor.settings.methods == (Gradient(), IntegratedGradients(n_steps=3, baselines="mean"))
    assert monitor.probe == Probe(5, "train", stratify=False, seed=3, unpack_batch=monitor.probe.unpack_batch)
    assert monitor.probe.unpack_batch in ("tests.trainer.runs.as_pair", as_pair)
    assert monitor.target is image_mean
    assert list(monitor.settings.target_layers) == ["net.0", "net.2"]
    assert monitor.settings.reshape_transform is torch.relu
    assert monitor.settings.output_fn is torch.sigmoid
    assert monitor.settings.attribute_to == "x"
    assert monitor.settings.internal_batch_size == 2
    assert monitor.settings.full_precision
    assert monitor.settings.seed == 7
    assert (monitor.reading.module, monitor.every_n_epochs) == ("net", 2)
    look = monitor.appearance
    assert (look.style, look.color_scale, look.colormap, look.alpha) == ("signed", "per_map", "viridis", 0.3)
    assert (look.contour, monitor.report) == (0.2, True)
    assert monitor.localization == Localization("otsu", 0.9, 0.2, 64)
    assert look.normalization == ((0.5,), (0.2,))
    assert list(look.class_names) == ["a", "b"]
    assert (monitor.storage.save_maps, monitor.on_error, monitor.namespace) == (True, "raise", "look")
    (sink,) = monitor.sinks
    assert isinstance(sink, DiskSink)
    assert (sink.directory.name, sink.keeps_pictures) == ("elsewhere", True)


@pytest.mark.parametrize(
    ("arguments", "name", "expected"),
    [
        ({"methods": "gradient"}, "methods", (Gradient(),)),
        ({"target": 3}, "target", 3),
        ({"target": "predicted"}, "target", "predicted"),
        ({"probe": 8}, "probe", Probe(8)),
        ({"target_layers": "net.0"}, "target_layers", "net.0"),
        ({"reading": {"attribute_to": 1}}, "attribute_to", 1),
        ({}, "target", None),
    ],
    ids=str,
)
def test_other_forms(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: dict[str, Any], name: str, expected: Any
) -> None:
    monitor = _monitor(_cli(monkeypatch, "--config", _config(tmp_path, arguments)))
    found = {**_settings(monitor), **vars(monitor.settings)}[name]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("reference", ["initial", [0.5, -1.0]])
def test_a_target_for_embeddings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reference: Any) -> None:
    target = {"class_path": "saliency_callbacks.targets.SimilarityTarget", "init_args": {"reference": reference}}
    monitor = _monitor(_cli(monkeypatch, "--config", _config(tmp_path, {"target": target})))
    assert isinstance(monitor.target, SimilarityTarget)
    found = monitor.target.reference
    assert (found if monitor.target.is_open else found.tolist()) == reference


@pytest.mark.parametrize(
    "target",
    [
        ContrastTarget("cat", "second"),
        DetectionTarget("cat", box="annotation"),
        DetectionTarget(1, box=[1.0, 2.0, 3.0, 4.0]),
        SegmentationTarget(1, "predicted"),
    ],
    ids=repr,
)
def test_targets_with_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: Any) -> None:
    names = inspect.signature(type(target)).parameters
    given = {name: getattr(target, name) for name in names}
    given = {name: value.tolist() if isinstance(value, torch.Tensor) else value for name, value in given.items()}
    written = {"class_path": f"saliency_callbacks.targets.{type(target).__name__}", "init_args": given}
    monitor = _monitor(_cli(monkeypatch, "--config", _config(tmp_path, {"target": written})))
    assert monitor.target == target


def test_a_printed_configuration_gives_the_same_monitor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = _config(tmp_path, yaml.safe_load(_EVERY_ARGUMENT))
    first = _monitor(_cli(monkeypatch, "--config", written))
    with pytest.raises(SystemExit) as exit_:
        _cli(monkeypatch, "--config", written, "--print_config")
    assert exit_.value.code == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    second = _monitor(_cli(monkeypatch, "--config", printed))
    assert _settings(first) == _settings(second)
    assert second.sinks[0].directory == first.sinks[0].directory


def test_a_mistake_in_a_configuration_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'grad_camm' is unknown; did you mean 'grad_cam'"):
        _cli(monkeypatch, "--config", _config(tmp_path, {"methods": ["grad_camm"]}))


def _options(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: type) -> dict[str, str]:
    """Return what ``--help`` prints of a callback: option → its text."""
    # Of such a width no text is wrapped.
    monkeypatch.setenv("COLUMNS", "10000")
    monkeypatch.setattr(sys, "argv", ["train.py", f"--trainer.callbacks.help=saliency_callbacks.{kind.__name__}"])
    with pytest.raises(SystemExit) as exit_:
        LightningCLI(Classifier, Digits, run=False)
    assert exit_.value.code == 0
    entries = re.split(r"^  --trainer\.callbacks\.", capsys.readouterr().out, flags=re.MULTILINE)[1:]
    texts = {entry.split(maxsplit=1)[0]: entry.partition("\n")[2].partition("\n\n")[0] for entry in entries}
    return {name: " ".join(text.split()) for name, text in texts.items() if not name.endswith(".help")}


def _documented(kind: type) -> dict[str, str]:
    """Return what a docstring says of each argument."""
    found = {one.arg_name: one.description for one in docstring_parser.parse(inspect.getdoc(kind) or "").params}
    return {name: " ".join((text or "").split()) for name, text in found.items()}


@pytest.mark.parametrize("kind", _EVERY_ARGUMENT_OF, ids=lambda kind: kind.__name__)
def test_help_prints_the_whole_text_of_every_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: type
) -> None:
    groups = _groups(kind)
    expected = {name: _documented(kind)[name] for name in inspect.signature(kind).parameters if name not in groups}
    for name, group in groups.items():
        expected.update({f"{name}.{one.name}": _documented(group)[one.name] for one in fields(group)})
    options = _options(monkeypatch, capsys, kind)
    assert options.keys() == expected.keys()
    for name, text in expected.items():
        assert text, name
        assert text in options[name]
        assert not re.search("as for|as of :", text.lower()), name
