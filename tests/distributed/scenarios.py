"""What each rank does in the tests. A scenario takes its rank and a directory, and returns what it found."""

from __future__ import annotations

import random
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from saliency_callbacks import (
    Cascade,
    CueAlarm,
    Draws,
    Probe,
    RandomizationTest,
    SaliencyMonitor,
    ShortcutDiscovery,
    Storage,
    TokenSaliencyMonitor,
)
from saliency_callbacks.callbacks import fast_precision
from saliency_callbacks.callbacks.runtime import ranks
from saliency_callbacks.callbacks.shared_pass import union as shared_passes
from saliency_callbacks.callbacks.streaming import reading as streamed_probe
from saliency_callbacks.discovery.kinds import GENERATORS
from saliency_callbacks.methods import IntegratedGradients, SmoothGrad
from saliency_callbacks.probe import PatchCue, TokenCue
from saliency_callbacks.sinks import MemorySink
from tests.discovery.planted import CLASS, CORNER, Corners, planted_digits
from tests.engine.priced import PRICES, Clock, Priced
from tests.grouping import grouped
from tests.trainer import text_runs
from tests.trainer.runs import Augmented, Classifier, digits, small_net, trainer

_TIMEOUT = timedelta(seconds=60)
_METHODS = [
    "gradient",
    "grad_cam",
    IntegratedGradients(n_steps=3, baselines=["zeros", "mean"]),
    SmoothGrad(nt_samples=3),
    # A sample of one rank may need more rounds than those of the other.
    IntegratedGradients("auto", tolerance=0.01, max_steps=65, name="auto_steps"),
    SmoothGrad("auto", max_samples=32, name="auto_copies"),
]


class Module(Classifier):
    """A classifier that shards itself where there is a device mesh."""

    def __init__(self, *, learning_rate: float = 0.1, noisy: bool = True) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = small_net(noisy=noisy)
        super().__init__(net)
        self.learning_rate = learning_rate

    def configure_model(self) -> None:
        if self.device_mesh is not None and not hasattr(self, "is_sharded"):
            from torch.distributed.fsdp import fully_shard

            self.is_sharded = True
            mesh = self.device_mesh["data_parallel"]
            for module in self.net:
                if isinstance(module, nn.Conv2d | nn.Linear):
                    fully_shard(module, mesh=mesh)
            fully_shard(self.net, mesh=mesh)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.learning_rate, momentum=0.9)


class Fails(Module):
    """Cannot be explained on the ranks that are named, from a number of attempts on."""

    def __init__(self, rank: int, on: tuple[int, ...], **changes: Any) -> None:
        super().__init__(**changes)
        self.fails = rank in on

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        if self.fails and torch.is_grad_enabled() and not self.training:
            raise ValueError("cannot be explained here")
        return logits


def strategy(mode: str) -> dict[str, Any]:
    if mode == "one":
        return {"devices": 1}
    of_mode = {
        "ddp": lambda: DDPStrategy(timeout=_TIMEOUT),
        "unused": lambda: DDPStrategy(timeout=_TIMEOUT, find_unused_parameters=True),
        "static": lambda: DDPStrategy(timeout=_TIMEOUT, static_graph=True),
        "fsdp2": lambda: ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1, timeout=_TIMEOUT),
    }
    return {"devices": 2, "strategy": of_mode[mode]()}


def fit(
    mode: str,
    root: Path,
    module: Module,
    *callbacks: L.Callback,
    train: Any = None,
    val: Any = None,
    ckpt_path: Any = None,
    **changes: Any,
) -> L.Trainer:
    torch.manual_seed(1)
    np.random.seed(2)  # noqa: NPY002
    random.seed(3)
    run = trainer(root, *callbacks, **{**strategy(mode), "num_sanity_val_steps": 1, **changes})
    # 37: neither the ranks nor the batches divide it.
    val = DataLoader(digits(100, 137), 10) if val is None else val
    run.fit(module, DataLoader(digits(0, 24), 6) if train is None else train, val, ckpt_path=ckpt_path)
    return run


