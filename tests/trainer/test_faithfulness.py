"""The test of faithfulness in a real Trainer."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from saliency_callbacks import Compute, FaithfulnessTest, ModelReading, Probe, SaliencyMonitor, Storage
from saliency_callbacks.callbacks.runtime import packages
from saliency_callbacks.callbacks.shared_pass import union
from saliency_callbacks.errors import ConfigurationError, DegenerateMapWarning
from saliency_callbacks.methods import ExternalMethod
from saliency_callbacks.sinks import MemorySink, read_index
from tests.grouping import grouped
from tests.trainer import text_runs
from tests.trainer.runs import N_VAL, Classifier, RecordingLogger, stages, train_loader, trainer, val_loader

_GAINS = ("deletion_gain", "insertion_gain")
_TAGS = {
    *(f"{gain}{end}" for gain in _GAINS for end in ("", "_lower", "_upper", "_inpainted", "_blurred")),
    "stability",
    "stability_lower",
    "stability_upper",
    "undefined",
    "n_forwards",
}


def _test(
    sink: MemorySink | None = None, *, methods: Any = "gradient", probe: Any = 6, **changes: Any
) -> FaithfulnessTest:
    settings = {"save_maps": False, "on_error": "raise", "sinks": [] if sink is None else [sink], **changes}
    return FaithfulnessTest(methods, probe, **grouped(FaithfulnessTest, **settings))


def _fit(root: Path, *callbacks: L.Callback, module: Any = None, **changes: Any) -> L.Trainer:
    run = trainer(root, *callbacks, **changes)
    run.fit(Classifier() if module is None else module, train_loader(), val_loader())
    return run


def _same(first: MemorySink, second: MemorySink) -> bool:
    return [repr(dict(one.scores)) for one in first.snapshots] == [repr(dict(one.scores)) for one in second.snapshots]


def test_every_tag_is_logged_at_every_epoch_and_can_be_monitored(tmp_path: Path) -> None:
    logger, sink = RecordingLogger(tmp_path), MemorySink()
    stopping = EarlyStopping("faithfulness/gradient/deletion_gain", mode="max", patience=9)
    run = _fit(tmp_path, _test(sink, scalars="all"), stopping, logger=logger)
    assert stages(sink) == [("initial", 0), ("fit", 0), ("fit", 1), ("final", 1)]
    logged = {tag for _, metrics in logger.records for tag in metrics if tag.startswith("faithfulness/")}
    assert logged == {f"faithfulness/gradient/{name}" for name in _TAGS}
    for tag in logged:
        assert float(run.callback_metrics[tag]) == pytest.approx(sink.snapshots[2].scores[tag], nan_ok=True)
    scores = sink.snapshots[2].scores
    # 8 in its own order and 4 elsewhere, and alone with what all methods share: the samples, and all replaced (2).
    assert scores["faithfulness/gradient/n_forwards"] == 15
    assert 0 < scores["faithfulness/gradient/stability"] <= 1
    for gain in _GAINS:
        ends = [scores[f"faithfulness/gradient/{gain}{end}"] for end in ("_lower", "", "_upper")]
        assert ends == sorted(ends)
        values = sink.snapshots[2].sample_scores[f"faithfulness/gradient/{gain}"]
        assert float(values.abs().nan_to_num().max()) <= 1


def test_one_sample_has_no_interval(tmp_path: Path) -> None:
    sink = MemorySink()
    _fit(tmp_path, _test(sink, probe=1), max_epochs=1)
    assert {tag.rpartition("/")[2] for tag in sink.latest.scores} == {
        tag for tag in _TAGS if not tag.endswith(("_lower", "_upper"))
    }


def test_few_scores_are_drawn_with_a_table_and_curves(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    sink = MemorySink()
    _fit(tmp_path, _test(sink, methods=["gradient", "grad_cam"], save_maps=True), logger=logger, max_epochs=1)
    events = EventAccumulator(logger.log_dir, size_guidance={"images": 0}).Reload()
    drawn = {tag for tag in events.Tags()["scalars"] if tag.startswith("faithfulness/")}
    names = (*_GAINS, "stability")
    assert drawn == {f"faithfulness/{method}/{name}" for method in ("gradient", "grad_cam") for name in names}
    pictures = {f"faithfulness/{method}/curves" for method in ("gradient", "grad_cam")}
    assert pictures <= set(events.Tags()["images"])
    (text,) = events.Tensors("faithfulness/summary/text_summary")
    assert "do not show that a map is right" in text.tensor_proto.string_val[0].decode()
    entry = read_index(Path(logger.log_dir) / "faithfulness")["observations"][1]
    assert set(entry["pictures"]) == pictures
    assert entry["metadata"]["replacements"] == ["inpainted", "blurred"]


@pytest.mark.parametrize("target", [None, "predicted", lambda output: -output[:, 3]])
def test_maps_are_computed_once_for_it_and_a_monitor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Any
) -> None:
    n_wanted: list[int] = []
    explained = union.run_together
    monkeypatch.setattr(union, "run_together", lambda *given: (n_wanted.append(len(given[-1])), explained(*given))[1])
    together, alone = MemorySink(), MemorySink()
    monitor = SaliencyMonitor(["gradient", "grad_cam"], 6, target, storage=Storage(save_maps=False))
    _fit(tmp_path, _test(together, target=target, methods=["grad_cam"]), monitor, max_epochs=1)
    assert n_wanted[-1] == 2
    _fit(tmp_path, _test(alone, target=target, methods=["grad_cam"]), max_epochs=1)
    assert _same(together, alone)


@pytest.mark.parametrize("changes", [{"internal_batch_size": 2}, {"precision": "32"}])
def test_what_it_costs_does_not_change_what_is_found(tmp_path: Path, changes: dict[str, Any]) -> None:
    sinks = MemorySink(), MemorySink()
    for sink, settings in zip(sinks, ({}, changes), strict=True):
        _fit(tmp_path, _test(sink, **settings), max_epochs=1)
    for one, other in zip(*(sink.snapshots for sink in sinks), strict=True):
        assert dict(other.scores) == pytest.approx(dict(one.scores), abs=1e-4, nan_ok=True)


def test_the_shown_samples_of_a_large_probe_are_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(packages, "rank_zero_info", lines.append)
    sinks = MemorySink(), MemorySink()
    for sink, probe in zip(sinks, (Probe(N_VAL, shown=4), Probe(4)), strict=True):
        _fit(tmp_path, _test(sink, probe=probe), max_epochs=1)
    assert _same(*sinks)
    assert len([line for line in lines if "the 4 samples that are shown of the 40" in line]) == 1


def test_it_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    whole, first, second = MemorySink(), MemorySink(), MemorySink()
    _fit(tmp_path, _test(whole), max_epochs=2)
    run = _fit(tmp_path, _test(first), max_epochs=1)
    run.save_checkpoint(tmp_path / "last.ckpt")
    later = trainer(tmp_path, _test(second), max_epochs=2)
    later.fit(Classifier(), train_loader(), val_loader(), ckpt_path=tmp_path / "last.ckpt")
    assert repr(dict(second.latest.scores)) == repr(dict(whole.latest.scores))


class Dead(Classifier):
    """A classifier whose outputs do not depend on the images."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) * 0 + torch.arange(10.0)


