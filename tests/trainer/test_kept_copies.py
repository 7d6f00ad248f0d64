"""Random copies that are explained once: the scores are those of copies that are explained at every test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn

from saliency_callbacks import Draws, RandomizationTest
from saliency_callbacks.callbacks.randomization import keeping
from saliency_callbacks.methods import SmoothGrad
from saliency_callbacks.sinks import MemorySink
from saliency_callbacks.targets import ContrastTarget, SimilarityTarget
from tests.grouping import grouped
from tests.trainer.runs import WEIGHTS_ONLY, Classifier, small_net, train_loader, trainer, val_loader

_AT_EVERY_TEST = "the random copies are explained anew at every test"


class Tied(nn.Module):
    """Applies one layer twice, and shares its weight with another one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 64)
        self.second.weight = self.first.weight
        self.head = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(images.flatten(1)))
        return self.head(torch.tanh(self.second(torch.tanh(self.first(hidden)))))


class Attending(nn.Module):
    """Has biases that are zero before the training and not after it."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        rows = images[:, 0]
        return self.head(self.attention(rows, rows, rows, need_weights=False)[0].flatten(1))


class Shifted(nn.Module):
    """Has a parameter that no module initializes."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small_net()
        self.shift = nn.Parameter(torch.linspace(-1, 1, 10))

    def forward(self, images: Tensor) -> Tensor:
        logits = self.net(images)
        return logits + self.shift * logits.square()


class Warm(nn.Module):
    """Has a number beside its weights that the training changes."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.temperature = small_net(), 1.0

    def forward(self, images: Tensor) -> Tensor:
        self.temperature += 0.01 * self.training
        return self.net(images) / self.temperature


class Counting(nn.Module):
    """Has a buffer that the training changes, which is no statistic of a normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small_net()
        self.register_buffer("center", torch.zeros(10))

    def forward(self, images: Tensor) -> Tensor:
        logits = self.net(images)
        if self.training:
            self.center.lerp_(logits.detach().mean(0), 0.1)
        return logits - self.center


def _test(sink: MemorySink, **changes: Any) -> RandomizationTest:
    settings = {"probe": 6, "n_draws": 3, "cascade_at_fit_end": False, "sinks": [sink], "save_maps": False, **changes}
    methods = settings.pop("methods", ["gradient", "grad_cam"])
    return RandomizationTest(methods, **grouped(RandomizationTest, **settings), on_error="raise")


def _module(net: Callable[[], nn.Module]) -> Classifier:
    torch.manual_seed(5)
    return Classifier(net())


def _noisy() -> nn.Module:
    return small_net(noisy=True)


def _fit(root: Path, net: Callable[[], nn.Module], *callbacks: L.Callback, **changes: Any) -> MemorySink:
    """Train, and return what the first of the callbacks wrote."""
    run = trainer(root, *callbacks, **{"max_epochs": 3, **changes})
    run.fit(_module(net), train_loader(), val_loader())
    return callbacks[0].sinks[0]


def _n_states(sink: MemorySink) -> list[int]:
    """Return how many states were explained in each test, of methods that share one pass."""
    return [snapshot.metadata["n_passes"] for snapshot in sink.snapshots]


def _assert_equal(sink: MemorySink, other: MemorySink) -> None:
    assert len(sink.snapshots) == len(other.snapshots) > 0
    for one, two in zip(sink.snapshots, other.snapshots, strict=True):
        # Ranks of kept copies are rounded to 16 bits.
        assert one.scores == pytest.approx(dict(two.scores), abs=2e-5, nan_ok=True)
        assert one.metadata["not_randomized"] == two.metadata["not_randomized"]
        assert one.metadata["verdicts"] == two.metadata["verdicts"]


_NETS: dict[str, Callable[[], nn.Module]] = {
    "batch normalization and dropout": _noisy,
    "tied weights": Tied,
    "biases that start at zero": Attending,
}


@pytest.mark.parametrize("name", _NETS)
def test_copies_that_are_kept_and_such_that_are_not_give_the_same_scores(tmp_path: Path, name: str) -> None:
    methods = ["gradient", "input_x_gradient"]
    kept = _fit(tmp_path, _NETS[name], _test(MemorySink(), methods=methods))
    anew = _fit(tmp_path, _NETS[name], _test(MemorySink(), methods=methods, max_mib=0))
    assert _n_states(kept) == [4, 1, 1, 1, 1]
    assert _n_states(anew) == [3, 3, 3, 3, 3]
    _assert_equal(kept, anew)
    # And the training changes them.
    similarities = [snapshot.scores["randomization/gradient/similarity"] for snapshot in kept.snapshots[:-1]]
    assert len(set(similarities)) == 4


