import inspect
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import RunningStage, TrainerFn

from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.lightning import LightningHost, is_fitting, validating, without_logging
from tests.callbacks.plain_host import PlainHost

_MEMBERS = {name: member for name, member in vars(Host).items() if not name.startswith("_")}


def _trainer(**facts):
    return SimpleNamespace(strategy=SimpleNamespace(broadcast=lambda value: value), **facts)


def _host(module=None, **facts):
    return LightningHost(_trainer(**facts), module)


def test_the_protocol_has_members():
    assert {"module", "dataloader", "epoch", "log", "ranks", "stop"} <= _MEMBERS.keys()


@pytest.mark.parametrize("name", _MEMBERS)
@pytest.mark.parametrize("kind", [LightningHost, PlainHost])
def test_a_host_has_every_member_of_the_protocol(kind, name):
    expected, found = _MEMBERS[name], inspect.getattr_static(kind, name, None)
    if isinstance(expected, property):
        assert name in inspect.signature(kind).parameters or isinstance(found, property | cached_property)
    else:
        parameters = inspect.signature(expected).parameters
        assert list(inspect.signature(found).parameters) == list(parameters)
        assert [one.kind for one in inspect.signature(found).parameters.values()] == [
            one.kind for one in parameters.values()
        ]


def test_a_host_of_lightning_offers_nothing_that_another_one_need_not():
    public = {name for name in dir(LightningHost) if not name.startswith("_")}
    assert public | set(inspect.signature(LightningHost).parameters) == _MEMBERS.keys() | {"trainer", "shards_probe"}


def test_the_logging_step_is_the_loops_own_else_the_global_step():
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(_batches_that_stepped=5))
    assert _host(fit_loop=loop, global_step=9).step == 5
    assert _host(fit_loop=loop, global_step=9).epoch_step == 4
    assert _host(fit_loop=SimpleNamespace(), global_step=9).step == 9
    assert _host(fit_loop=SimpleNamespace(), global_step=0).epoch_step == 0
    assert _host(fit_loop=loop, global_step=9).global_step == 9


@pytest.mark.parametrize(
    ("loaders", "index", "expected"),
    [
        (None, 0, None),
        ([], 0, None),
        ("a", 0, "a"),
        (["a", "b"], 1, "b"),
        ({"x": ["a", "b"], "y": "c"}, 2, "c"),
    ],
)
def test_dataloaders_in_any_structure(loaders, index, expected):
    assert _host(val_dataloaders=loaders, train_dataloader=None).dataloader("val", index) == expected
    assert _host(val_dataloaders=None, train_dataloader=loaders).dataloader("train", index) == expected


def test_a_dataloader_that_does_not_exist():
    with pytest.raises(IndexError, match="dataloader_idx=2, but there are 2 val dataloaders"):
        _host(val_dataloaders=["a", "b"]).dataloader("val", 2)


@pytest.mark.parametrize(
    ("logger", "expected"),
    [
        (None, "root"),
        (SimpleNamespace(log_dir="runs/version_3"), "runs/version_3"),
        (SimpleNamespace(save_dir="runs", name="my run", version="a:b"), "runs/my_run/a_b"),
        (SimpleNamespace(save_dir=Path("runs"), name=None, version=7), "runs/7"),
        (SimpleNamespace(save_dir="runs", name="n", version=0), "runs/n/0"),
        (SimpleNamespace(save_dir="runs", name="..", version="../up"), "runs/_up"),
        (SimpleNamespace(log_dir="s3://bucket/logs", name="n", version="v"), "root/simplenamespace/n/v"),
        (SimpleNamespace(save_dir="s3://bucket", name="n", version="v"), "root/simplenamespace/n/v"),
        (SimpleNamespace(save_dir=None, name="../n", version="v"), "root/simplenamespace/_n/v"),
    ],
)
def test_the_run_directory(logger, expected):
    host = _host(loggers=[] if logger is None else [logger], default_root_dir="root")
    assert host.run_directory() == Path(expected)


def test_the_run_directory_is_that_of_the_first_logger_that_has_one():
    remote = SimpleNamespace(save_dir=None, name="n", version="v")
    local = SimpleNamespace(log_dir="runs/version_3")
    assert _host(loggers=[remote, local], default_root_dir="root").run_directory() == Path("runs/version_3")


