"""Trainings in which something goes wrong, and what became of them."""

from __future__ import annotations

import hashlib
import logging
import random
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from saliency_callbacks import (
    CueAlarm,
    FaithfulnessTest,
    Perturbation,
    Probe,
    RandomizationTest,
    SaliencyMonitor,
    ShortcutDiscovery,
    TokenSaliencyMonitor,
)
from saliency_callbacks.discovery.kinds import GENERATORS
from saliency_callbacks.errors import SaliencyWarning
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.sinks import MemorySink
from tests.discovery.planted import Corners, planted_digits
from tests.faults.files import check_files
from tests.grouping import grouped
from tests.trainer import text_runs
from tests.trainer.runs import Augmented, Classifier, RecordingLogger, digits, small_net, trainer

__all__ = ["KINDS", "Fault", "Outcome", "Scene", "is_observed", "outcome", "seed", "without_callback"]

KINDS = (
    "SaliencyMonitor",
    "TokenSaliencyMonitor",
    "RandomizationTest",
    "FaithfulnessTest",
    "CueAlarm",
    "ShortcutDiscovery",
)
# What is trained, and on what, beside images.
_WORLDS = ("TokenSaliencyMonitor", "ShortcutDiscovery")


def is_observed() -> bool:
    """Whether this runs for an observation: only then transformers are kept from their fused kernels."""
    return not torch.backends.mha.get_fastpath_enabled()


class Faulty:
    """What both modules share: something that happens in the forwards of an observation."""

    behavior: Callable[[Any, Tensor], None] | None = None
    in_training: Callable[[Any], None] | None = None
    when_validated: Callable[[Any, Any], None] | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        if self.behavior is not None and is_observed():
            self.behavior(self, inputs)
        return super().forward(inputs)

    def on_validation_start(self) -> None:
        self.weights_before = [parameter.detach().clone() for parameter in self.parameters()]

    def on_validation_epoch_end(self) -> None:
        if self.when_validated is not None:
            self.when_validated(self, None)

    def on_train_epoch_start(self) -> None:
        if self.in_training is not None:
            self.in_training(self)

    @property
    def is_second_observation(self) -> bool:
        """The first one that is made while the model trains."""
        return self.trainer.global_step > 0 and self.trainer.current_epoch == 0

    @property
    def is_randomized(self) -> bool:
        pairs = zip(self.parameters(), self.weights_before, strict=True)
        return not all(torch.equal(now, before) for now, before in pairs)


class Images(Faulty, Classifier):
    """Digits, with dropout and batch normalization."""

    def __init__(self) -> None:
        super().__init__(small_net(noisy=True))


class Texts(Faulty, text_runs.LstmClassifier):
    """An LSTM, with dropout."""


class Delivers(Dataset):
    """A dataset that may fail to deliver a sample."""

    def __init__(self, inner: Any, scene: Scene) -> None:
        self.inner, self.scene = inner, scene

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> Any:
        if self.scene.on_read is not None:
            self.scene.on_read(index)
        return self.inner[index]


