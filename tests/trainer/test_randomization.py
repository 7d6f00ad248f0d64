"""The randomization test in a real Trainer."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from saliency_callbacks import Cascade, Compute, Probe, RandomizationTest, SaliencyMonitor, Storage
from saliency_callbacks.errors import ConfigurationError, SaliencyWarning
from saliency_callbacks.methods import Gradient, SmoothGrad
from saliency_callbacks.sinks import MemorySink, read_index, read_maps
from tests.grouping import every_setting, grouped, settings_in
from tests.trainer.runs import WEIGHTS_ONLY, Classifier, RecordingLogger, stages, train_loader, trainer, val_loader

_TAGS = {
    f"randomization/gradient/{name}"
    for name in (
        "similarity",
        "similarity_std",
        "floor",
        "floor_std",
        "calibrated",
        "calibrated_std",
        "drift",
        "random_logit",
        "abs_spearman",
        "abs_spearman_std",
        "abs_spearman_floor",
        "abs_spearman_floor_std",
    )
}


def _test(*, methods: Any = "gradient", **changes: Any) -> RandomizationTest:
    return RandomizationTest(
        methods, **grouped(RandomizationTest, **{"probe": 6, "n_draws": 2, "cascade_at_fit_end": False, **changes})
    )


def _fit(root: Path, *callbacks: L.Callback, module: Classifier | None = None, **changes: Any) -> L.Trainer:
    run = trainer(root, *callbacks, **changes)
    run.fit(Classifier() if module is None else module, train_loader(), val_loader())
    return run


def test_every_tag_is_logged_at_every_epoch(tmp_path: Path) -> None:
    logger = RecordingLogger(tmp_path)
    sink = MemorySink()
    run = _fit(tmp_path, _test(sinks=[sink], scalars="all"), logger=logger)
    assert stages(sink) == [("initial", 0), ("fit", 0), ("fit", 1), ("final", 1)]
    logged = {tag for _, metrics in logger.records for tag in metrics if tag.startswith("randomization/")}
    assert logged == _TAGS
    for tag in _TAGS:
        assert [step for step, _ in logger.of(tag)] == [snapshot.step for snapshot in sink.snapshots[:3]]
        # Early stopping ends a training at NaN.
        expected = float(torch.nan_to_num(torch.tensor(sink.snapshots[2].scores[tag])))
        assert float(run.callback_metrics[tag]) == pytest.approx(expected)
    scores = sink.snapshots[2].scores
    assert scores["randomization/gradient/drift"] == 1 - scores["randomization/gradient/similarity"]
    assert scores["randomization/gradient/calibrated"] == pytest.approx(
        (scores["randomization/gradient/similarity"] - scores["randomization/gradient/floor"])
        / (1 - scores["randomization/gradient/floor"])
    )


def test_the_untrained_network_is_one_of_the_random_ones(tmp_path: Path) -> None:
    """Before the training, the model's own maps are as far from those of random copies as these from each other."""
    sink = MemorySink()
    _fit(tmp_path, _test(methods=["gradient", "guided_backprop"], n_draws=5, sinks=[sink]), max_epochs=1)
    initial = sink.snapshots[0].scores
    for method in ("gradient", "guided_backprop"):
        difference = initial[f"randomization/{method}/similarity"] - initial[f"randomization/{method}/floor"]
        assert abs(difference) < 0.15


def test_the_same_random_copies_are_used_at_every_epoch(tmp_path: Path) -> None:
    sink = MemorySink()
    _fit(tmp_path, _test(sinks=[sink]))
    floors = [snapshot.scores["randomization/gradient/floor"] for snapshot in sink.snapshots]
    assert len(set(floors[:3])) == 1, "what is compared with is not what changes"