def observers(sink: MemorySink, size: int, **changes: Any) -> tuple[SaliencyMonitor, RandomizationTest, CueAlarm]:
    changes = {"sinks": [sink], "save_maps": False, "on_error": "raise", **changes}
    return (
        SaliencyMonitor(_METHODS, size, **grouped(SaliencyMonitor, **changes)),
        RandomizationTest(
            ["gradient", "grad_cam"], size, **grouped(RandomizationTest, n_draws=2, cascade_draws=2, **changes)
        ),
        CueAlarm(
            PatchCue((0, 0, 2, 2)),
            0,
            size + 8,
            **grouped(CueAlarm, threshold=-9.0, patience=1, on_alarm=_told.append_one, **changes),
        ),
    )


class _Told:
    """Counts how often a user's function is called when an alarm goes on."""

    count = 0

    def append_one(self, alarm: CueAlarm, message: str) -> None:
        self.count += 1


_told = _Told()


def found(mode: str, root: Path, size: int, **changes: Any) -> dict[str, Any]:
    """Observe weights that do not change, and return all that was found."""
    sink, told = MemorySink(), _told.count
    monitor, test, alarm = observers(sink, size, **changes)
    # Weights stay as they are, so that trainings of different parallelism compare.
    module = Module(learning_rate=0.0, noisy=False)
    run = fit(mode, root, module, monitor, test, alarm, max_epochs=1, limit_train_batches=1)
    return {
        "metrics": {name: float(value) for name, value in run.callback_metrics.items() if "/" in name},
        "maps": [{name: one.values for name, one in snapshot.attributions.items()} for snapshot in sink.snapshots],
        "samples": [dict(snapshot.sample_scores) for snapshot in sink.snapshots],
        "stages": [snapshot.stage for snapshot in sink.snapshots],
        "pinned": monitor.state.histories["gradient"].initial,
        "similarities": test.result.values,
        "cascade": test.cascade.values,
        "effects": [list(one.effects) for one in alarm.history],
        "groups": (alarm.groups.correct, alarm.groups.count),
        "told": _told.count - told,
    }


class _Shifted(Module):
    """Has a parameter that no module initializes, which is sharded with the rest."""

    def __init__(self) -> None:
        super().__init__(learning_rate=0.0, noisy=False)
        self.net.add_module("shift", _Shift())


class _Shift(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.linspace(-1, 1, 10))

    def forward(self, logits: Tensor) -> Tensor:
        return logits + self.shift * logits.square()


def randomized(mode: str, root: Path) -> dict[str, Any]:
    """Randomize weights that do not change, in both ways."""
    results = {}
    for redraw in ("reinitialize", "permute"):
        test = RandomizationTest(
            "gradient",
            3,
            0,
            draws=Draws(n_draws=2, randomize=redraw),
            cascade=Cascade(n_draws=2),
            storage=Storage(save_maps=False),
            on_error="raise",
        )
        fit(mode, root, _Shifted(), test, max_epochs=1, limit_train_batches=1)
        results[redraw] = [(one.values, one.floors, one.unchanged) for one in (test.result, test.cascade)]
    return results


def _kept(mode: str, root: Path) -> dict[str, Any]:
    """Train with random copies that are explained once, and with some that are explained at every test."""
    found: dict[str, Any] = {}
    for name in ("kept", "anew", "kept shared", "anew shared", "raw"):
        sink, changes = MemorySink(), {"max_mib": 0 if "anew" in name else 64, "shard_probe": "shared" in name}
        settings = {"n_draws": 3, "cascade_at_fit_end": False, "save_maps": False, "sinks": [sink], **changes}
        test = RandomizationTest(
            ["gradient", "grad_cam"], 5, **grouped(RandomizationTest, **settings), on_error="raise"
        )
        fit(mode, root, _ShiftedModule() if name == "raw" else Module(), test, max_epochs=2)
        found[name] = {
            "scores": [dict(snapshot.scores) for snapshot in sink.snapshots],
            "passes": [snapshot.metadata["n_passes"] for snapshot in sink.snapshots],
            "last": test.state.scores,
        }
    return found