class NoNumbers(Classifier):
    """A classifier that has diverged."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) / 0


@pytest.mark.parametrize("module", [Dead, NoNumbers])
def test_what_cannot_be_tested_has_no_gain(tmp_path: Path, module: Any) -> None:
    sink = MemorySink()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _fit(tmp_path, _test(sink), module=module(), max_epochs=1)
    scores = sink.latest.scores
    assert math.isnan(scores["faithfulness/gradient/deletion_gain"])
    assert scores["faithfulness/gradient/undefined"] == 1
    told = [str(one.message) for one in caught if issubclass(one.category, DegenerateMapWarning)]
    assert len([line for line in told if "none of 6 samples has a gain with gradient" in line]) == 1
    assert sink.pictures[0]["faithfulness/gradient/curves"].shape[2] == 3


class OfPair(L.LightningModule):
    """Takes a dictionary of signals, or volumes, and what is given beside."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.head = nn.Linear(math.prod(shape), 1)

    def forward(self, inputs: Tensor, offset: Tensor) -> Tensor:
        return self.head(inputs.flatten(1).tanh()) + offset

    def training_step(self, batch: Any, index: int) -> Tensor:
        return self(batch["inputs"], batch["offset"]).square().mean()

    def validation_step(self, batch: Any, index: int) -> None:
        self.training_step(batch, index)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.01)