def test_the_end_of_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logger = TensorBoardLogger(tmp_path)
    sink = MemorySink()
    test = _test(methods=["gradient", "grad_cam"], cascade_at_fit_end=True, cascade_draws=2, sinks=[sink])
    _fit(tmp_path, test, logger=logger, max_epochs=1)
    assert test.cascade is not None
    assert test.cascade.steps == ("net.6", "net.2", "net.0")
    assert test.result is not None
    assert sink.snapshots[-1].markdown["randomization/verdicts"] == test.result.table()
    assert set(sink.pictures[-1]) == {"randomization/cascade"}
    events = EventAccumulator(logger.log_dir, size_guidance={"images": 0}).Reload()
    assert "randomization/cascade" in events.Tags()["images"]
    (text,) = events.Tensors("randomization/verdicts/text_summary")
    assert test.result.table() in text.tensor_proto.string_val[0].decode()
    entry = read_index(Path(logger.log_dir) / "randomization")["observations"][-1]
    assert entry["texts"] == dict(sink.snapshots[-1].texts)
    assert set(entry["tables"]) == set(sink.snapshots[-1].tables) == {"randomization/verdicts", "randomization/cascade"}
    assert entry["metadata"]["verdicts"] == test.result.verdicts


def test_values_behind_the_scores_are_kept(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    sink = MemorySink()
    _fit(tmp_path, _test(sinks=[sink]), logger=logger, max_epochs=1)
    directory = Path(logger.log_dir) / "randomization"
    entry = read_index(directory)["observations"][1]
    kept = read_maps(directory, entry)["samples/randomization/gradient/similarity"]
    assert kept.shape == (6,)
    assert float(kept.mean()) == pytest.approx(sink.snapshots[1].scores["randomization/gradient/similarity"], abs=1e-6)


def test_beside_a_monitor(tmp_path: Path) -> None:
    sinks = [MemorySink(), MemorySink()]
    _fit(tmp_path, SaliencyMonitor("gradient", 4, sinks=[sinks[0]]), _test(sinks=[sinks[1]]), max_epochs=1)
    assert stages(sinks[0]) == stages(sinks[1])[:2]


def test_two_tests_need_two_namespaces(tmp_path: Path) -> None:
    class BringsTwo(Classifier):
        def configure_callbacks(self) -> list[L.Callback]:
            return [_test(), _test(methods="grad_cam")]

    with pytest.raises(ConfigurationError, match="RandomizationTest and RandomizationTest both write to"):
        _fit(tmp_path, module=BringsTwo())


def test_a_resumed_run_goes_on(tmp_path: Path) -> None:
    module = Classifier()
    first = _test(target="initial_prediction")
    run = trainer(tmp_path, first, max_epochs=1)
    run.fit(module, train_loader(), val_loader())
    run.save_checkpoint(tmp_path / "run.ckpt")
    state = torch.load(tmp_path / "run.ckpt", weights_only=True)["callbacks"][first.state_key]
    assert state["n_observations"] == 2
    sink = MemorySink()
    second = _test(target="initial_prediction", sinks=[sink])
    again = trainer(tmp_path, second, max_epochs=2)
    again.fit(Classifier(seed=5), train_loader(), val_loader(), ckpt_path=tmp_path / "run.ckpt", **WEIGHTS_ONLY)
    assert stages(sink) == [("fit", 1), ("final", 1)]
    assert second.state.indices == first.state.indices
    assert torch.equal(second.state.pinned, first.state.pinned)


def test_an_error_in_the_middle_leaves_the_trained_weights(tmp_path: Path) -> None:
    class Fails:
        name = "fails"
        calls = 0

        def requires(self) -> Any:
            return Gradient().requires()

        def attribute(self, evidence: Any) -> Any:
            Fails.calls += 1
            if Fails.calls > 2:
                raise ValueError("in a random state")
            return Gradient().attribute(evidence)

    class Keeps(L.Callback):
        def on_train_batch_start(self, run: L.Trainer, module: L.LightningModule, *args: Any) -> None:
            weights.append(module.net[0].weight.detach().clone())

    weights: list[torch.Tensor] = []
    with pytest.warns(SaliencyWarning, match="in a random state"):
        _fit(tmp_path, _test(methods=[Fails()]), Keeps(), max_epochs=1)
    assert torch.equal(weights[0], Classifier().net[0].weight)


def test_scores_can_be_monitored(tmp_path: Path) -> None:
    stopping = EarlyStopping("randomization/gradient/floor", patience=1, mode="max")
    run = _fit(tmp_path, _test(), stopping, max_epochs=6)
    assert run.current_epoch == 2, "the floor does not change"


def test_a_validation_on_its_own(tmp_path: Path) -> None:
    sink = MemorySink()
    test = _test(sinks=[sink])
    trainer(tmp_path, test).validate(Classifier(), val_loader(), verbose=False)
    assert stages(sink) == [("validate", 0)]
    assert test.result is not None
    assert test.state.n_observations == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order": "top_dwon"}, "did you mean 'top_down'"),
        ({"n_draws": 1}, "n_draws=1; expected a whole number of at least 2"),
        ({"cascade_draws": 0}, "cascade.n_draws=0"),
        ({"similarities": ["speerman"]}, "did you mean 'spearman'"),
        ({"randomize": "shuffle"}, "randomize='shuffle' is unknown"),
        ({"methods": "gradientt"}, "did you mean 'gradient'"),
        ({"target": "labell"}, "did you mean 'label'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_argument(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        _test(**arguments)


@pytest.mark.filterwarnings("ignore:the model returns 64 values")
def test_a_model_without_weights_is_an_error_before_the_training(tmp_path: Path) -> None:
    module = Classifier()
    module.pixels = torch.nn.Flatten()
    with pytest.raises(ConfigurationError, match="Flatten has no parameters to randomize"):
        trainer(tmp_path, _test(module="pixels")).fit(module, train_loader(), val_loader())


_EVERY_ARGUMENT = """
methods: [gradient, {class_path: saliency_callbacks.methods.SmoothGrad, init_args: {nt_samples: 2}}]
probe: {class_path: saliency_callbacks.Probe, init_args: {size: 5}}
target: 3
target_layers: [net.0]
tokenizer: tests.trainer.runs.image_mean
draws:
  n_draws: 3
  order: bottom_up
  randomize: torch.nn.init.calculate_gain
  similarities: [ssim, spearman]
  random_logit: false
  max_mib: 64
cascade: {at_fit_end: false, order: bottom_up, n_draws: 4, max_seconds: 20}
every_n_epochs: 2
reading:
  module: net
  output_fn: torch.sigmoid
  attribute_to: x
  outputs: logits
  shared: [mask, 2]
  layout: NCHW
  reshape_transform: torch.relu
  embedding: net.words
  tokenizer: null
compute:
  internal_batch_size: 2
  precision: "32"
  max_seconds_per_observation: 2.5
  shard_probe: true
  seed: 7
storage: {save_maps: false, keep_maps: 5, directory: kept, scalars: all}
sinks: []
on_error: raise
namespace: trust
"""


def test_every_argument_can_be_written_as_yaml(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = yaml.safe_load(_EVERY_ARGUMENT)
    assert settings_in(RandomizationTest, arguments) == every_setting(RandomizationTest), "none is forgotten"
    path = tmp_path / "config.yaml"
    callback = {"class_path": "saliency_callbacks.RandomizationTest", "init_args": arguments}
    path.write_text(yaml.safe_dump({"trainer": {"callbacks": [callback], "accelerator": "cpu", "logger": False}}))

    def configured(config: Path, *more: str) -> RandomizationTest:
        monkeypatch.setattr(sys, "argv", ["train.py", "--config", str(config), *more])
        cli = LightningCLI(Classifier, run=False, save_config_callback=None, seed_everything_default=0)
        return next(one for one in cli.trainer.callbacks if isinstance(one, RandomizationTest))

    first = configured(path)
    with pytest.raises(SystemExit):
        configured(path, "--print_config")
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    for test in (first, configured(printed)):
        assert test.settings.methods == (Gradient(), SmoothGrad(nt_samples=2))
        assert test.probe == Probe(5)
        assert (test.target, test.draws.order, test.draws.n_draws, test.every_n_epochs) == (3, "bottom_up", 3, 2)
        assert test.cascade_settings == Cascade(at_fit_end=False, order="bottom_up", n_draws=4, max_seconds=20)
        assert not test.draws.random_logit
        assert test.draws.max_mib == 64
        assert test.redraw is torch.nn.init.calculate_gain
        assert [similarity.name for similarity in test.similarities] == ["spearman", "ssim"]
        assert (test.reading.module, test.on_error, test.namespace) == ("net", "raise", "trust")
        assert test.storage == Storage(save_maps=False, keep_maps=5, directory="kept", scalars="all")
        assert test.compute == Compute(2, "32", 2.5, shard_probe=True, seed=7)
        assert test.settings.seed == 7


def test_it_says_nothing_before_it_ran_and_can_be_pickled() -> None:
    test = pickle.loads(pickle.dumps(_test()))
    assert test.result is None
    assert test.cascade is None