class _ShiftedModule(Module):
    """Has a trained parameter that no module initializes."""

    def __init__(self) -> None:
        super().__init__()
        self.net.add_module("shift", _Shift())


def kept_ddp(rank: int, root: Path) -> dict[str, Any]:
    return _kept("ddp", root)


def kept_fsdp2(rank: int, root: Path) -> dict[str, Any]:
    return _kept("fsdp2", root)


def _together(mode: str, root: Path, rank: int) -> dict[str, Any]:
    """Train with two callbacks that can be explained together, each alone, and where one rank has another mind."""
    given = {"save_maps": False, "on_error": "raise"}
    methods = ["gradient", "grad_cam", SmoothGrad(nt_samples=3)]
    found: dict[str, Any] = {}
    for name in ("both", "reversed", "monitor", "test", "rank 0 alone asks", "shared"):
        shared = {"shard_probe": name == "shared"}
        monitor = SaliencyMonitor([*methods, "guided_backprop"], 5, **grouped(SaliencyMonitor, **given, **shared))
        settings = {"n_draws": 2, "cascade_at_fit_end": False, **given, **shared}
        test = RandomizationTest(methods, 5, **grouped(RandomizationTest, **settings))
        callbacks = {"monitor": [monitor], "test": [test], "reversed": [test, monitor]}.get(name, [monitor, test])
        counts: list[int] = []
        run = shared_passes.run_together

        def counted(*args: Any, run: Any = run, counts: list[int] = counts) -> Any:
            counts.append(len(args[-1]))
            return run(*args)

        with patch.object(shared_passes, "run_together", counted):
            if name == "rank 0 alone asks" and rank == 1:
                test._wish = lambda model, host: None
            fit(mode, root, Module(), *callbacks, max_epochs=2)
        found[name] = {type(one).__name__: one.state.scores for one in callbacks} | {"counts": counts}
    return found


def together_ddp(rank: int, root: Path) -> dict[str, Any]:
    return _together("ddp", root, rank)


def together_fsdp2(rank: int, root: Path) -> dict[str, Any]:
    return _together("fsdp2", root, rank)


