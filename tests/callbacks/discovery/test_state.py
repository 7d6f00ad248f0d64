"""What a discovery remembers from one evaluation to the next, and through a checkpoint."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
import torch

from saliency_callbacks.callbacks.discovery.state import DiscoveryState, Known
from saliency_callbacks.callbacks.discovery.stored import CHANGES, as_kept, as_stored, restored
from saliency_callbacks.callbacks.runtime.observation import Moment, Stage
from saliency_callbacks.discovery import changes
from saliency_callbacks.discovery.changes import AddedNoise, Overlay, PastedPixels, ShiftedProperty
from saliency_callbacks.discovery.dismissals import Dismissal
from saliency_callbacks.discovery.suspicion import Suspicion
from tests.callbacks.discovery.suspicions import suspicion

_ALPHA = 0.01


def _after(
    state: DiscoveryState, *found: Suspicion, epoch: int = 0, stage: Stage = "fit", **more: Any
) -> DiscoveryState:
    return state.after(found, Moment(epoch, 10 * epoch, stage), _ALPHA, **more)


def _run(*evaluations: list[Suspicion]) -> list[DiscoveryState]:
    states = [DiscoveryState()]
    for epoch, found in enumerate(evaluations):
        states.append(_after(states[-1], *found, epoch=epoch))
    return states[1:]


def test_it_is_confirmed_by_the_second_use_in_a_row() -> None:
    used, unused = suspicion(), suspicion(is_used=False)
    states = _run([used], [unused], [used], [used], [used])
    assert [len(state.confirmed) for state in states] == [0, 0, 0, 1, 1]
    assert [len(state.fired) for state in states] == [0, 0, 0, 1, 0]
    assert [state.known[0].streak for state in states] == [1, 0, 1, 2, 3]


def test_an_evaluation_without_it_breaks_the_row_and_it_is_remembered() -> None:
    used = suspicion(first_seen=None)
    states = _run([used], [], [used], [used], [])
    assert [len(state.fired) for state in states] == [0, 0, 0, 1, 0]
    assert [len(state.current) for state in states] == [1, 0, 1, 1, 0]
    assert states[2].current[0].suspicion.first_seen == 0
    assert states[4].confirmed[0].suspicion.exhibit is None
    assert len(states[4].confirmed) == 1, "to be watched, found or not"


def test_the_alarm_is_once_for_each() -> None:
    one, other = suspicion(), suspicion(kind="places", bearers=("80", "81"))
    states = _run([one, other], [one], [one, other], [], [one, other], [other, one])
    assert [[known.suspicion.kind for known in state.fired] for state in states] == [
        [], ["copies"], [], [], [], ["places"],
    ]  # fmt: skip


@pytest.mark.parametrize("stage", ["initial", "validate"])
def test_what_is_no_evaluation_of_the_training_confirms_nothing(stage: Stage) -> None:
    state = DiscoveryState()
    for _ in range(3):
        state = _after(state, suspicion(), stage=stage)
    assert (state.n_evaluations, state.confirmed, len(state.current)) == (0, (), 1)
    state = _after(state, suspicion())
    assert state.confirmed == ()


def test_chance_is_bounded_over_all_evaluations() -> None:
    # 1 / (1 · 2) + 1 / (2 · 3) + … = 1.
    assert sum(1 / Known.spent(1.0, number) for number in range(1, 100_000)) == pytest.approx(1, abs=1e-4)
    weak, strong = suspicion(p_value=0.006), suspicion(p_value=0.0005)
    assert [len(state.confirmed) for state in _run([weak], [weak], [weak])] == [0, 0, 0]
    assert [len(state.confirmed) for state in _run([weak], [weak], [strong])] == [0, 0, 1]
    assert [len(state.confirmed) for state in _run([strong], [weak])] == [0, 1], "was tested once"
    assert [len(state.confirmed) for state in _run([], [], [], [suspicion(p_value=0.0006)], [weak])] == [0] * 5


def test_what_is_dismissed_sets_off_nothing_until_it_no_longer_is() -> None:
    dismissal = Dismissal.of(suspicion(), "5f3a")
    state = DiscoveryState()
    for _ in range(3):
        state = _after(state, suspicion(), dismissals=[dismissal])
    assert (state.current, state.confirmed, state.fired, state.n_dismissed) == ((), (), (), 1)
    state = _after(state, suspicion())
    assert len(state.fired) == 1


def test_names_are_those_of_the_first_time_and_never_the_same() -> None:
    first = suspicion(bearers=("17", "3"))
    turned = suspicion(bearers=("3", "17"))
    # The same first bearer, but half of the others are not shared.
    other = suspicion(bearers=("17", "5", "6", "7", "8"), kind="copies")
    states = _run([first], [turned, other])
    names = [known.suspicion.name for known in states[1].current]
    assert names == [first.name, f"{first.name}-2"]


def test_only_what_is_shown_keeps_its_pictures() -> None:
    many = [suspicion(bearers=(str(index),)) for index in range(20)]
    (state,) = _run(many)
    assert [known.suspicion.exhibit is not None for known in state.current] == [True] * 12 + [False] * 8


def test_what_was_found_long_ago_is_forgotten_unless_it_was_confirmed() -> None:
    confirmed = suspicion(kind="places")
    states = _run([confirmed], [confirmed], *[[suspicion(bearers=(str(index),))] for index in range(80)])
    assert len(states[-1].known) == 1 + 64 + 1
    assert len(states[-1].confirmed) == 1


_CHANGES = {
    "pixels": PastedPixels(torch.rand(3, 4, 5), torch.rand(4, 5) > 0.5, 2, 3),
    "overlay": Overlay(torch.rand(3, 64, 64) * 2 - 1, torch.rand(64, 64)),
    "noise": AddedNoise(0.1 * torch.randn(3, 64, 64)),
    "property": ShiftedProperty("brightness", 0.25),
}


def test_every_change_is_known() -> None:
    named = {name for name in changes.__all__ if name != "Change"}
    assert named <= CHANGES.keys()


@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES.keys())
def test_a_suspicion_comes_back_from_a_checkpoint(change: Any) -> None:
    given = replace(suspicion(), change=change, region=torch.rand(64, 64) > 0.5, known_as="copies-4-17")
    file = io.BytesIO()
    torch.save(as_stored(given), file)
    file.seek(0)
    found = restored(torch.load(file, weights_only=True))
    for name, value in vars(given).items():
        if name not in ("exhibit", "change", "region"):
            assert getattr(found, name) == value
            assert type(getattr(found, name)) is type(value)
    assert torch.equal(found.region, given.region)
    assert found.exhibit is None
    for name, value in vars(change).items():
        kept = getattr(found.change, name)
        if isinstance(value, torch.Tensor):
            assert kept.dtype == value.dtype
            torch.testing.assert_close(kept, value, atol=5e-4, rtol=0)
        else:
            assert kept == value


def test_what_large_images_add_to_a_checkpoint_is_bounded() -> None:
    pasted = PastedPixels(torch.rand(3, 300, 400), torch.rand(300, 400) > 0.5, 5, 7)
    images, sizes = torch.rand(1, 3, 768, 1024), []
    for change in (Overlay(torch.rand(3, 768, 1024) - 0.5, torch.rand(768, 1024)), pasted):
        file = io.BytesIO()
        torch.save(as_stored(replace(suspicion(), change=change, region=torch.rand(768, 1024) > 0.5)), file)
        sizes.append(file.tell())
        file.seek(0)
        found = restored(torch.load(file, weights_only=True)).change
        # What is measured of a suspicion that is watched is the same in a run that goes on and in one that is resumed.
        assert torch.equal(as_kept(found)(images), as_kept(change)(images))
    assert max(sizes) < 160_000


@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES.keys())
def test_a_resumed_run_goes_on_with_the_same_change(change: Any) -> None:
    images = torch.rand(2, 3, 64, 64)
    kept = as_kept(change)
    assert torch.equal(as_kept(restored(as_stored(replace(suspicion(), change=kept))).change)(images), kept(images))


def test_a_difference_of_an_earlier_version_is_an_overlay_that_hides_nothing() -> None:
    difference = torch.tensor([[[0.5, -0.5, 0.0]]])
    state = as_stored(suspicion())
    state["change"] = {"kind": "AddedDifference", "values": {"difference": difference}}
    images = torch.rand(2, 1, 1, 3)
    assert torch.equal(restored(state).change(images), (images + difference).clamp(0, 1))


def test_a_checkpoint_does_not_say_what_is_imported() -> None:
    state = as_stored(suspicion())
    state["change"]["kind"] = "system"
    with pytest.raises(KeyError):
        restored(state)


def test_the_whole_state_comes_back_and_is_small() -> None:
    before = _run(*[[suspicion(change=_CHANGES["pixels"])]] * 3)[-1]
    file = io.BytesIO()
    torch.save(before.state_dict(), file)
    assert file.tell() < 20_000
    file.seek(0)
    after = DiscoveryState.from_state_dict(torch.load(file, weights_only=True))
    assert after.n_evaluations == 3
    assert [(one.streak, one.is_confirmed, one.was_alarmed, one.fired) for one in after.known] == [
        (3, True, True, False)
    ]
    assert _after(after, suspicion()).fired == ()


def test_another_probe_begins_anew() -> None:
    state = _run([suspicion()])[-1].restarted()
    assert (state.known, state.n_evaluations) == ((), 0)
