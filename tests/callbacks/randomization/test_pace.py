"""What a test takes is measured state by state, foretold for a cascade, and kept within a limit."""

from __future__ import annotations

import itertools
import re

import pytest
import torch
from torch import nn

from saliency_callbacks.callbacks.randomization.pace import Pace, describe_cascade, shown
from saliency_callbacks.callbacks.randomization.settings import Cascade
from saliency_callbacks.callbacks.runtime.settings import Compute, ModelReading, engine_settings
from saliency_callbacks.config.wording import counted
from saliency_callbacks.randomization.run import run_test, with_primary
from tests.callbacks.plain_host import PlainHost


def _pace(times, **changes):
    pace = Pace(clock=iter(times).__next__, **changes)
    for done in range(1, len(times)):
        pace.note(done, len(times))
    return pace


def test_the_first_state_warms_up():
    assert _pace([0, 9, 10, 11]).seconds_per_state == 1
    assert _pace([0, 9]).seconds_per_state == 9
    assert _pace([5, 9, 10, 11]).seconds == 6


@pytest.mark.parametrize(("max_seconds", "expected"), [(None, False), (20, False), (12, False), (11, True)])
def test_a_limit_is_held_by_what_is_left_to_do(max_seconds, expected):
    assert _pace([0, 9, 10, 11], max_seconds=max_seconds).is_over(4) is expected


@pytest.mark.parametrize(
    ("cascade", "words"),
    [
        (Cascade(n_draws=2), r"about 20 s \(10 layers, 2 draws\); limit it with Cascade\(max_seconds=…\)"),
        (Cascade(n_draws=12), "about 2.0 min"),
        (Cascade(n_draws=2, order="independent"), "about 22 s"),
        (Cascade(n_draws=2, max_seconds=30), r"about 20 s \(10 layers, 2 draws\)$"),
        (Cascade(n_draws=2, max_seconds=5), "will stop after 5 s; all layers would take about 20 s"),
    ],
)
def test_a_cascade_is_foretold(cascade, words):
    assert re.search(words, describe_cascade(cascade, _pace([0, 9, 10, 11]), 10))


@pytest.mark.parametrize("shows", [True, False])
def test_there_is_a_bar_where_the_run_shows_bars(shows, capsys):
    pace = Pace()
    with shown(pace, "cascade", PlainHost(shows_progress=shows)) as note:
        note(1, 4)
        note(2, 4)
    assert pace.n_states == 2
    assert ("cascade" in capsys.readouterr().err) is shows


def _net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5), nn.Linear(5, 3)
    )


def _run(order, max_seconds, n_draws=2):
    """A test in which each state takes a second."""
    pace = Pace(max_seconds, clock=itertools.count().__next__)
    settings = engine_settings("gradient", ModelReading(), Compute())
    return run_test(
        _net().eval(),
        torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1)),
        settings,
        torch.tensor([0, 1, 2, 0]),
        order=order,
        n_draws=n_draws,
        redraw="reinitialize",
        similarities=with_primary("spearman"),
        random_logit=False,
        progress=pace.note,
        is_over=pace.is_over,
    )


@pytest.mark.parametrize("order", ["top_down", "bottom_up", "independent"])
@pytest.mark.parametrize("n_draws", [2, 3])
def test_a_cascade_ends_where_its_time_does(order, n_draws):
    whole = _run(order, None, n_draws)
    for max_seconds in (1, 5, 8, 11, 30):
        cut = _run(order, max_seconds, n_draws)
        assert cut.steps + cut.left_out == whole.steps
        n_steps = len(cut.steps)
        assert n_steps >= 1
        if cut.left_out:
            # As many layers as fit, with the state that the floor needs, and at least one.
            assert n_draws * (n_steps + 1) <= max(max_seconds, 2 * n_draws)
            assert n_draws * (n_steps + 2) > max_seconds
            assert cut.n_states == 1 + n_draws * (n_steps + 1)
            left_out = counted(len(cut.left_out), "layer")
            assert cut.verdicts == {
                "gradient": f"undecided: max_seconds was reached before {left_out} could be randomized"
            }
            assert f"{n_steps} of 4 layers" in cut.steps_table()
        else:
            assert cut.steps_table() == whole.steps_table()
        expected = whole.values["spearman"]["gradient"][:n_steps]
        assert torch.equal(cut.values["spearman"]["gradient"], expected)
        # Where the last step is not all layers, the floor still is of random models.
        assert torch.equal(cut.floors["spearman"]["gradient"], whole.floors["spearman"]["gradient"])


def test_a_cascade_that_was_cut_says_so_in_json():
    assert _run("top_down", 1).to_dict()["left_out"] == list(_run("top_down", None).steps[1:])