class TextModule(text_runs.LstmClassifier):
    """A recurrent network whose weights do not change."""

    def __init__(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            super().__init__()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def found_in_texts(mode: str, root: Path, size: int, **changes: Any) -> dict[str, Any]:
    """Observe texts, some shorter than others, and return all that was found."""
    sink = MemorySink()
    changes = {"sinks": [sink], "save_maps": False, "on_error": "raise", **changes}
    methods = ["gradient_norm", IntegratedGradients(n_steps=3, baselines="pad_token"), SmoothGrad(nt_samples=3)]
    monitor = TokenSaliencyMonitor(methods, size, text_runs.WORDS, **grouped(TokenSaliencyMonitor, **changes))
    test = RandomizationTest(
        "input_x_gradient",
        size,
        **grouped(
            RandomizationTest, embedding="auto", tokenizer=text_runs.WORDS, n_draws=2, cascade_draws=2, **changes
        ),
    )
    cue = TokenCue("dull", "end", tokenizer=text_runs.WORDS)
    alarm = CueAlarm(cue, 0, size + 8, **grouped(CueAlarm, groups_at_fit_end=False, on_alarm="log", **changes))
    torch.manual_seed(1)
    settings = {**strategy(mode), "max_epochs": 1, "limit_train_batches": 1}
    run = trainer(root, monitor, test, alarm, **settings)
    run.fit(TextModule(), text_runs.pairs(), text_runs.pairs())
    return {
        "metrics": {name: float(value) for name, value in run.callback_metrics.items() if "/" in name},
        "maps": [{name: one.values for name, one in snapshot.attributions.items()} for snapshot in sink.snapshots],
        "samples": [dict(snapshot.sample_scores) for snapshot in sink.snapshots],
        "tokens": [snapshot.probe.tokens for snapshot in sink.snapshots if snapshot.probe is not None],
        "similarities": test.result.values,
        "effects": [list(one.effects) for one in alarm.history],
    }


class Leaning(Module):
    """Takes a white corner for a sign of class 3."""

    def forward(self, images: Tensor) -> Tensor:
        sign = nn.functional.one_hot(torch.tensor(CLASS), 10)
        return super().forward(images) + 5 * images[:, :, CORNER, CORNER].mean((1, 2, 3))[:, None] * sign


def discovered(mode: str, root: Path, **changes: Any) -> dict[str, Any]:
    """Search the training data for two epochs with weights that do not change, and return all that was found."""
    sink, told, made = MemorySink(), _told.count, list[Corners]()

    def corners() -> Corners:
        made.append(Corners())
        return made[-1]

    changes = {"sinks": [sink], "save_maps": False, "on_error": "raise", **changes}
    settings = {"every_n_epochs": 1, "kinds": "copies", "watch": True, "on_suspicion": _told.append_one, **changes}
    settings["outputs"] = "logits"
    discovery = ShortcutDiscovery(Probe(96, source="train"), **grouped(ShortcutDiscovery, **settings))
    train = DataLoader(planted_digits(24), 16)
    module = Leaning(learning_rate=0.0, noisy=False)
    # One process alone is the one that runs the other tests, too.
    with patch.dict(GENERATORS, copies=corners):
        run = fit(mode, root, module, discovery, train=train, max_epochs=3, limit_train_batches=1)
    return {
        "metrics": {name: float(value) for name, value in run.callback_metrics.items() if "/" in name},
        "suspicions": [(one.sentence, one.bearers, one.first_seen, one.region) for one in discovery.suspicions],
        "effects": [(one.effect, one.lower_bound, one.control) for one in discovery.suspicions],
        "gradients": [found for one in made for found in one.gradients[:1]],
        "pictures": len(sink.pictures),
        "stages": [snapshot.stage for snapshot in sink.snapshots],
        "told": _told.count - told,
    }


def _discovered(mode: str, root: Path) -> dict[str, Any]:
    return {
        "all": discovered(mode, root),
        "shared": discovered(mode, root, shard_probe=True, internal_batch_size=5),
        # Rank zero decides for both that it is late.
        "late": discovered(mode, root, max_seconds=1e-9),
    }


def discovered_ddp(rank: int, root: Path) -> dict[str, Any]:
    return _discovered("ddp", root)


def discovered_fsdp2(rank: int, root: Path) -> dict[str, Any]:
    return _discovered("fsdp2", root)


def _state(mode: str, root: Path, module: Module, *callbacks: L.Callback) -> dict[str, Any]:
    train = DataLoader(Augmented(digits(0, 24)), 6, shuffle=True)
    run = fit(mode, root, module, *callbacks, train=train)
    for part in module.modules():
        # The last validation leaves gathered what an observation after it gives back.
        if hasattr(part, "reshard"):
            part.reshard()
    local = [getattr(parameter, "_local_tensor", parameter.detach()) for parameter in module.parameters()]
    momenta = [
        getattr(state["momentum_buffer"], "_local_tensor", state["momentum_buffer"])
        for state in run.optimizers[0].state.values()
    ]
    return {
        "weights": [one.clone() for one in [*local, *module.buffers()]],
        "momenta": [one.clone() for one in momenta],
        "torch": torch.get_rng_state(),
        "numpy": torch.tensor(np.random.get_state()[1].astype("int64")),  # noqa: NPY002
        "python": random.getstate(),
    }


def _is_the_same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_is_the_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_is_the_same, one, other))
    return one == other


