"""Everything that is made to go wrong."""

from __future__ import annotations

import errno
import signal
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saliency_callbacks import Probe
from saliency_callbacks.rendering.lazy import LazyPictures
from saliency_callbacks.sinks import MemorySink, background
from tests.faults.full_disk import no_space, taking_half
from tests.faults.runs import KINDS, Fault, Scene, is_observed, seed
from tests.trainer.runs import WEIGHTS_ONLY, trainer

__all__ = ["FAULTS"]

_IMAGES = tuple(kind for kind in KINDS if kind not in ("TokenSaliencyMonitor", "ShortcutDiscovery"))
_OF_DATA = tuple(kind for kind in KINDS if kind != "ShortcutDiscovery")


def _raising(error: BaseException) -> Any:
    def inject(scene: Scene, patch: Any) -> None:
        def behavior(module: Any, inputs: Tensor) -> None:
            if module.is_second_observation:
                torch.rand(3)
                raise error

        scene.module.behavior = behavior

    return inject


def _raising_where_randomized(scene: Scene, patch: Any) -> None:
    def behavior(module: Any, inputs: Tensor) -> None:
        if module.is_second_observation and module.is_randomized:
            raise RuntimeError("no luck")

    scene.module.behavior = behavior


def _signalling(number: int, *, where_randomized: bool = False) -> Any:
    def inject(scene: Scene, patch: Any) -> None:
        sent = []

        def behavior(module: Any, inputs: Tensor) -> None:
            if module.is_second_observation and not sent and (not where_randomized or module.is_randomized):
                sent.append(number)
                signal.raise_signal(number)

        scene.module.behavior = behavior
        if not scene.with_callback:
            scene.module.when_validated = behavior

    return inject


def _refusing_rows(error: BaseException, most: int) -> Any:
    def inject(scene: Scene, patch: Any) -> None:
        def behavior(module: Any, inputs: Tensor) -> None:
            if module.is_second_observation and len(inputs) > most:
                raise error

        scene.module.behavior = behavior

    return inject


def _training_mode_only(scene: Scene, patch: Any) -> None:
    def behavior(module: Any, inputs: Tensor) -> None:
        if not module.training:
            raise RuntimeError("this model only trains")

    scene.module.behavior = behavior
    scene.changes["limit_val_batches"] = 0
    scene.callback_changes["probe"] = Probe(4, source="train")


class _Broken(MemorySink):
    def write(self, snapshot: Any, pictures: Any) -> None:
        raise ValueError("the server is gone")


def _broken_sink(scene: Scene, patch: Any) -> None:
    scene.sinks.append(_Broken())


def _undrawable(scene: Scene, patch: Any) -> None:
    def draw(self: Any, tag: str) -> Any:
        from saliency_callbacks.errors import PictureError

        raise PictureError(f"the picture {tag!r} cannot be drawn (ValueError: no font)")

    patch.setattr(LazyPictures, "__getitem__", draw)


def _no_thread(scene: Scene, patch: Any) -> None:
    class NoThread:
        def __init__(self, **settings: Any) -> None: ...

        def submit(self, task: Any) -> Any:
            raise RuntimeError("can't start new thread")

        def shutdown(self) -> None: ...

    patch.setattr(background, "ThreadPoolExecutor", NoThread)


def _full(times: range) -> Any:
    def inject(scene: Scene, patch: Any) -> None:
        patch.setattr(Path, "open", taking_half(times, no_space))

    return inject