def test_every_similarity_and_a_method_that_draws_noise(tmp_path: Path) -> None:
    given = {
        "methods": ["gradient", SmoothGrad(nt_samples=2)],
        "similarities": ["spearman", "abs_spearman", "ssim", "hog", "cosine", "top_k"],
    }
    kept = _fit(tmp_path, small_net, _test(MemorySink(), **given), max_epochs=1)
    _assert_equal(kept, _fit(tmp_path, small_net, _test(MemorySink(), **given, max_mib=0), max_epochs=1))


def test_a_run_that_goes_on_explains_the_copies_once_more(tmp_path: Path) -> None:
    first, second = _test(MemorySink()), _test(MemorySink())
    run = trainer(tmp_path, first, max_epochs=2)
    run.fit(_module(_noisy), train_loader(), val_loader())
    run.save_checkpoint(tmp_path / "run.ckpt")
    state = torch.load(tmp_path / "run.ckpt", weights_only=True)["callbacks"][first.state_key]
    assert len(str(state)) < 4000, "nothing of the copies is in it"
    again = trainer(tmp_path, second, max_epochs=3)
    again.fit(_module(_noisy), train_loader(), val_loader(), ckpt_path=tmp_path / "run.ckpt", **WEIGHTS_ONLY)
    before, after = first.sinks[0], second.sinks[0]
    assert [snapshot.stage for snapshot in after.snapshots] == ["fit", "final"]
    assert _n_states(after) == [4, 4]
    floor = "randomization/gradient/floor"
    assert after.snapshots[0].scores[floor] == before.snapshots[0].scores[floor]


def test_what_they_take_is_told_once(tmp_path: Path, said: list[str]) -> None:
    _fit(tmp_path, small_net, _test(MemorySink()))
    told = [message for message in said if "copies" in message]
    assert len(told) == 1
    # 3 copies, 2 similarities, 6 samples: 64 positions of the gradient and 64 of Grad-CAM, with a step for each sample.
    n_bytes = 3 * 2 * 6 * (64 * 2 + 4) * 2
    assert told == [
        (
            "randomization: the 3 random copies are explained only once; keeping their maps for later tests takes "
            f"{n_bytes / 2**20:.2g} MiB"
        )
    ]


@pytest.mark.parametrize(
    ("target", "anew"),
    [(ContrastTarget("predicted", 3), 1), (SimilarityTarget(torch.arange(10.0)), 1), (SimilarityTarget(), 2)],
    ids=["pinned", "given", "initial"],
)
def test_copies_are_kept_once_a_target_with_a_name_has_found_what_it_asks_for(
    tmp_path: Path, said: list[str], target: Any, anew: int
) -> None:
    sink = _fit(tmp_path, small_net, test := _test(MemorySink(), target=target))
    assert all(count >= 3 for count in _n_states(sink)[:anew])
    assert all(count < 3 for count in _n_states(sink)[anew:])
    assert not any("explained anew" in message for message in said)
    other = _fit(tmp_path, small_net, _test(MemorySink(), target=target, max_mib=0))
    _assert_equal(sink, other)
    conditions = test._keeping._copies.conditions
    assert conditions.change(replace(conditions, named=ContrastTarget(1, 2))) == "the target"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"randomize": "permute"}, "randomize='permute' derives them from the trained weights"),
        ({"order": "top_down"}, "with order='top_down', they also contain trained weights"),
        ({"target": "predicted"}, "with target='predicted', the explained classes may differ at every test"),
        ({"target": lambda output: output[:, 0]}, "a callable target may return different scores at every test"),
        (
            {"max_mib": 0.001},
            "keeping the maps of 3 copies would take 0.0091 MiB, more than Draws(max_mib=0.001) allows",
        ),
    ],
    ids=["permute", "order", "predicted", "function", "memory"],
)
def test_copies_are_not_kept_where_the_settings_forbid_it(
    tmp_path: Path, said: list[str], changes: dict[str, Any], why: str
) -> None:
    sink = _fit(tmp_path, small_net, _test(MemorySink(), **changes), max_epochs=2)
    assert min(_n_states(sink)) >= 3
    assert [message for message in said if "copies are explained" in message] == [
        f"randomization: {_AT_EVERY_TEST}, because {why}"
    ]