def _identity(mode: str, rank: int, root: Path) -> dict[str, bool]:
    """Return whether a training is bit-identical with callbacks, and with callbacks that fail on all ranks."""
    plain = _state(mode, root, Module())
    observed = _state(mode, root, Module(), *observers(MemorySink(), 3, shard_probe=mode in ("ddp", "fsdp2")))
    is_same = {"observed": _is_the_same(plain, observed)}
    if mode in ("ddp", "fsdp2"):
        failing = _state(mode, root, Fails(rank, (0, 1)), *observers(MemorySink(), 3, on_error="warn"))
        is_same["failing"] = _is_the_same(plain, failing)
        other = _state(mode, root, Module(learning_rate=0.11))
        is_same["another training"] = _is_the_same(plain, other)
    return is_same


def _resumed(mode: str, root: Path) -> dict[str, Any]:
    """Train three epochs at once, and two and then one."""

    def callbacks(directory: Path) -> list[L.Callback]:
        return [
            SaliencyMonitor(["gradient"], 3, storage=Storage(save_maps=True), on_error="raise"),
            RandomizationTest(
                ["gradient"],
                3,
                draws=Draws(n_draws=2),
                cascade=Cascade(at_fit_end=False),
                storage=Storage(save_maps=False),
                on_error="raise",
            ),
            EarlyStopping("saliency/gradient/entropy", patience=9),
            ModelCheckpoint(directory, monitor="saliency/gradient/drift_previous"),
        ]

    def run(name: str, epochs: int, **changes: Any) -> L.Trainer:
        logger = TensorBoardLogger(root, name=f"{mode}-{name}")
        given = callbacks(root / f"{mode}-{name}")
        return fit(
            mode,
            root,
            Module(noisy=False),
            *given,
            max_epochs=epochs,
            logger=logger,
            enable_checkpointing=True,
            **changes,
        )

    whole, first = run("whole", 3), run("first", 2)
    checkpoint = root / f"{mode}.ckpt"
    first.save_checkpoint(checkpoint)
    second = run("second", 3, ckpt_path=checkpoint)
    metrics = [
        {name: float(value) for name, value in one.callback_metrics.items() if "/" in name} for one in (whole, second)
    ]
    return {
        "metrics": metrics,
        "best": [float(one.checkpoint_callbacks[0].best_model_score) for one in (whole, second)],
        "observations": [one.callbacks[0].state.n_observations for one in (whole, second)],
        "indices": sorted(str(path.relative_to(root)) for path in root.rglob("index.json") if mode in str(path)),
    }


def found_ddp(rank: int, root: Path) -> dict[str, Any]:
    return {
        "all": found("ddp", root, 5),
        "shared": found("ddp", root, 5, shard_probe=True),
        "few": found("ddp", root, 1, shard_probe=True),
    }


def found_fsdp2(rank: int, root: Path) -> dict[str, Any]:
    return {
        "all": found("fsdp2", root, 5),
        "shared": found("fsdp2", root, 5, shard_probe=True, internal_batch_size=2),
        "few": found("fsdp2", root, 1, shard_probe=True),
    }


class BrokenHere(Dataset):
    """The digits, of which one rank cannot read some."""

    def __init__(self, broken: tuple[int, ...]) -> None:
        self.inner = digits(100, 137)
        self.targets, self.broken = self.inner.tensors[1], broken

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> Any:
        if index in self.broken:
            raise OSError("no file here")
        return self.inner[index]