def _read_only(scene: Scene, patch: Any) -> None:
    def refuse(path: Path, *args: Any, **settings: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    patch.setattr(Path, "mkdir", refuse)


def _not_a_number(scene: Scene, patch: Any) -> None:
    def spoil(module: Any) -> None:
        if module.current_epoch == 1:
            with torch.no_grad():
                next(module.parameters()).fill_(float("nan"))

    scene.module.in_training = spoil


def _undeliverable(scene: Scene, patch: Any) -> None:
    def read(index: int) -> None:
        if is_observed():
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", "scan.png")

    scene.on_read = read


def _resumed(scene: Scene) -> None:
    first = Scene(scene.kind, scene.root)
    fit = trainer(scene.root, first.callback(), max_epochs=1)
    seed()
    fit.fit(first.module, *first.loaders())
    scene.fit_changes.update(ckpt_path=scene.root / "first.ckpt", **WEIGHTS_ONLY)
    fit.save_checkpoint(scene.fit_changes["ckpt_path"])


def _undeliverable_when_resumed(scene: Scene, patch: Any) -> None:
    _resumed(scene)
    _undeliverable(scene, patch)


def _fewer_when_resumed(scene: Scene, patch: Any) -> None:
    _resumed(scene)
    scene.n_val = 9


FAULTS: tuple[Fault, ...] = (
    Fault(
        "An exception in the model's forward, in one observation",
        _raising(RuntimeError("no luck")),
        r"is skipped \((ProbeError: .*cannot be run on the probe \()?RuntimeError: no luck",
        raises="RuntimeError|ProbeError",
    ),
    Fault(
        "An exception while the weights are randomized",
        _raising_where_randomized,
        r"epoch 0 is skipped \(RuntimeError: no luck\)",
        kinds=("RandomizationTest",),
        raises="RuntimeError",
    ),
    Fault(
        "A model that raises in evaluation mode",
        _training_mode_only,
        r"Images cannot be run on the probe \(RuntimeError: this model only trains\)",
        kinds=_IMAGES,
        ends="ProbeError",
        alters=True,
    ),
    Fault(
        "`torch.OutOfMemoryError` for more than one row",
        _refusing_rows(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), 1),
        "out of memory: from now on, internal_batch_size=1 is used",
    ),
    Fault(
        "`MemoryError` for more than one row",
        _refusing_rows(MemoryError(), 1),
        "out of memory: from now on, internal_batch_size=1 is used",
    ),
    Fault(
        "Out of memory even for one row (the CPU's allocator)",
        _refusing_rows(RuntimeError("DefaultCPUAllocator: can't allocate memory"), 0),
        r"epoch 0 is skipped \(RuntimeError: DefaultCPUAllocator",
        raises="RuntimeError",
    ),
    Fault(
        "A sink that raises, on the thread that writes",
        _broken_sink,
        "_Broken failed: ValueError: the server is gone; training continues",
        raises="ValueError",
    ),
    Fault(
        "Pictures that cannot be drawn",
        _undrawable,
        "PictureError: the picture '.*' cannot be drawn",
        kinds=("CueAlarm", "ShortcutDiscovery"),
        raises="PictureError",
    ),
    Fault(
        "No thread can be started to write on",
        _no_thread,
        r"is skipped \(RuntimeError: can't start new thread\)",
    ),
    Fault(
        "A disk that is full for a moment, half-way through a file",
        _full(range(3, 4)),
        r"DiskSink failed: OSError: \[Errno 28\] No space left on device; training continues",
        raises="OSError",
    ),
    Fault(
        "A disk that stays full",
        _full(range(1, 10**6)),
        r"DiskSink failed: OSError: \[Errno 28\] No space left on device; training continues",
        raises="OSError",
    ),
    Fault(
        "A run directory that is read-only",
        _read_only,
        r"DiskSink failed: OSError: \[Errno 30\] Read-only file system; training continues",
        raises="OSError",
    ),
    Fault(
        "Weights that become NaN",
        _not_a_number,
        "not finite",
        alters=True,
    ),
    Fault(
        "A sample of the probe that the dataset does not deliver",
        _undeliverable,
        r"is skipped \(FileNotFoundError: .*scan\.png",
        kinds=_OF_DATA,
        raises="FileNotFoundError",
    ),
    Fault(
        "The same when a run is resumed",
        _undeliverable_when_resumed,
        r"is skipped \(FileNotFoundError: .*scan\.png",
        kinds=_OF_DATA,
        raises="FileNotFoundError",
        alters=True,
    ),
    Fault(
        "A run that is resumed with fewer samples in its dataset",
        _fewer_when_resumed,
        "the probe differs from that of the checkpoint",
        kinds=_IMAGES,
        alters=True,
    ),
    Fault(
        "Ctrl-C in the middle of an observation",
        _signalling(signal.SIGINT),
        ends="SystemExit|KeyboardInterrupt",
    ),
    Fault(
        "Ctrl-C while the weights are randomized",
        _signalling(signal.SIGINT, where_randomized=True),
        kinds=("RandomizationTest",),
        ends="SystemExit|KeyboardInterrupt",
    ),
    Fault(
        "SIGTERM in the middle of an observation",
        _signalling(signal.SIGTERM),
        ends="SIGTERMException",
        alters=True,
    ),
)
