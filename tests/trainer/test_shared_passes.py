"""Callbacks of one Trainer explain the trained model once a moment, and find what each of them finds alone."""

from __future__ import annotations

import functools
import gc
import itertools
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch import callbacks as lightning_callbacks
from torch import Tensor, nn
from torch.nn import functional as F

from saliency_callbacks import CueAlarm, ModelReading, Probe, RandomizationTest, SaliencyMonitor, TokenSaliencyMonitor
from saliency_callbacks.callbacks.shared_pass import exchange, union
from saliency_callbacks.callbacks.shared_pass.wish import Wish
from saliency_callbacks.engine import run
from saliency_callbacks.methods import Gradient, IntegratedGradients, SmoothGrad
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.sinks import MemorySink
from tests.grouping import grouped
from tests.trainer import text_runs
from tests.trainer.interference import assert_equal
from tests.trainer.runs import WEIGHTS_ONLY, Classifier, digits, small_net, train_loader, trainer, val_loader

_SIZE = 6
_Make = Callable[[], L.Callback]


class Drawing(nn.Module):
    """Draws in its forward, also in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small_net()

    def forward(self, images: Tensor) -> Tensor:
        return self.net(F.dropout(images, 0.2, training=True))


class Counting(nn.Module):
    """Counts its forwards in a buffer and an attribute, also in evaluation mode, and computes with them."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small_net()
        self.register_buffer("count", torch.zeros(()))
        self.n_forwards = 0

    def forward(self, images: Tensor) -> Tensor:
        self.count += 1
        self.n_forwards += 1
        return self.net(images * (1 + self.count / 8 + self.n_forwards / 16))


class Own(Drawing):
    """Draws from a generator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(3)

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images + 0.1 * torch.rand(images.shape, generator=self.generator))


class Shared(nn.Module):
    """Applies one layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(256, 10)

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.relu(self.again(torch.relu(self.again(torch.relu(self.first(images))))))
        return self.head(hidden.flatten(1))


_NETS: dict[str, Callable[[], nn.Module]] = {
    "batch normalization and dropout": lambda: small_net(noisy=True),
    "a layer that is shared": Shared,
    "a forward that draws": Drawing,
    "a forward that counts": Counting,
    "a generator of its own": Own,
}


def _monitor(methods: Any = ("gradient", "grad_cam", "guided_backprop"), **changes: Any) -> SaliencyMonitor:
    given = {"probe": _SIZE, "save_maps": False, "sinks": [MemorySink()], "on_error": "raise", **changes}
    return SaliencyMonitor(methods, **grouped(SaliencyMonitor, **given))


def _test(methods: Any = ("gradient", "grad_cam"), **changes: Any) -> RandomizationTest:
    given = {"probe": _SIZE, "n_draws": 2, "cascade_at_fit_end": False, "save_maps": False, "on_error": "raise"}
    return RandomizationTest(methods, **grouped(RandomizationTest, **{**given, "sinks": [MemorySink()], **changes}))


def _alarm(**changes: Any) -> CueAlarm:
    given = {"probe": 12, "save_maps": False, "sinks": [MemorySink()], "on_error": "raise", "on_alarm": "log"}
    cue = PatchCue((-2, -2, 2, 2))
    return CueAlarm(cue, 3, **grouped(CueAlarm, **{**given, "groups_at_fit_end": False, **changes}))


def _fit(root: Path, *callbacks: L.Callback, net: Callable[[], nn.Module] = small_net, **changes: Any) -> Classifier:
    torch.manual_seed(5)
    module = changes.pop("module", None) or Classifier(net())
    trainer(root, *callbacks, **changes).fit(module, train_loader(), val_loader())
    return module


def _found(callback: Any) -> list[Any]:
    return callback.sinks[0].snapshots