@dataclass
class Scene:
    """One training, before it starts.

    Args:
        kind: Name of the callback; ``None`` for none.
        root: Where it writes.
        with_callback: Whether it is there.
        on_error: Its argument.
        changes: Other settings of the Trainer.
        callback_changes: Other arguments of the callback.
        sinks: Where it writes besides.
        on_read: Called with the index of every sample that is read.
        n_val: Number of samples in the validation set.
        fit_changes: Further arguments of ``fit``.
    """

    kind: str
    root: Path
    with_callback: bool = True
    on_error: str = "warn"
    changes: dict[str, Any] = field(default_factory=dict)
    callback_changes: dict[str, Any] = field(default_factory=dict)
    sinks: list[Any] = field(default_factory=list)
    on_read: Callable[[int], None] | None = None
    fit_changes: dict[str, Any] = field(default_factory=dict)
    n_val: int = 20

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self.module: Any = Texts() if self.is_text else Images()

    @property
    def is_text(self) -> bool:
        return self.kind == "TokenSaliencyMonitor"

    def loaders(self) -> tuple[DataLoader, DataLoader]:
        if self.is_text:
            pairs = text_runs.pairs()
            data = Delivers(pairs.dataset, self)
            return tuple(DataLoader(data, 4, collate_fn=pairs.collate_fn, shuffle=one) for one in (True, False))
        if self.kind == "ShortcutDiscovery":
            data = Delivers(Augmented(planted_digits(8)), self), Delivers(Augmented(planted_digits(3)), self)
            return DataLoader(data[0], 8, shuffle=True), DataLoader(data[1], 10)
        train, val = (Augmented(digits(*rows)) for rows in ((0, 16), (100, 100 + self.n_val)))
        return DataLoader(Delivers(train, self), 8, shuffle=True), DataLoader(Delivers(val, self), 10)

    def callback(self) -> Any:
        shared = {"sinks": self.sinks, "on_error": self.on_error, **self.callback_changes}
        if self.kind == "SaliencyMonitor":
            return SaliencyMonitor(["gradient", "grad_cam"], **grouped(SaliencyMonitor, **{"probe": 4, **shared}))
        if self.kind == "TokenSaliencyMonitor":
            probe = {"probe": Probe(indices=[0, 2, 3, 5])}
            return TokenSaliencyMonitor(
                "gradient_norm", **grouped(TokenSaliencyMonitor, tokenizer=text_runs.tokenizer(), **{**probe, **shared})
            )
        if self.kind == "RandomizationTest":
            return RandomizationTest(
                "gradient", **grouped(RandomizationTest, n_draws=2, cascade_draws=2, **{"probe": 4, **shared})
            )
        if self.kind == "FaithfulnessTest":
            few = Perturbation(shares=[0.5], replacements="blurred")
            return FaithfulnessTest("gradient", **grouped(FaithfulnessTest, perturbation=few, **{"probe": 4, **shared}))
        if self.kind == "ShortcutDiscovery":
            # Not those that are trained on: these are augmented, and cannot be searched.
            images = Probe.from_tensors(*planted_digits(24).tensors)
            settings = {"probe": images, "every_n_epochs": 1, "kinds": "copies", **shared}
            return ShortcutDiscovery(**grouped(ShortcutDiscovery, **settings))
        return CueAlarm(PatchCue((0, 0, 2, 2)), 0, **grouped(CueAlarm, **{"probe": 8, **shared}))


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Args:
        title: What was injected, in words.
        inject: Makes a scene go wrong, for as long as its context is open.
        kinds: The callbacks to which it can happen.
        says: A part of what the user sees, as a regular expression; ``None`` where the package says nothing.
        ends: Type of what the training ends by; ``None`` where it goes on to its end.
        raises: Type of what it ends by with ``on_error="raise"``; ``None`` where that makes no difference.
        alters: Whether the training itself is another, also without the callback.
    """

    title: str
    inject: Callable[[Scene, Any], None]
    says: str | None = None
    kinds: tuple[str, ...] = KINDS
    ends: str | None = None
    raises: str | None = None
    alters: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a training.

    Args:
        messages: What the user saw of the package.
        ended_by: Type of what the training ended by; ``None`` for its end.
        error: The message of that.
        state: Digest of weights, optimizer, random generators and logged losses afterwards.
        before: Digest of the model and the generators before the last observation.
        after: The same when the training was broken off; ``None`` where it was not.
        files: Number of files of each kind, all of them whole.
        scores: What was logged last.
        observed: Stage and epoch of every observation that was written.
    """

    messages: tuple[str, ...]
    ended_by: str | None
    error: str
    state: str
    before: str | None
    after: str | None
    files: dict[str, int]
    scores: dict[str, float]
    observed: tuple[tuple[str, int], ...]


class Traces(L.Callback):
    """Stands before the callback, and looks at the model before an observation and when the training is broken off."""

    def __init__(self) -> None:
        self.before: str | None = None
        self.after: str | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        self.before = traces(pl_module)

    on_validation_epoch_end = on_train_start

    def on_exception(self, trainer: L.Trainer, pl_module: Any, exception: BaseException) -> None:
        self.after = traces(pl_module)