@pytest.mark.parametrize("shape", [(2, 16), (1, 4, 6, 5), (3, 1, 12)])
def test_signals_volumes_and_what_is_given_beside(tmp_path: Path, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    signals, offsets = torch.rand(8, *shape, generator=generator), torch.rand(8, 1, generator=generator)
    rows = [{"inputs": signal, "offset": offset} for signal, offset in zip(signals, offsets, strict=True)]
    sink = MemorySink()
    loader = DataLoader(rows, 8)
    test = _test(sink, methods=["input_x_gradient"], target=0, attribute_to="inputs", n_noisy=1)
    trainer(tmp_path, test, max_epochs=1).fit(OfPair(shape), loader, loader)
    assert sink.latest.scores["faithfulness/input_x_gradient/undefined"] < 0.5
    assert math.isfinite(sink.latest.scores["faithfulness/input_x_gradient/deletion_gain"])


def test_two_positions_cannot_be_parted_by_the_default_shares(tmp_path: Path) -> None:
    rows = [{"inputs": torch.tensor([[1.0, 2.0]]) + row, "offset": torch.zeros(1)} for row in range(8)]
    loader, found = DataLoader(rows, 8), []
    for shares in ([0.25, 0.75], [0.5]):
        sink = MemorySink()
        test = _test(sink, methods="input_x_gradient", target=0, attribute_to="inputs", n_noisy=0, shares=shares)
        trainer(tmp_path, test, max_epochs=1).fit(OfPair((1, 2)), loader, loader)
        found.append(sink.latest.scores)
    assert [scores["faithfulness/input_x_gradient/undefined"] == 1 for scores in found] == [True, False]
    assert [math.isnan(scores["faithfulness/input_x_gradient/deletion_gain"]) for scores in found] == [True, False]


def _on_texts(root: Path, tokenizer: Any, **changes: Any) -> MemorySink:
    sink = MemorySink()
    test = _test(sink, methods="gradient_norm", probe=4, embedding="auto", tokenizer=tokenizer, **changes)
    run = trainer(root, test, max_epochs=1)
    run.fit(text_runs.BertClassifier(), text_runs.loader(), text_runs.loader())
    return sink


@pytest.mark.parametrize("replacement", ["mask_token", "pad_token"])
def test_words_of_texts_are_replaced_by_tokens(tmp_path: Path, replacement: str) -> None:
    tokenizer = text_runs.tokenizer(mask_token="film") if replacement == "mask_token" else text_runs.tokenizer()
    found = _on_texts(tmp_path, tokenizer).latest
    assert found.metadata["replacements"] == [replacement]
    assert found.scores["faithfulness/gradient_norm/n_forwards"] == 8
    assert 0 < found.scores["faithfulness/gradient_norm/stability"] <= 1


def test_words_cannot_be_blurred(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'blurred' is not for text inputs"):
        _on_texts(tmp_path, text_runs.tokenizer(), replacements=["blurred"])


def test_texts_without_such_tokens_are_an_error_before_the_training(tmp_path: Path) -> None:
    class Plain(Classifier):
        def __init__(self) -> None:
            super().__init__(nn.Sequential(nn.Embedding(20, 8), nn.Flatten(), nn.Linear(48, 10)))

    ids = torch.randint(1, 20, (12, 6), generator=torch.Generator().manual_seed(0))
    loader = DataLoader(TensorDataset(ids, torch.arange(12) % 10), 4)
    run = trainer(tmp_path, _test(methods="gradient_norm", embedding="auto", on_error="warn"))
    with pytest.raises(ConfigurationError, match="mask or padding token"):
        run.fit(Plain(), loader, loader)
    assert run.global_step == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shares": [0.0]}, r"shares=\[0.0\]; expected shares between 0 and 1"),
        ({"shares": []}, "expected shares between 0 and 1"),
        ({"replacements": "blured"}, "replacement 'blured' is unknown; .*blurred"),
        ({"noise": 0}, "noise"),
        ({"n_noisy": -1}, "n_noisy"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        _test(**changes)


def test_words_for_images_are_an_error_before_the_training(tmp_path: Path) -> None:
    run = trainer(tmp_path, _test(replacements=["mask_token"], on_error="warn"))
    with pytest.raises(ConfigurationError, match="'mask_token' is not for images"):
        run.fit(Classifier(), train_loader(), val_loader())
    assert run.global_step == 0


def test_arguments_are_few_and_groups_are_read_from_mappings() -> None:
    test = FaithfulnessTest(
        perturbation={"shares": [0.5], "n_noisy": 0},
        reading=ModelReading(module="net"),
        compute=Compute(seed=1),
    )
    assert test.perturbation.shares == (0.5,)
    assert test.perturbation.n_noisy == 0


def test_what_a_method_costs_that_runs_the_model_itself_is_kept(tmp_path: Path) -> None:
    def own(model: nn.Module, inputs: Tensor, target: Tensor, samples: Tensor) -> Tensor:
        model(inputs)
        return torch.autograd.grad(model(inputs.requires_grad_()).sum(), inputs)[0]

    sink = MemorySink()
    _fit(tmp_path, _test(sink, methods=["gradient", ExternalMethod("own", own)]), max_epochs=1)
    for snapshot in sink.snapshots:
        cost = snapshot.metadata["external"]["own"]
        assert (cost["forwards"], cost["backwards"]) == (2, 1)