def _assert_same(found: Sequence[Any], alone: Sequence[Any]) -> None:
    """Bit by bit, as representations of scores tell; NaN is not equal to itself."""
    assert len(found) == len(alone) > 1
    for one, other in zip(found, alone, strict=True):
        assert repr(dict(one.scores)) == repr(dict(other.scores))
        assert one.metadata == other.metadata
        maps = [{name: map_.state for name, map_ in _plain(snapshot).items()} for snapshot in (one, other)]
        assert_equal(*maps)


class _Map:
    def __init__(self, attribution: Any) -> None:
        fields = ("values", "heatmap", "magnitude", "target", "score", "extras", "layer")
        self.state = {name: getattr(attribution, name) for name in fields}


def _plain(snapshot: Any) -> dict[str, _Map]:
    return {name: _Map(attribution) for name, attribution in snapshot.attributions.items()}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For how many callbacks the engine ran, each time that one of them explained the trained model."""
    found: list[int] = []
    explained = union.run_together

    def counted(model: Any, inputs: Any, settings: Any, targets: Any, wants: Any) -> Any:
        found.append(len(wants))
        return explained(model, inputs, settings, targets, wants)

    monkeypatch.setattr(union, "run_together", counted)
    return found


_THREE: dict[str, _Make] = {
    "monitor": lambda: _monitor(["gradient", "grad_cam", SmoothGrad(nt_samples=3), IntegratedGradients(n_steps=3)]),
    "test": lambda: _test(["gradient", "layer_cam", SmoothGrad(nt_samples=3)]),
    "other": lambda: _monitor(["input_x_gradient", IntegratedGradients("auto"), "hires_cam"], namespace="other"),
}


@cache
def _alone(name: str, net: str) -> list[Any]:
    callback = _THREE[name]()
    with TemporaryDirectory() as root:
        _fit(Path(root), callback, net=_NETS[net])
    return _found(callback)


_ORDERS = [*itertools.permutations(_THREE)]
_NETS_IN_ORDER = [("a forward that draws", order) for order in _ORDERS]
# The one and its reverse, of the others.
_NETS_IN_ORDER += [(net, order) for net in _NETS if net != "a forward that draws" for order in (_ORDERS[1], _ORDERS[4])]


@pytest.mark.parametrize(("net", "order"), _NETS_IN_ORDER, ids=str)
def test_no_order_of_the_list_changes_a_number(tmp_path: Path, runs: list[int], net: str, order: Any) -> None:
    callbacks = {name: _THREE[name]() for name in order}
    _fit(tmp_path, *callbacks.values(), net=_NETS[net])
    assert runs[-2:] == [3, 3]
    for name, callback in callbacks.items():
        _assert_same(_found(callback), _alone(name, net))


@pytest.fixture
def forwards() -> Iterator[list[int]]:
    """The epoch of each forward that gradients of the inputs are taken of."""
    found: list[int] = []

    def count(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(module, Classifier) and args[0].requires_grad:
            found.append(module.trainer.current_epoch)

    handle = nn.modules.module.register_module_forward_hook(count)
    yield found
    handle.remove()


@pytest.mark.parametrize("is_first", [True, False])
def test_the_trained_model_is_explained_once(tmp_path: Path, forwards: list[int], is_first: bool) -> None:
    _fit(tmp_path, _monitor(["gradient", "grad_cam"]), max_epochs=3)
    alone = Counter(forwards)
    forwards.clear()
    both = [_monitor(["gradient", "grad_cam"]), _test()]
    _fit(tmp_path, *(both if is_first else both[::-1]), max_epochs=3)
    # At the first moment, random copies are explained as well.
    assert [Counter(forwards)[epoch] for epoch in (1, 2)] == [alone[epoch] for epoch in (1, 2)]
    assert alone[1] > 0


def _image_mean(output: Tensor) -> Tensor:
    return output.mean(1)


def _as_they_are(output: Tensor) -> Tensor:
    return output


_DIFFERENT: dict[str, dict[str, Any]] = {
    "samples": {"probe": Probe(_SIZE, seed=3)},
    "number of samples": {"probe": 5},
    "labels": {"probe": Probe.from_tensors(digits(100, 106).tensors[0], torch.arange(6))},
    "class": {"target": 3},
    "predicted class": {"target": "predicted"},
    "function": {"target": _image_mean},
    "target layers": {"target_layers": "net.0"},
    "module": {"reading": ModelReading(module="net"), "target_layers": "2"},
    "output function": {"reading": ModelReading(output_fn=_as_they_are)},
    "rows at once": {"internal_batch_size": 4},
    "seed": {"seed": 3},
    "precision": {"precision": "32"},
    "layout": {"reading": ModelReading(reshape_transform=_as_they_are)},
    "squares": {"methods": ["gradient", SmoothGrad(nt_samples=3, nt_type="vargrad")]},
    "no point": {"methods": [SmoothGrad(nt_samples=3)]},
}


@pytest.mark.parametrize("name", _DIFFERENT)
def test_who_wants_something_else_is_explained_alone(tmp_path: Path, runs: list[int], name: str) -> None:
    changes = dict(_DIFFERENT[name])
    methods = changes.pop("methods", ["gradient", "grad_cam"])
    other = _monitor(methods, namespace="other", **changes)
    _fit(tmp_path, _monitor(["gradient", "grad_cam", SmoothGrad(nt_samples=3)]), other)
    assert runs == [1] * 6


def test_what_does_not_matter_need_not_be_the_same(tmp_path: Path, runs: list[int]) -> None:
    """Target layers, where no method has one; and how maps are drawn."""
    other = _monitor("gradient", namespace="other", target_layers="net.0", style="heatmap")
    _fit(tmp_path, _monitor(), other)
    # The second finds at the first moment what the first has explained.
    assert runs == [1, 2, 2]


class _ByMode(nn.Module):
    """Has a kernel of its own for forwards that record no graph, which rounds otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small_net()

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images if torch.is_grad_enabled() else images * (1 + 1e-6))