@pytest.mark.parametrize(
    ("net", "why"),
    [
        (Shifted, "'net.shift' of a random copy depends on the trained weights"),
        (Counting, "'net.center' of a random copy depends on the trained weights"),
        (Warm, "a random copy with the same weights returns different outputs than before"),
    ],
)
def test_copies_are_not_kept_where_they_depend_on_the_training(
    tmp_path: Path, said: list[str], net: type[nn.Module], why: str
) -> None:
    sink = _fit(tmp_path, net, _test(MemorySink()))
    assert [message for message in said if _AT_EVERY_TEST in message] == [
        f"randomization: {_AT_EVERY_TEST}, because {why}"
    ]
    # Kept before the training; seen after its first epoch, when the trained model has been explained already.
    assert _n_states(sink) == [4, 4, 3, 3, 3]
    _assert_equal(sink, _fit(tmp_path, net, _test(MemorySink(), max_mib=0)))


class _Changes(L.Callback):
    """Changes something about a test after its second observation."""

    def __init__(self, test: RandomizationTest, change: Any) -> None:
        self.test, self.change = test, change

    def on_train_epoch_start(self, run: L.Trainer, module: L.LightningModule) -> None:
        if run.current_epoch == 1:
            self.change(self.test)


def _settings(**changes: Any) -> Any:
    def change(test: RandomizationTest) -> None:
        test.settings = replace(test.settings, **changes)

    return change


def _inputs(test: RandomizationTest) -> None:
    test._frozen = replace(test._frozen, inputs=1 - test._frozen.inputs, fingerprint="others")


def _classes(test: RandomizationTest) -> None:
    test.target = 7


def _similarities(test: RandomizationTest) -> None:
    test.similarities = test.similarities[:1]


def _redraw(test: RandomizationTest) -> None:
    test.redraw = _all_normal


def _all_normal(module: nn.Module) -> None:
    for parameter in module.parameters(recurse=False):
        nn.init.normal_(parameter)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_inputs, "the inputs"),
        (_classes, "the explained classes"),
        (_settings(target_layers=["net.0"]), "the target layers"),
        (lambda test: _settings(methods=test.settings.methods[:1])(test), "the methods"),
        (_similarities, "the similarities"),
        (_redraw, "how weights are drawn"),
        (_settings(seed=5), "the settings"),
        (_settings(full_precision=True), "the settings"),
        (_settings(internal_batch_size=2), "the settings"),
    ],
    ids=["inputs", "classes", "layers", "methods", "similarities", "redraw", "seed", "precision", "rows"],
)
def test_copies_are_explained_anew_after_a_change(tmp_path: Path, said: list[str], change: Any, what: str) -> None:
    test = _test(MemorySink())
    sink = _fit(tmp_path, small_net, test, _Changes(test, change))
    n_states = 1 + test.draws.n_draws
    assert _n_states(sink)[:3] == [n_states, 1, n_states]
    assert f"randomization: the random copies are explained anew: {what} changed" in said
    # As in a run that was like that from the start.
    other = _test(MemorySink())
    fresh = _fit(tmp_path, small_net, other, _Starts(other, change))
    tags = fresh.snapshots[2].scores
    assert {tag: sink.snapshots[2].scores[tag] for tag in tags} == pytest.approx(dict(tags), abs=1e-9, nan_ok=True)


class _Starts(L.Callback):
    """Changes something about a test before its first observation of a training."""

    def __init__(self, test: RandomizationTest, change: Any) -> None:
        self.test, self.change = test, change

    def on_train_start(self, run: L.Trainer, module: L.LightningModule) -> None:
        if self.test._frozen is not None:
            self.change(self.test)
            self.test._keeping._copies = None


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_another_precision_of_the_trainer_is_seen(tmp_path: Path, said: list[str], precision: str) -> None:
    """Autocast is no setting of the callback; it shows in what the model returns."""
    test, module = _test(MemorySink()), Classifier()
    trainer(tmp_path, test, max_epochs=1).fit(module, train_loader(), val_loader())
    trainer(tmp_path, test, precision=precision).validate(module, val_loader(), verbose=False)
    assert _n_states(test.sinks[0])[-1] == (1 if precision == "32-true" else 4)


def test_a_failed_test_keeps_no_half_of_the_copies(tmp_path: Path) -> None:
    class Fails:
        name = "fails"
        calls = 0

        def requires(self) -> Any:
            return SmoothGrad(nt_samples=2).requires()

        def attribute(self, evidence: Any) -> Any:
            Fails.calls += 1
            if Fails.calls == 4:
                raise ValueError("in the second copy")
            return SmoothGrad(nt_samples=2).attribute(evidence)

    sink = MemorySink()
    test = RandomizationTest(
        [Fails()], **grouped(RandomizationTest, probe=6, n_draws=3, cascade_at_fit_end=False, sinks=[sink])
    )
    with pytest.warns(UserWarning, match="in the second copy"):
        _fit(tmp_path, small_net, test, max_epochs=2)
    assert [snapshot.stage for snapshot in sink.snapshots] == ["fit", "fit", "final"]
    assert _n_states(sink) == [4, 1, 1]