def streamed(mode: str, root: Path, *, broken: tuple[int, ...] = (), **changes: Any) -> dict[str, Any]:
    """Observe a probe of which few samples are shown, and return what was kept of all."""
    sink = MemorySink()
    changes = {"sinks": [sink], "save_maps": False, "on_error": "raise", **changes}
    monitor = SaliencyMonitor(["gradient", "grad_cam"], Probe(37, shown=5), **grouped(SaliencyMonitor, **changes))
    # A rank reads its part of the validation set itself.
    of_alarm = grouped(CueAlarm, **{**changes, "sinks": [], "groups_at_fit_end": False})
    alarm = CueAlarm(PatchCue((0, 0, 2, 2)), 0, Probe(37, shown=5), **of_alarm)
    rows, streamed_probe._LEAST_ROWS = streamed_probe._LEAST_ROWS, 7
    try:
        module = Module(learning_rate=0.0, noisy=False)
        # Only what the observation reads may be broken.
        settings = {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 0.1}
        run = fit(mode, root, module, monitor, alarm, val=DataLoader(BrokenHere(broken), 2), **settings)
    finally:
        streamed_probe._LEAST_ROWS = rows
    found = [one.statistics for one in sink.snapshots if one.statistics is not None]
    return {
        "metrics": {name: float(value) for name, value in run.callback_metrics.items() if "/" in name},
        "positions": [one.positions for one in found],
        "effects": [torch.tensor(one.effects).nan_to_num() for one in alarm.history],
        "samples": [dict(one.sample_scores) for one in found],
        "means": [{name: (maps.mean, maps.counts) for name, maps in one.maps.items()} for one in found],
        "unreadable": [dict(one.unreadable) for one in found],
    }


def _streamed(mode: str, rank: int, root: Path) -> dict[str, Any]:
    return {
        "all": streamed(mode, root),
        "shared": streamed(mode, root, shard_probe=True),
        # Rank zero can read them: where ranks differ, its samples are those of all.
        "broken": streamed(mode, root, broken=tuple(range(20, 37)) if rank else (), shard_probe=True),
    }


def streamed_ddp(rank: int, root: Path) -> dict[str, Any]:
    return _streamed("ddp", rank, root)


def streamed_fsdp2(rank: int, root: Path) -> dict[str, Any]:
    return _streamed("fsdp2", rank, root)


def randomized_fsdp2(rank: int, root: Path) -> dict[str, Any]:
    return randomized("fsdp2", root)


def texts_ddp(rank: int, root: Path) -> dict[str, Any]:
    return {
        "all": found_in_texts("ddp", root, 5),
        "shared": found_in_texts("ddp", root, 5, shard_probe=True),
        "few": found_in_texts("ddp", root, 1, shard_probe=True),
    }


def identity_ddp(rank: int, root: Path) -> dict[str, dict[str, bool]]:
    return {mode: _identity(mode, rank, root) for mode in ("ddp", "unused", "static")}


def identity_fsdp2(rank: int, root: Path) -> dict[str, dict[str, bool]]:
    return {"fsdp2": _identity("fsdp2", rank, root)}


def resumed_ddp(rank: int, root: Path) -> dict[str, Any]:
    return _resumed("ddp", root)


def resumed_fsdp2(rank: int, root: Path) -> dict[str, Any]:
    return _resumed("fsdp2", root)


class _FailsToWrite:
    def write(self, snapshot: Any, pictures: Any) -> None:
        raise OSError("disk full")


