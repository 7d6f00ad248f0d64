from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import RunningStage, TrainerFn

from saliency_callbacks.callbacks.runtime import lightning as host


def _trainer(**facts):
    return SimpleNamespace(strategy=SimpleNamespace(broadcast=lambda value: value), **facts)


def test_the_logging_step_is_the_loops_own_else_the_global_step():
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(_batches_that_stepped=5))
    assert host.logging_step(_trainer(fit_loop=loop, global_step=9)) == 5
    assert host.epoch_logging_step(_trainer(fit_loop=loop, global_step=9)) == 4
    assert host.logging_step(_trainer(fit_loop=SimpleNamespace(), global_step=9)) == 9
    assert host.epoch_logging_step(_trainer(fit_loop=SimpleNamespace(), global_step=0)) == 0


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
    assert host.dataloader(_trainer(val_dataloaders=loaders, train_dataloader=None), "val", index) == expected
    assert host.dataloader(_trainer(val_dataloaders=None, train_dataloader=loaders), "train", index) == expected


def test_a_dataloader_that_does_not_exist():
    with pytest.raises(IndexError, match="dataloader_idx=2, but there are 2 val dataloaders"):
        host.dataloader(_trainer(val_dataloaders=["a", "b"]), "val", 2)


@pytest.mark.parametrize(
    ("logger", "expected"),
    [
        (None, "root"),
        (SimpleNamespace(log_dir="runs/version_3"), "runs/version_3"),
        (SimpleNamespace(save_dir="runs", name="my run", version="a:b"), "runs/my_run/a_b"),
        (SimpleNamespace(save_dir=Path("runs"), name=None, version=7), "runs/7"),
        (SimpleNamespace(save_dir="runs", name="..", version="../up"), "runs/_up"),
        (SimpleNamespace(log_dir="s3://bucket/logs"), None),
        (SimpleNamespace(save_dir="s3://bucket", name="n", version="v"), None),
        (SimpleNamespace(save_dir=None, name="n", version="v"), None),
    ],
)
def test_the_run_directory(logger, expected):
    trainer = _trainer(loggers=[] if logger is None else [logger], default_root_dir="root")
    assert host.run_directory(trainer) == (None if expected is None else Path(expected))


def test_the_stage_is_restored_when_a_hook_fails():
    class Raises(LightningModule):
        def _on_before_batch_transfer(self, batch, dataloader_idx):
            assert trainer.state.stage == RunningStage.VALIDATING
            raise ValueError("no")

    state = SimpleNamespace(stage=RunningStage.TRAINING, fn=TrainerFn.FITTING)
    trainer = _trainer(state=state, precision_plugin=SimpleNamespace(convert_input=lambda batch: batch))
    with pytest.raises(ValueError, match="no"):
        host.transferred(trainer, Raises(), [1], 0)
    assert state.stage == RunningStage.TRAINING


def test_a_forward_of_its_own():
    class Without(LightningModule):
        pass

    class With(LightningModule):
        def forward(self, images):
            return images

    assert host.has_forward(With())
    assert not host.has_forward(Without())


def test_scores_are_logged_where_the_model_is():
    """Processes on GPUs cannot synchronise what is on the CPU."""
    logged = []
    module = SimpleNamespace(
        device=torch.device("meta"), log=lambda tag, value, **_: logged.append((tag, value.device))
    )
    host.log_scalars(module, {"saliency/gradient/gini": 0.5})
    assert logged == [("saliency/gradient/gini", torch.device("meta"))]
