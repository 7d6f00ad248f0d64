"""One search over generators that are told what to propose: correction, ranking, time, and what is left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from saliency_callbacks.discovery.candidate import Count, Trial
from saliency_callbacks.discovery.changes import Overlay
from saliency_callbacks.discovery.reader import ModelReader
from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.discovery.search import Search

_LABELS = torch.arange(90) % 3


def _samples() -> Samples:
    return Samples(torch.rand(90, 1, 2, 2), _LABELS, [f"image {n}" for n in range(90)], ["ant", "bee", "cat"])


class _Reader:
    """The logit of each class is a pixel of the image, once for all."""

    def logits(self, inputs: Tensor) -> Tensor:
        return inputs[:, 0].flatten(1)[:, :3].double()

    def gradients(self, inputs: Tensor, labels: Tensor) -> Tensor:
        return torch.zeros_like(inputs)


@dataclass
class _Told:
    """A candidate of which all is known."""

    class_index: int
    p_value: float = 1e-6
    rise: float | Tensor = 1.0
    control: float = 0.0
    bears: Tensor = field(default_factory=lambda: _LABELS == 1)
    has_trial: bool = True
    what: str = "a cue"
    tried: list[str] = field(default_factory=list)

    def count(self, samples: Samples) -> Count | None:
        return Count(self.bears, torch.arange(90.0), self.p_value) if self.p_value < 1 else None

    def trial(self, samples: Samples, count: Count) -> Trial | None:
        self.tried.append(self.what)
        if not self.has_trial:
            return None
        into = (self.class_index != _LABELS).nonzero()[:, 0]
        images = samples.inputs[into]
        raised, control = images.clone(), images.clone()
        raised[:, 0].flatten(1)[:, self.class_index] += self.rise
        control[:, 0].flatten(1)[:, self.class_index] += self.control
        return Trial(into, raised, [images, control], "effect", Overlay(torch.ones(1, 2, 2), torch.zeros(2, 2)))


@dataclass
class _Teller:
    candidates: Sequence[_Told]
    n_looked_at: int = 1
    kind: str = "copies"

    def propose(self, samples: Samples, reader: ModelReader) -> tuple[Sequence[_Told], int]:
        return self.candidates, self.n_looked_at


def _bearing(*positions: int) -> Tensor:
    return torch.zeros(90, dtype=torch.bool).index_fill(0, torch.tensor(positions), value=True)


def _found(*generators: _Teller, **settings):
    return Search(generators, **settings).run(_samples(), _Reader())


def test_p_values_are_corrected_by_all_that_was_looked_at() -> None:
    (one,) = _found(_Teller([_Told(1, 1e-4)], 30), _Teller([], 60, "places"))
    assert one.p_value == pytest.approx(90e-4)
    assert not _found(_Teller([_Told(1, 1e-4)], 30), _Teller([], 71, "places"))
    assert _found(_Teller([_Told(1, 1e-4)], 30), _Teller([], 71, "places"), significance=0.02)


def test_what_was_found_in_numbers() -> None:
    samples = _samples()
    bears = (_LABELS == 1) & (torch.arange(90) < 60)
    for other, n_bearing in ((0, 1), (2, 3)):
        bears[samples.of_class(other, samples.counts)[:n_bearing]] = True
    (one,) = _found(_Teller([_Told(1, bears=bears)]))
    own = samples.of_class(1, samples.counts)
    assert one.counts == (int(bears[own].sum()), 20, 3, 20)
    assert (one.share, one.share_elsewhere, one.elsewhere) == (one.counts[0] / 20, 0.15, "cat")
    assert (one.class_name, one.kind, one.what, one.is_used) == ("bee", "copies", "a cue", True)
    # All bearers of the class, also those that proposed, and the most typical first.
    assert one.bearers == tuple(f"image {n}" for n in range(58, -1, -3))
    assert one.region is None


def test_what_is_used_is_first_by_its_bound_and_the_rest_is_ranked_by_its_skew() -> None:
    told = [
        _Told(1, what="weak", rise=0.6, bears=_bearing(1)),
        _Told(1, what="unused and frequent", rise=0.0, bears=_bearing(*range(4, 70, 3))),
        _Told(0, what="unused and rare", rise=0.0, bears=_bearing(*range(0, 15, 3))),
        _Told(2, what="strong", rise=3.0, bears=_bearing(2)),
    ]
    expected = ["strong", "weak", "unused and frequent", "unused and rare"]
    assert [one.what for one in _found(_Teller(told))] == expected
    assert [one.what for one in _found(_Teller(told[::-1]))] == expected


def test_one_cue_of_two_kinds_is_one_suspicion_of_the_first_kind() -> None:
    copied, placed = _Told(1, what="copied", rise=0.9), _Told(1, what="placed", rise=1.2)
    kinds = _Teller([placed], kind="places"), _Teller([copied], kind="copies")
    assert [one.kind for one in _found(*kinds)] == ["places"]
    assert [one.kind for one in _found(*reversed(kinds))] == ["copies"]


def test_a_later_kind_that_moves_the_network_far_more_is_told_as_well() -> None:
    alike, bright = _Teller([_Told(1, rise=0.5)]), _Teller([_Told(1, rise=2.0)], kind="properties")
    assert [one.kind for one in _found(alike, bright)] == ["properties", "copies"]
    assert [one.kind for one in _found(bright, alike)] == ["properties"]
    unused = _Teller([_Told(1, rise=2.0, control=2.0)], kind="properties")
    assert [one.kind for one in _found(alike, unused)] == ["copies"]


def test_the_kind_that_shows_that_a_cue_is_used_is_kept() -> None:
    unused = _Teller([_Told(1, rise=0.0)], kind="copies")
    assert [one.kind for one in _found(unused, _Teller([_Told(1)], kind="places"))] == ["places"]


def test_cues_of_other_classes_or_other_bearers_are_others() -> None:
    bearers = _bearing(*range(1, 60, 3)), _bearing(*range(61, 90, 3))
    assert len(_found(_Teller([_Told(1, bears=bearers[0]), _Told(1, bears=bearers[1])]))) == 2
    both = _LABELS != 0
    assert len(_found(_Teller([_Told(1, bears=both), _Told(2, bears=both)]))) == 2


def test_a_control_that_does_as_much_is_no_use() -> None:
    (one,) = _found(_Teller([_Told(1, control=1.0)]))
    assert one.effect == pytest.approx(one.control)
    assert not one.is_used
    (one,) = _found(_Teller([_Told(1, control=0.2)]))
    assert one.is_used


def test_time_is_asked_between_candidates() -> None:
    tried: list[str] = []
    told = [_Told(n % 3, 10.0 ** -(5 + n), what=str(n), tried=tried, bears=n % 3 == _LABELS) for n in range(3)]
    asked = 0

    def is_late() -> bool:
        nonlocal asked
        asked += 1
        # The kind proposes, its three are counted, and one is tried.
        return asked > 5

    found = _found(_Teller(told), is_late=is_late)
    assert tried == ["2"], "the least probable one is tried first"
    assert [one.what for one in found] == ["2"]
    assert not _found(_Teller(told), is_late=lambda: True)
    assert tried == ["2"]


def test_no_kind_is_proposed_when_time_is_over() -> None:
    class Slow(_Teller):
        def propose(self, *given):
            raise AssertionError("there was no time for this")

    assert not _found(Slow([]), is_late=lambda: True)


def test_what_cannot_be_counted_or_tried_is_left_out() -> None:
    assert not _found(_Teller([_Told(1, p_value=1.0)]))
    assert not _found(_Teller([_Told(1, has_trial=False)]))
    assert not _found(_Teller([]))
    assert not _found()


def test_a_diverged_network_uses_nothing_and_what_is_in_the_data_is_told() -> None:
    class Diverged(_Reader):
        def logits(self, inputs: Tensor) -> Tensor:
            return torch.full((len(inputs), 3), torch.nan)

    told = [_Told(n, what=str(n), bears=n == _LABELS) for n in range(3)]
    found = Search([_Teller(told)]).run(_samples(), Diverged())
    assert len(found) == 3
    assert not any(one.is_used for one in found)
    assert all(math.isnan(one.effect) for one in found)


def test_the_exhibit_shows_whom_the_cue_moves_most() -> None:
    samples = _samples()
    told = _Told(1, rise=torch.linspace(0.5, 1.5, 60), bears=(_LABELS == 1) & (torch.arange(90) < 60))
    (one,) = Search([_Teller([told])]).run(samples, _Reader())
    shown = one.exhibit
    assert shown is not None
    assert torch.equal(shown.bearing, samples.inputs[[58, 55, 52, 49]])
    assert shown.marks is None
    assert torch.equal(shown.lacking, samples.inputs[[61, 64, 67, 70]])
    logits = [_Reader().logits(images) for images in (shown.before, shown.after)]
    assert torch.equal(shown.predictions, torch.stack([each.argmax(dim=1) for each in logits], dim=1))
    rivals = logits[0][:, [0, 2]].amax(dim=1)
    torch.testing.assert_close(shown.margins, torch.stack([each[:, 1] - rivals for each in logits], dim=1))
    assert (shown.labels != 1).all()
    rises = shown.margins[:, 1] - shown.margins[:, 0]
    torch.testing.assert_close(rises.float(), torch.linspace(0.5, 1.5, 60).flip(0)[:4])