def traces(module: Any) -> str:
    hooks = [len(each._forward_hooks) + len(each._forward_pre_hooks) for each in module.modules()]
    modes = [each.training for each in module.modules()]
    wanted = [(parameter.requires_grad, parameter.grad) for parameter in module.parameters()]
    attributes = [sorted(vars(each)) for each in module.modules()]
    return digest([dict(module.state_dict()), hooks, modes, wanted, attributes, _generators()])


def digest(value: Any) -> str:
    """Return a hash that differs where a single bit does."""
    found = hashlib.sha256()

    def add(part: Any) -> None:
        if isinstance(part, Tensor):
            found.update(str(part.dtype).encode() + part.detach().contiguous().numpy().tobytes())
        elif isinstance(part, dict):
            for key in part:
                found.update(repr(key).encode())
                add(part[key])
        elif isinstance(part, list | tuple):
            for one in part:
                add(one)
        else:
            found.update(repr(part).encode())

    add(value)
    return found.hexdigest()


def seed() -> None:
    """Seed every generator that a training draws from."""
    torch.manual_seed(1)
    np.random.seed(2)  # noqa: NPY002 (the legacy generator is meant)
    random.seed(3)


def _generators() -> list[Any]:
    numpy_state = np.random.get_state()[1].tolist()  # noqa: NPY002 (the legacy generator is meant)
    return [torch.get_rng_state(), numpy_state, random.getstate()]


@contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    handler = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    fastpath = torch.backends.mha.get_fastpath_enabled()
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        # Lightning ignores Ctrl-C from the first one on.
        signal.signal(signal.SIGINT, handler[0])
        signal.signal(signal.SIGTERM, handler[1])
        assert torch.backends.mha.get_fastpath_enabled() == fastpath


def run(scene: Scene, fault: Fault | None) -> Outcome:
    """Train, and look at everything that is left."""
    import pytest

    sink, seen, notes = MemorySink(), Traces(), RecordingLogger(scene.root)
    scene.sinks.append(sink)
    ended: BaseException | None = None
    with pytest.MonkeyPatch.context() as patch, _quiet(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        patch.chdir(scene.root)
        # What a search proposes is no matter here.
        patch.setitem(GENERATORS, "copies", Corners)
        if fault is not None:
            fault.inject(scene, patch)
        callbacks = [seen, scene.callback()] if scene.with_callback else [seen]
        fit = trainer(scene.root, *callbacks, logger=notes, **scene.changes)
        seed()
        try:
            fit.fit(scene.module, *scene.loaders(), **scene.fit_changes)
        except BaseException as error:
            ended = error
        state = _final_state(scene.module, fit, notes)
    messages = [str(one.message) for one in caught if issubclass(one.category, SaliencyWarning)]
    return Outcome(
        messages=tuple(dict.fromkeys(message.replace(str(scene.root), "…") for message in messages)),
        ended_by=None if ended is None else type(ended).__name__,
        error="" if ended is None else str(ended),
        state=state,
        before=seen.before,
        after=seen.after,
        files=check_files(scene.root),
        scores={tag: value for _, found in notes.records for tag, value in found.items() if "/" in tag},
        observed=tuple((one.stage, one.epoch) for one in sink.snapshots),
    )


def _final_state(module: Any, fit: L.Trainer, notes: RecordingLogger) -> str:
    optimizer = fit.optimizers[0].state_dict() if fit.optimizers else None
    losses = [notes.of(tag) for tag in ("train_loss", "val_loss")]
    return digest([dict(module.state_dict()), optimizer, losses, _generators()])


@cache
def outcome(kind: str, fault: Fault | None, on_error: str = "warn", *, with_callback: bool = True) -> Outcome:
    """Return what became of a training; each is made once."""
    with tempfile.TemporaryDirectory() as root:
        return run(Scene(kind, Path(root).resolve(), with_callback, on_error), fault)


def without_callback(kind: str, fault: Fault) -> Outcome:
    """Return what became of the same training without the callback."""
    world = kind if kind in _WORLDS else "SaliencyMonitor"
    return outcome(world, fault if fault.alters else None, with_callback=False)