def _resumed(root: Path, net: Callable[[], nn.Module], test: RandomizationTest, **changes: Any) -> MemorySink:
    """Train for two epochs, go on for two more with another callback, and return what that one wrote."""
    first = _test(MemorySink(), **changes)
    run = trainer(root, first, max_epochs=2)
    run.fit(_module(net), train_loader(), val_loader())
    run.save_checkpoint(root / "run.ckpt")
    again = trainer(root, test, max_epochs=4)
    again.fit(_module(net), train_loader(), val_loader(), ckpt_path=root / "run.ckpt", **WEIGHTS_ONLY)
    return test.sinks[0]


def test_a_run_that_goes_on_has_as_many_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"methods": "gradient", "n_draws": "auto"}
    # Three copies are added at the second test of each run, before its checkpoint; they are enough from then on.
    answers = iter([True, False, *[True] * 20])
    monkeypatch.setattr(keeping, "is_certain", lambda *numbers: next(answers))
    whole = _fit(tmp_path, small_net, _test(MemorySink(), **changes), max_epochs=4)
    answers = iter([True, False, *[True] * 20])
    parted = _resumed(tmp_path, small_net, _test(MemorySink(), **changes), **changes)
    assert [snapshot.metadata["n_draws"] for snapshot in whole.snapshots] == [5, 8, 8, 8, 8, 8]
    assert [dict(one.scores) for one in parted.snapshots] == [dict(one.scores) for one in whole.snapshots[3:]]


def test_a_run_that_goes_on_knows_that_copies_depend_on_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "is_certain", lambda *numbers: False)
    sink = _resumed(tmp_path, Shifted, _test(MemorySink(), n_draws="auto"), n_draws="auto")
    assert {snapshot.metadata["n_draws"] for snapshot in sink.snapshots} == {5}


def test_a_run_that_goes_on_with_less_memory_keeps_what_it_has_memory_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "is_certain", lambda *numbers: False)
    test = _test(MemorySink(), n_draws="auto", max_mib=0.03)
    sink = _resumed(tmp_path, small_net, test, n_draws="auto")
    assert {snapshot.metadata["n_draws"] for snapshot in sink.snapshots} <= {5, 8}


@pytest.mark.parametrize(("is_certain", "n_draws"), [(True, 5), (False, 20)])
def test_as_many_copies_as_the_verdict_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_certain: bool, n_draws: int
) -> None:
    monkeypatch.setattr(keeping, "is_certain", lambda *numbers: is_certain)
    sink = _fit(tmp_path, small_net, _test(MemorySink(), n_draws="auto"), max_epochs=2)
    assert _n_states(sink) == [1 + n_draws, 1, 1, 1]
    assert {snapshot.metadata["n_draws"] for snapshot in sink.snapshots} == {n_draws}
    fixed = _fit(tmp_path, small_net, _test(MemorySink(), n_draws=n_draws), max_epochs=2)
    assert [dict(one.scores) for one in sink.snapshots] == [dict(one.scores) for one in fixed.snapshots]


def test_more_copies_are_added_when_the_verdict_becomes_uncertain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([True, False, True, True])
    monkeypatch.setattr(keeping, "is_certain", lambda *numbers: next(answers))
    sink = _fit(tmp_path, small_net, _test(MemorySink(), methods="gradient", n_draws="auto"), max_epochs=2)
    assert _n_states(sink) == [6, 4, 1, 1]
    assert sink.snapshots[-1].metadata["n_draws"] == 8
    fixed = _fit(tmp_path, small_net, _test(MemorySink(), methods="gradient", n_draws=8), max_epochs=2)
    assert sink.snapshots[2].scores == pytest.approx(dict(fixed.snapshots[2].scores), abs=1e-9)


@pytest.mark.parametrize(
    ("changes", "n_draws"),
    [({"max_mib": 0.03}, 8), ({"max_mib": 0.001}, 5), ({"max_mib": 0}, 5), ({"randomize": "permute"}, 5)],
    ids=["memory for some", "too little memory", "no memory", "permuted"],
)
def test_few_copies_where_they_cannot_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], n_draws: int
) -> None:
    monkeypatch.setattr(keeping, "is_certain", lambda *numbers: False)
    sink = _fit(tmp_path, small_net, _test(MemorySink(), n_draws="auto", **changes), max_epochs=1)
    assert sink.snapshots[-1].metadata["n_draws"] == n_draws


def test_the_default_is_auto() -> None:
    assert RandomizationTest().draws == Draws(n_draws="auto", max_mib=512)
