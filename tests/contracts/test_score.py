"""What every score keeps to, whatever it measures."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from saliency_callbacks import scores
from saliency_callbacks.functional.maps import normalize
from saliency_callbacks.types import Attribution, Outlines


def attribution(values: torch.Tensor) -> Attribution:
    magnitude = values.abs().amax(dim=1)
    n_samples = len(values)
    return Attribution(
        "gradient", values, magnitude, normalize(magnitude), torch.zeros(n_samples), torch.zeros(n_samples)
    )


def masks(n_samples: int, spatial: tuple[int, ...]) -> torch.Tensor:
    region = torch.zeros(n_samples, *spatial, dtype=torch.bool)
    region[:, :2] = True
    return region


def of_drift(values: torch.Tensor) -> dict[str, torch.Tensor]:
    reference = torch.randn(values.shape[1:], generator=torch.Generator().manual_seed(1)).expand_as(values)
    return {"drift": scores.drift(scores.ranks(attribution(values)), scores.ranks(attribution(reference)))}


def of_maps(score, values: torch.Tensor) -> dict[str, torch.Tensor]:
    return score(attribution(values))


def of_regions(score, values: torch.Tensor) -> dict[str, torch.Tensor]:
    return score(attribution(values), masks(len(values), tuple(values.shape[2:])))


def of_overlaps(values: torch.Tensor) -> dict[str, torch.Tensor]:
    found = attribution(values)
    region = masks(len(values), tuple(values.shape[2:]))
    return scores.overlap(found, Outlines(masks=found.heatmap > 0.5), region)


SCORES = {
    "drift": of_drift,
    "overlap": of_overlaps,
    **{score.__name__: partial(of_maps, score) for score in scores.MAP_SCORES},
    **{score.__name__: partial(of_regions, score) for score in scores.REGION_SCORES},
}
SHAPES = [(5, 3, 8, 8), (5, 1, 6, 9), (1, 2, 17), (4, 1, 4, 5, 6)]


def values_of(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", SCORES)
def test_one_finite_value_a_sample(name, shape):
    for found in SCORES[name](values_of(shape)).values():
        assert found.shape == (shape[0],)
        assert found.isfinite().all()


@pytest.mark.parametrize("name", SCORES)
def test_samples_do_not_interact(name):
    values = values_of((5, 3, 8, 8))
    order = torch.tensor([3, 0, 4, 1, 2])
    straight, shuffled = SCORES[name](values), SCORES[name](values[order])
    for tag, found in straight.items():
        torch.testing.assert_close(shuffled[tag], found[order])


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf"), 0.25], ids=["zero", "nan", "inf", "constant"])
@pytest.mark.parametrize("name", SCORES)
def test_a_map_that_shows_nothing_has_no_score(name, bad):
    values = values_of((3, 1, 8, 8))
    values[1] = bad
    for tag, found in SCORES[name](values).items():
        if bad == 0.25 and tag.startswith("region"):
            continue  # half of an even map does lie in half of the picture
        assert found.isnan().tolist() == [False, True, False], tag


@pytest.mark.parametrize("name", SCORES)
def test_the_maps_are_not_changed(name):
    values = values_of((3, 2, 8, 8))
    before = values.clone()
    SCORES[name](values)
    assert torch.equal(values, before)


def test_every_public_score_is_covered():
    assert {"drift", "concentration", "localization"} <= set(SCORES)
    tables = {"MAP_SCORES", "REGION_SCORES"}
    helpers = {"by_group", "describe_degenerate", "mean_of_finite", "ranks"}
    by_name = {"SIMILARITIES", "Similarity", "resolve_similarities"}  # tests/scores/test_similarities.py
    of_words = {"TopToken", "top_tokens", "top_tokens_table"}  # tests/scores/test_top_tokens.py
    assert set(SCORES) == set(scores.__all__) - tables - helpers - by_name - of_words


def test_the_mean_leaves_out_what_has_no_score():
    assert scores.mean_of_finite(torch.tensor([1.0, float("nan"), 3.0])) == 2.0
    assert torch.tensor(scores.mean_of_finite(torch.tensor([float("nan")]))).isnan()
