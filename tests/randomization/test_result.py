"""What a result says, in numbers, tables and pictures."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from saliency_callbacks.randomization import RandomizationResult
from saliency_callbacks.randomization.scores import sample_scores, scores

NAN = math.nan
HIGH, LOW = "guided_backprop", "smooth_grad"
DECIDED = {HIGH: "does not depend on the weights", LOW: "depends on the weights"}


def by_method(high, low):
    return {"spearman": {HIGH: torch.tensor(high), LOW: torch.tensor(low)}}


def result(**changes):
    """Two steps, two draws, two samples."""
    settings = {
        "order": "top_down",
        "steps": ("head", "stem"),
        "values": by_method(
            [[[0.9, 0.9], [0.7, 0.9]], [[0.5, 0.7], [0.6, 0.6]]],
            [[[0.5, 0.5], [0.5, 0.5]], [[0.1, NAN], [0.3, 0.1]]],
        ),
        "floors": by_method([[0.6, 0.8]], [[0.1, -0.1]]),
        "ceilings": {"spearman": {LOW: torch.tensor([0.7, 0.9])}},
        "random_logit": by_method([0.7, 0.8], [-0.1, NAN]),
        "unchanged": ("scale",),
        "n_draws": 2,
        "seed": 3,
        "target": torch.tensor([1, 0]),
        "target_layers": (),
    }
    return RandomizationResult(**settings | changes)


def test_the_numbers():
    found = result()
    assert found.methods == (HIGH, LOW)
    assert found.similarities == ("spearman",)
    assert found.similarity(HIGH).mean == pytest.approx(0.6)
    assert found.similarity(HIGH, step=0).mean == pytest.approx(0.85)
    assert found.similarity(LOW).mean == pytest.approx((0.1 + 0.2) / 2)
    assert found.similarity(LOW).invalid == 0.25
    assert found.floor(HIGH).mean == pytest.approx(0.7)
    assert math.isnan(found.floor(HIGH).std)
    assert found.ceiling(HIGH) == 1
    assert found.ceiling(LOW) == pytest.approx(0.8)
    assert found.calibrated(HIGH) == pytest.approx((0.6 - 0.7) / 0.3, abs=1e-6)
    assert found.calibrated(LOW) == pytest.approx(0.15 / 0.8, abs=1e-6)
    assert found.logit(HIGH) == pytest.approx(0.75)
    assert found.logit(LOW) == pytest.approx(-0.1)
    assert found.verdicts == DECIDED


def test_of_layers_alone_the_mean_is_reported():
    found = result(order="independent")
    assert torch.allclose(found.last_values(LOW), torch.tensor([[0.3, 0.5], [0.4, 0.3]]))
    assert found.similarity(HIGH).mean == pytest.approx((0.7 + 0.8 + 0.65 + 0.75) / 4)


def test_without_another_class():
    found = result(random_logit={})
    assert math.isnan(found.logit(HIGH))
    assert f"{'nan'} | {DECIDED[HIGH]}" in found.table()
    assert not [tag for tag in (*scores(found, "r"), *sample_scores(found, "r")) if "random_logit" in tag]


def test_to_dict_goes_through_json():
    found = result()
    plain = found.to_dict()
    back = json.loads(json.dumps(plain, allow_nan=False))
    assert back == plain
    assert back["similarity"]["spearman"][LOW][1][0][1] is None
    assert back["random_logit"]["spearman"][LOW][1] is None
    assert back["verdicts"] == DECIDED
    assert back["steps"] == ["head", "stem"]
    np.testing.assert_allclose(back["similarity"]["spearman"][HIGH], found.values["spearman"][HIGH])
    np.testing.assert_allclose(back["floor"]["spearman"][HIGH], found.floors["spearman"][HIGH])
    assert back["unchanged"] == ["scale"]
    assert (back["seed"], back["n_draws"], back["order"]) == (3, 2, "top_down")


def test_table():
    lines = result().table().splitlines()
    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {7}
    assert lines[2] == f"| {HIGH} | 0.60 ± 0.00 | 0.70 ± nan | -0.33 | 0.75 | {DECIDED[HIGH]} |"
    assert lines[3].startswith(f"| {LOW} | 0.15 ± 0.07 | 0.00 ± nan | 0.19 | -0.10 |")


def test_steps_table():
    assert result().steps_table().splitlines() == [
        f"| randomized | {HIGH} | {LOW} |",
        "|---|---|---|",
        "| `head` | 0.85 | 0.50 |",
        "| `stem` | 0.60 | 0.15 |",
        "| *floor* | 0.70 | 0.00 |",
    ]


@pytest.mark.parametrize("order", ["full", "top_down", "bottom_up", "independent"])
def test_plot(order):
    found = result(order=order)
    picture = found.plot()
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    # Curves in two colors on white.
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
    assert not np.array_equal(picture, found.plot(methods=[HIGH]))


def test_plot_of_nothing_but_missing_values():
    nothing = torch.full((2, 2, 2), NAN)
    found = result(values={"spearman": {HIGH: nothing}}, floors={"spearman": {HIGH: nothing[0]}})
    assert found.plot().min() < 100
    assert found.verdicts[HIGH].startswith("undecided: ")


def test_plot_needs_no_pyplot():
    code = (
        "import sys, torch; from saliency_callbacks.randomization import randomization_test; "
        "from torch.nn import Flatten, Linear, Sequential, Tanh; "
        "model = Sequential(Flatten(), Linear(9, 4), Tanh(), Linear(4, 2)); "
        "randomization_test(model, torch.rand(2, 1, 3, 3), methods='gradient', n_draws=2).plot(); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=100).returncode == 0


def test_scores():
    found = scores(result(), "randomization")
    assert {tag.removeprefix(f"randomization/{HIGH}/") for tag in found if HIGH in tag} == {
        "similarity",
        "similarity_std",
        "floor",
        "floor_std",
        "calibrated",
        "calibrated_std",
        "drift",
        "random_logit",
    }
    assert found[f"randomization/{HIGH}/drift"] == pytest.approx(0.4)
    assert found[f"randomization/{LOW}/calibrated"] == pytest.approx(0.1875, abs=1e-6)


def test_scores_of_samples():
    found = sample_scores(result(), "randomization")
    torch.testing.assert_close(found[f"randomization/{LOW}/similarity"], torch.tensor([0.2, 0.1]))
    torch.testing.assert_close(found[f"randomization/{LOW}/random_logit"], torch.tensor([-0.1, NAN]), equal_nan=True)