@pytest.mark.parametrize(("net", "joins"), [(small_net, True), (_ByMode, False)])
def test_class_activation_maps_alone_need_no_graph(tmp_path: Path, runs: list[int], net: Any, joins: bool) -> None:
    """They join those that need one where that was seen to make no difference, at the first moment."""
    both = [_monitor("grad_cam"), _test(["gradient", "grad_cam"])]
    _fit(tmp_path, *both, net=net)
    assert runs[2:] == ([2, 2] if joins else [1, 1, 1, 1])
    for callback, alone in zip(both, [_monitor("grad_cam"), _test(["gradient", "grad_cam"])], strict=True):
        _fit(tmp_path, alone, net=net)
        _assert_same(_found(callback), _found(alone))


@pytest.mark.parametrize(("net", "joins"), [(small_net, True), (_ByMode, False)])
def test_a_head_that_starts_at_zero_tells_nothing(tmp_path: Path, runs: list[int], net: Any, joins: bool) -> None:
    """All maps and outputs are zero before the training, in whatever way they are computed."""

    def zero_headed() -> nn.Module:
        made = net()
        head = [module for module in made.modules() if isinstance(module, nn.Linear)][-1]
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        return made

    _fit(tmp_path, _monitor("grad_cam"), _monitor(namespace="other"), net=zero_headed, max_epochs=3)
    assert runs == ([1, 1, 1, 1, 2, 2] if joins else [1] * 8)


def test_only_those_that_are_due_are_asked(tmp_path: Path, runs: list[int]) -> None:
    _fit(tmp_path, _monitor(), _test(every_n_epochs=2), max_epochs=4)
    # In the end, the test looks at the weights that it has not seen yet.
    assert runs[2:] == [2, 1, 2, 1, 1]