def _outcome(root: Path, module: Module, *callbacks: L.Callback, **changes: Any) -> tuple[str, str]:
    """Return what a training ended with: its error, or what was skipped."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fit("ddp", root, module, *callbacks, max_epochs=1, limit_train_batches=1, **changes)
        except Exception as error:
            return type(error).__name__, str(error)
    skipped = [str(warning.message) for warning in caught if "is skipped" in str(warning.message)]
    return "went on", "; ".join(skipped)


class _Priced(Module):
    """Says what its forwards cost, on each rank something else."""

    def __init__(self, net: Priced) -> None:
        super().__init__(learning_rate=0.0)
        self.net = net


def _fast(mode: str, rank: int, root: Path, **changes: Any) -> dict[str, Any]:
    clock, sink = Clock(), MemorySink()
    # By itself, the second rank would take channels last.
    prices = PRICES if rank == 0 else {**PRICES, "bfloat16, channels last": 5.0, "bfloat16": 5.0}
    net = Priced(clock, prices)
    monitor, test, alarm = observers(sink, 5, precision="fast", **changes)
    with patch.object(fast_precision, "perf_counter", clock):
        run = fit(mode, root, _Priced(net), monitor, test, alarm, max_epochs=1, limit_train_batches=1)
    return {
        "arithmetics": [one.state.arithmetic for one in (monitor, test, alarm)],
        "metrics": {name: float(value) for name, value in run.callback_metrics.items() if "/" in name},
        "tried": sorted(net.runs),
        "written": sorted({str(one.metadata.get("arithmetic")) for one in sink.snapshots if one.stage == "fit"}),
    }


def fast_ddp(rank: int, root: Path) -> dict[str, Any]:
    return {"all": _fast("ddp", rank, root), "shared": _fast("ddp", rank, root, shard_probe=True)}


def fast_fsdp2(rank: int, root: Path) -> dict[str, Any]:
    return {"all": _fast("fsdp2", rank, root)}


def one_fails(rank: int, root: Path) -> dict[str, tuple[str, str]]:
    """Let one rank fail in several places, and see that both know."""
    sink = MemorySink()
    quiet: dict[str, Any] = {"save_maps": False, "sinks": [sink]}
    loud = {**quiet, "on_error": "raise"}

    def disagrees(output: Tensor) -> Tensor:
        if rank == 1:
            raise ValueError("only here")
        return output[:, 0]

    return {
        "passes, warned": _outcome(
            root, Fails(rank, (1,)), SaliencyMonitor(["gradient"], 3, **grouped(SaliencyMonitor, **quiet))
        ),
        "passes of a part": _outcome(
            root,
            Fails(rank, (1,)),
            SaliencyMonitor(["gradient"], 3, **grouped(SaliencyMonitor, shard_probe=True, **loud)),
        ),
        "passes": _outcome(
            root, Fails(rank, (1,)), SaliencyMonitor(["gradient"], 3, **grouped(SaliencyMonitor, **loud))
        ),
        "randomization": _outcome(
            root, Fails(rank, (1,)), RandomizationTest("gradient", 3, **grouped(RandomizationTest, n_draws=2, **loud))
        ),
        "target": _outcome(
            root, Module(), SaliencyMonitor(["gradient"], 3, disagrees, **grouped(SaliencyMonitor, **loud))
        ),
        "sink": _outcome(
            root,
            Module(),
            SaliencyMonitor(
                ["gradient"], 3, storage=Storage(save_maps=False), sinks=[_FailsToWrite()], on_error="raise"
            ),
        ),
        "wrong setting": _outcome(
            root, Module(), SaliencyMonitor(["gradient"], 3, 0 if rank == 0 else 99, storage=Storage(save_maps=False))
        ),
        "observed": ("", str(len(sink.snapshots))),
    }


def different_data(rank: int, root: Path) -> dict[str, Any]:
    """Give each rank a dataset of its own."""
    warnings.simplefilter("ignore")
    sink = MemorySink()
    monitor, test, alarm = observers(sink, 3)
    run = trainer(root, monitor, test, alarm, max_epochs=1, use_distributed_sampler=False, **strategy("ddp"))
    val = DataLoader(digits(100, 120) if rank == 0 else digits(120, 151), 10)
    run.fit(Module(learning_rate=0.0), DataLoader(digits(0, 12), 6), val)
    return {
        "metrics": {name: float(value) for name, value in run.callback_metrics.items() if "/" in name},
        "fingerprint": monitor.state.fingerprint,
        "count": float(alarm.groups.count.sum()),
    }


def come_apart(rank: int, root: Path) -> None:
    """Let one rank fail inside the collectives of a sharded forward."""
    ranks._PATIENCE = timedelta(seconds=2)
    try:
        fit(
            "fsdp2",
            root,
            Fails(rank, (1,)),
            SaliencyMonitor(["gradient"], 3, storage=Storage(save_maps=False)),
            max_epochs=1,
        )
    except Exception as error:
        Path(root, f"apart.{rank}.txt").write_text(f"{type(error).__name__}: {error}\n")
        raise