def test_the_working_directory_stands_for_a_remote_root():
    remote = SimpleNamespace(save_dir=None, name="n", version=7)
    assert _host(loggers=[remote], default_root_dir="s3://bucket").run_directory() == Path("simplenamespace/n/7")
    assert _host(loggers=[], default_root_dir="gs://bucket").run_directory() == Path()


def test_the_run_directory_is_that_of_rank_zero():
    host = _host(loggers=[], default_root_dir="mine")
    host.trainer.strategy.broadcast = {"mine": "of rank zero"}.get
    assert host.run_directory() == Path("of rank zero")


def test_the_stage_is_restored_when_a_hook_fails():
    class Raises(LightningModule):
        def _on_before_batch_transfer(self, batch, dataloader_idx):
            assert trainer.state.stage == RunningStage.VALIDATING
            raise ValueError("no")

    state = SimpleNamespace(stage=RunningStage.TRAINING, fn=TrainerFn.FITTING)
    trainer = _trainer(state=state, precision_plugin=SimpleNamespace(convert_input=lambda batch: batch))
    with pytest.raises(ValueError, match="no"):
        LightningHost(trainer, Raises()).received([1], 0)
    assert state.stage == RunningStage.TRAINING


def test_a_stage_of_validation():
    state = SimpleNamespace(stage=RunningStage.TRAINING, fn=TrainerFn.FITTING)
    trainer = _trainer(state=state)
    with validating(trainer):
        assert state.stage == RunningStage.VALIDATING
        assert is_fitting(trainer)
    assert state.stage == RunningStage.TRAINING
    state.fn = TrainerFn.VALIDATING
    assert not is_fitting(trainer)


def test_a_forward_of_its_own():
    class Without(LightningModule):
        pass

    class With(LightningModule):
        def forward(self, images):
            return images

    assert _host(With()).has_forward
    assert not _host(Without()).has_forward


def test_scores_are_logged_where_the_model_is():
    """Processes on GPUs cannot synchronize what is on the CPU."""
    logged = []
    module = SimpleNamespace(
        device=torch.device("meta"), log=lambda tag, value, **_: logged.append((tag, value.device))
    )
    _host(module).log({"saliency/gradient/gini": 0.5})
    assert logged == [("saliency/gradient/gini", torch.device("meta"))]


def test_scores_that_go_to_the_loggers_directly_bear_the_epoch():
    logged = []
    logger = SimpleNamespace(log_metrics=lambda metrics, step: logged.append((step, metrics)))
    host = _host(loggers=[logger, logger], current_epoch=3)
    host.log_directly({"a": 0.5}, 7)
    host.log_directly({}, 8)
    assert logged == [(7, {"a": 0.5, "epoch": 3})] * 2


@pytest.mark.parametrize(("flag", "expected"), [(False, False), (0, False), (1, True), (True, True)])
def test_a_fast_dev_run_is_a_dry_run(flag, expected):
    assert _host(fast_dev_run=flag).is_dry_run is expected


def test_the_training_is_told_to_end():
    host = _host(should_stop=False)
    host.stop()
    assert host.trainer.should_stop


@pytest.mark.parametrize(("limit", "is_off"), [(0, True), (0.0, True), (1.0, False), (2, False)])
def test_a_validation_that_was_switched_off(limit, is_off):
    host = _host(limit_val_batches=limit, enable_validation=False)
    assert host.validation_is_off == is_off
    assert not host.validates


def test_a_module_logs_nothing_while_it_is_observed():
    class Logging(LightningModule):
        def forward(self, images):
            self.log("loss", images.sum())
            self.log_dict({"a": images.sum()})
            return images

    module, own = Logging(), []
    module.log_dict = own.append
    with _host(module).without_logging():
        module(torch.ones(1))
    assert vars(module)["log_dict"] == own.append, "what was there before is back"
    assert "log" not in vars(module)
    assert own == []
    with pytest.raises(ValueError, match="no"), without_logging(module):
        raise ValueError("no")
    assert "log" not in vars(module)


def test_a_directory_that_runs_of_a_logger_share_is_not_that_of_one():
    shared = SimpleNamespace(log_dir="swanlog", save_dir="swanlog", name="n", version="v")
    assert _host(loggers=[shared], default_root_dir="root").run_directory() == Path("swanlog/n/v")