def test_a_run_that_goes_on(tmp_path: Path, runs: list[int]) -> None:
    def both() -> list[Any]:
        return [_test(), _monitor()]

    first, whole, second = both(), both(), both()
    until_then = trainer(tmp_path, *first, max_epochs=1)
    torch.manual_seed(5)
    until_then.fit(Classifier(small_net()), train_loader(), val_loader())
    until_then.save_checkpoint(tmp_path / "run.ckpt")
    del runs[:]
    trainer(tmp_path, *second, max_epochs=2).fit(
        Classifier(small_net()), train_loader(), val_loader(), ckpt_path=tmp_path / "run.ckpt", **WEIGHTS_ONLY
    )
    assert runs == [2]
    _fit(tmp_path, *whole)
    for one, other in zip(second, whole, strict=True):
        assert repr(_found(one)[0].scores) == repr(_found(other)[2].scores)


class _Swap(L.Callback):
    """Changes the weights between two turns, as averages do, in a way that no version tells of."""

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        weight = pl_module.net[0].weight
        weight.data.copy_(weight.data.flip(0))


def _averaging() -> L.Callback:
    return lightning_callbacks.EMAWeightAveraging(decay=0.9)


@pytest.mark.parametrize("between", [_Swap, _averaging], ids=["swapped", "averaged"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_weights_that_change_between_two_turns(tmp_path: Path, runs: list[int], between: _Make, place: int) -> None:
    if between is _averaging and not hasattr(lightning_callbacks, "EMAWeightAveraging"):
        pytest.skip("this release of Lightning averages no weights")
    ours = [_monitor(["gradient", "grad_cam"]), _test()]
    _fit(tmp_path, *ours[:place], between(), *ours[place:], max_epochs=3)
    counts = runs[2:]
    for number, make in enumerate((lambda: _monitor(["gradient", "grad_cam"]), _test)):
        alone = make()
        _fit(tmp_path, *([alone, between()] if number < place else [between(), alone]), max_epochs=3)
        _assert_same(_found(ours[number]), _found(alone))
    if place != 1:
        assert counts == [2, 2, 2]
    else:
        # What Lightning averages is known; of anything else it is learned.
        assert counts == [1] * 6 if between is _averaging else [2, 1, 1, 1, 1, 1]


class _Failing(Gradient):
    """Fails in the second epoch."""

    n_calls = 0

    def attribute(self, evidence: Any) -> Any:
        type(self).n_calls += 1
        if 1 < type(self).n_calls < 6:
            raise ValueError("cannot be reduced")
        return super().attribute(evidence)


@pytest.mark.filterwarnings("ignore:the observation of epoch")
@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_an_error_of_one_spoils_no_other(tmp_path: Path, runs: list[int], said: list[str], order: Any) -> None:
    _Failing.n_calls = 0
    failing = _monitor([_Failing(name="failing"), "gradient"], namespace="fails", on_error="warn")
    ours = [_monitor(), _test(), failing]
    _fit(tmp_path, *(ours[place] for place in order), max_epochs=3)
    for callback, make in zip(ours, (_monitor, _test), strict=False):
        alone = make()
        _fit(tmp_path, alone, max_epochs=3)
        _assert_same(_found(callback), _found(alone))
    assert len(_found(failing)) < 4
    (told,) = [one for one in said if one.startswith("SaliencyMonitor (fails) fails (ValueError")]
    assert told.startswith("SaliencyMonitor (fails) fails (ValueError: cannot be reduced)")
    assert 2 in runs


class _Interrupting(L.Callback):
    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


def test_nothing_is_kept_after_an_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = _watched(monkeypatch)
    monitor = _monitor()
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        _fit(tmp_path, monitor, _Interrupting(), _test(), max_epochs=3)
    assert len(_found(monitor)) == 3
    gc.collect()
    assert len(kept) >= 3
    assert not any(one() for one in kept)


def _watched(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return weak references to everything that was explained."""
    found: list[Any] = []
    explain = exchange.explain

    def watched(*args: Any) -> Any:
        made = explain(*args)
        found.extend(weakref.ref(one.explanation) for one in made)
        found.extend(weakref.ref(one.wish) for one in made)
        return made

    monkeypatch.setattr(exchange, "explain", watched)
    return found


class _Looking(L.Callback):
    """Looks after the last turn of a moment what is still alive."""

    def __init__(self, kept: list[Any]) -> None:
        self.kept = kept
        self.alive: list[int] = []

    def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        self._look()

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self._look()

    def _look(self) -> None:
        gc.collect()
        self.alive.append(sum(one() is not None for one in self.kept))


@pytest.mark.parametrize("last", ["test", "monitor", "late", "failing"])
def test_nothing_is_kept_after_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str) -> None:
    makes: dict[str, list[Any]] = {
        "test": [_monitor(), _test()],
        "monitor": [_test(), _monitor()],
        "late": [_monitor(), _test(), _monitor(namespace="late", every_n_epochs=2)],
        "failing": [_monitor(), _alarm(), _test()],
    }
    looking = _Looking(_watched(monkeypatch))
    _fit(tmp_path, *makes[last], looking, max_epochs=3, limit_train_batches=1)
    assert len(looking.kept) >= 10
    assert looking.alive == [0] * 6


def test_what_nobody_wants_any_more_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though others have their turn later."""
    looking = _Looking(_watched(monkeypatch))
    last = _monitor(namespace="last", seed=3)
    _fit(tmp_path, _monitor(), _test(), looking, last, max_epochs=3, limit_train_batches=1)
    # At the first moment the last one may want it.
    assert looking.alive == [0] * 6
    assert len(looking.kept) >= 10


def test_samples_are_moved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    load = Wish.inputs.func
    counted = functools.cached_property(lambda wish: found.append(wish.n_samples) or load(wish))
    counted.__set_name__(Wish, "inputs")
    monkeypatch.setattr(Wish, "inputs", counted)
    _fit(tmp_path, _monitor(), _test(), _monitor(namespace="other"), max_epochs=3)
    # Before the training each of two once, as they are new; the third takes what the first has found.
    assert found == [_SIZE] * 5


@pytest.mark.parametrize("name", ["batch normalization and dropout", "a generator of its own"])
def test_the_training_is_bit_identical(tmp_path: Path, name: str) -> None:
    net = _NETS[name]
    without = _fit(tmp_path, net=net).state_dict()
    with_all = _fit(tmp_path, *(make() for make in _THREE.values()), _alarm(), net=net).state_dict()
    assert_equal(with_all, without)


def test_each_pays_its_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What two explain together, of the same methods, costs each of them half, whoever comes first."""
    now = [0.0]
    explain = exchange.explain

    def slow(wishes: Any, ranks: Any) -> Any:
        now[0] += 10.0
        return explain(wishes, ranks)

    monkeypatch.setattr(exchange, "explain", slow)
    both = [_monitor("gradient", max_seconds_per_observation=6.0), _monitor("gradient", namespace="other")]
    for callback in both:
        callback.cost.clock = lambda: now[0]
    _fit(tmp_path, *both, max_epochs=3)
    assert [callback.cost.seconds for callback in both] == [5.0, 5.0]
    assert [callback.state.thinning for callback in both] == [1, 1]


@pytest.mark.parametrize("is_first", [True, False])
def test_nobody_pays_for_the_passes_of_another(
    tmp_path: Path, runs: list[int], monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    """By a clock that counts the rows which the model is given."""
    rows = [0.0]
    monkeypatch.setattr(run, "perf_counter", lambda: rows[0])

    def seconds(*callbacks: Any) -> list[float]:
        for one in callbacks:
            one.cost.clock = lambda: rows[0]
        module = Classifier(small_net())
        module.net.register_forward_pre_hook(lambda _, args: rows.__setitem__(0, rows[0] + len(args[0])))
        _fit(tmp_path, *callbacks, module=module)
        return [one.cost.seconds for one in callbacks]

    def make() -> list[Any]:
        return [_monitor("gradient"), _monitor(["gradient", SmoothGrad(nt_samples=50)], namespace="dear")]

    found = seconds(*(make() if is_first else make()[::-1]))
    cheap, dear = found if is_first else found[::-1]
    assert runs[-1] == 2
    assert (cheap, dear) == (_SIZE / 2, _SIZE / 2 + 50 * _SIZE)
    assert [seconds(one)[0] for one in make()] == [_SIZE, 51 * _SIZE]


def test_texts(tmp_path: Path, runs: list[int]) -> None:
    def fit(*callbacks: L.Callback) -> None:
        torch.manual_seed(5)
        trainer(tmp_path, *callbacks).fit(text_runs.LstmClassifier(), text_runs.pairs(), text_runs.pairs())

    def monitor() -> Any:
        methods = ["gradient_norm", IntegratedGradients(n_steps=3, baselines="pad_token")]
        given = {"save_maps": False, "sinks": [MemorySink()], "on_error": "raise"}
        return TokenSaliencyMonitor(methods, 5, text_runs.WORDS, **grouped(TokenSaliencyMonitor, **given))

    def test() -> Any:
        return _test(["gradient_norm", "input_x_gradient"], probe=5, embedding="auto", tokenizer=text_runs.WORDS)

    both, alone = [test(), monitor()], [test(), monitor()]
    fit(*both)
    assert runs[-2:] == [2, 2]
    for one, other in zip(both, alone, strict=True):
        fit(other)
        _assert_same(_found(one), _found(other))


@dataclass(frozen=True)
class _Weighted(Gradient):
    """Compares with another as an array does, which is neither true nor false."""

    weights: Any = field(default_factory=lambda: np.ones(3))

    def __eq__(self, other: object) -> bool:
        return bool(self.weights == getattr(other, "weights", None))

    __hash__ = None  # type: ignore[assignment]


def test_methods_that_cannot_be_compared(tmp_path: Path) -> None:
    both = [_monitor(["gradient", _Weighted(name="weighted")]) for _ in range(2)]
    both[1].namespace = "other"
    _fit(tmp_path, *both, max_epochs=2)
    alone = _monitor(["gradient", _Weighted(name="weighted")])
    _fit(tmp_path, alone, max_epochs=2)
    for one in both:
        assert_equal(*[{name: map_.state for name, map_ in _plain(_found(it)[-1]).items()} for it in (one, alone)])


class _Overwriting(MemorySink):
    """Writes into the maps that it is given."""

    def write(self, snapshot: Any, *args: Any, **given: Any) -> None:
        for attribution in snapshot.attributions.values():
            attribution.values.fill_(7.0)
            attribution.score.fill_(7.0)


@pytest.mark.parametrize("place", [0, 1])
def test_a_sink_that_writes_into_maps_changes_those_of_no_other(tmp_path: Path, runs: list[int], place: int) -> None:
    others = [_monitor(), _test()]
    ours = [*others[:place], _monitor(namespace="overwriting", sinks=[_Overwriting()]), *others[place:]]
    _fit(tmp_path, *ours)
    assert runs[-2:] == [3, 3]
    for one, make in zip(others, (_monitor, _test), strict=True):
        alone = make()
        _fit(tmp_path, alone)
        _assert_same(_found(one), _found(alone))


class _Pruning(SaliencyMonitor):
    """A person's own monitor, which acts on what it has found."""

    def _on_observed(self, host: Any) -> None:
        host.module.net[0].weight.data.mul_(1.5)


def test_a_neighbor_that_changes_the_model_is_noticed(tmp_path: Path, runs: list[int]) -> None:
    def fit(**changes: Any) -> list[Any]:
        given = {"probe": _SIZE, "save_maps": False, "sinks": [MemorySink()], "namespace": "pruning", **changes}
        both = [_Pruning(["gradient", "grad_cam"], **grouped(SaliencyMonitor, **given)), _test()]
        _fit(tmp_path, *both)
        return both

    together = fit()
    assert runs[2:] == [2, 1, 1, 1]
    # Nothing is shared with who has another seed.
    _assert_same(_found(together[1]), _found(fit(seed=3)[1]))
