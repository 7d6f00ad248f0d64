"""Each named similarity against SciPy, NumPy and scikit-image, from attributions to one number per sample."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
import skimage.feature
import skimage.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.scores import SIMILARITIES, resolve_similarities
from saliency_callbacks.types import Attribution, Reduction

FIRST = ["spearman", "abs_spearman", "ssim", "hog", "cosine", "top_k"]
NAMES = list(SIMILARITIES)
COMPARES = {"spearman": "signed", "cosine": "signed"}

# Whole numbers make ties and constant maps likely.
tied = arrays(np.float64, st.tuples(st.just(3), st.just(2), st.integers(2, 5), st.just(6)), elements=st.integers(-3, 3))


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def attribution(
    values: torch.Tensor, reduction: Reduction | None = "abs_max", magnitude: torch.Tensor | None = None
) -> Attribution:
    shown = values.abs().amax(dim=1) if magnitude is None else magnitude
    none = torch.zeros(len(values))
    return Attribution("gradient", values, shown, shown, none, none, reduction=reduction)


def compare(name: str, a: Attribution, b: Attribution) -> torch.Tensor:
    similarity = SIMILARITIES[name]
    return similarity.compare(similarity.prepare(a), similarity.prepare(b))


def clipped(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values, [1, 99], method="inverted_cdf")
    return (np.clip(values, low, high) - low) / (high - low)


def top_k(a: np.ndarray, b: np.ndarray) -> float:
    k = round(0.1 * a.size)
    return len(np.intersect1d(np.argsort(a.ravel())[-k:], np.argsort(b.ravel())[-k:])) / k


def of_features(a: np.ndarray, b: np.ndarray) -> float:
    return np.corrcoef(skimage.feature.hog(clipped(a)), skimage.feature.hog(clipped(b)))[0, 1]


EXPECTED = {
    "spearman": lambda a, b: scipy.stats.spearmanr(a.ravel(), b.ravel()).statistic,
    "abs_spearman": lambda a, b: scipy.stats.spearmanr(a.ravel(), b.ravel()).statistic,
    "ssim": lambda a, b: skimage.metrics.structural_similarity(clipped(a), clipped(b), data_range=1.0),
    "hog": of_features,
    "cosine": lambda a, b: 1 - scipy.spatial.distance.cosine(a.ravel(), b.ravel()),
    "top_k": top_k,
}


def test_the_names():
    """Others come after them."""
    assert NAMES[: len(FIRST)] == FIRST
    assert [similarity.name for similarity in SIMILARITIES.values()] == NAMES
    assert {name: SIMILARITIES[name].compares for name in FIRST} == {
        name: COMPARES.get(name, "magnitude") for name in FIRST
    }


@pytest.mark.parametrize("name", NAMES)
def test_similarity_is_the_reference_librarys(name):
    a, b = noise(4, 3, 50, 60), noise(4, 3, 50, 60, seed=1)
    b += a
    read = {"signed": lambda values: values.sum(dim=1), "magnitude": lambda values: values.abs().amax(dim=1)}
    maps_a, maps_b = (read[SIMILARITIES[name].compares](values).numpy() for values in (a, b))
    expected = [EXPECTED[name](x, y) for x, y in zip(maps_a, maps_b, strict=True)]
    np.testing.assert_allclose(compare(name, attribution(a), attribution(b)).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["abs_spearman", "top_k"])
@pytest.mark.parametrize(
    ("reduction", "reduce"),
    [
        ("l2", lambda values: np.sqrt((values**2).sum(axis=1))),
        ("sum", lambda values: np.abs(values.sum(axis=1))),
        ("positive_max", lambda values: np.maximum(values, 0).max(axis=1)),
    ],
)
def test_places_are_compared_at_the_methods_own_resolution(name, reduction, reduce):
    a, b = noise(2, 4, 10, 10), noise(2, 4, 10, 10, seed=1)
    resized = noise(2, 40, 40).abs()
    found = compare(name, attribution(a, reduction, resized), attribution(b, reduction, resized))
    expected = [EXPECTED[name](x, y) for x, y in zip(reduce(a.numpy()), reduce(b.numpy()), strict=True)]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["abs_spearman", "top_k"])
def test_places_of_a_map_that_follows_from_no_reduction_are_compared_as_shown(name):
    values = noise(2, 4, 10, 10)
    shown_a, shown_b = noise(2, 20, 20).abs(), noise(2, 20, 20, seed=1).abs()
    found = compare(name, attribution(values, None, shown_a), attribution(values, None, shown_b))
    expected = [EXPECTED[name](x, y) for x, y in zip(shown_a.numpy(), shown_b.numpy(), strict=True)]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["spearman", "abs_spearman"])
def test_ranks_take_single_precision(name):
    prepared = SIMILARITIES[name].prepare(attribution(noise(2, 3, 7, 8)))
    assert prepared.shape == (2, 56)
    assert prepared.dtype == torch.float32


@given(tied)
def test_laws_of_ranks_and_places(values):
    a = torch.from_numpy(values)
    b = a.roll(1, dims=3)
    for name in ("spearman", "abs_spearman", "cosine", "top_k"):
        read = a.sum(dim=1) if name in COMPARES else a.abs().amax(dim=1)
        varies = (read.amax(dim=(1, 2)) > read.amin(dim=(1, 2))).double()
        once = torch.where(varies > 0, 1.0, torch.nan)
        flipped = -once if name in COMPARES else once
        for found, expected in (
            (compare(name, attribution(a), attribution(a)), once),
            (compare(name, attribution(a), attribution(-a)), flipped),
            (compare(name, attribution(a), attribution(b)), compare(name, attribution(b), attribution(a))),
        ):
            torch.testing.assert_close(found.double(), expected.double(), equal_nan=True, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["abs_spearman", "top_k"])
def test_a_monotone_transform_of_the_values_changes_nothing(name):
    a, b = noise(3, 1, 9, 9), noise(3, 1, 9, 9, seed=1)
    straight = compare(name, attribution(a), attribution(b))
    torch.testing.assert_close(compare(name, attribution(a**3), attribution(b.abs().exp())), straight)


@pytest.mark.parametrize("name", NAMES)
def test_a_map_is_the_same_as_itself(name):
    a = attribution(noise(3, 2, 48, 48))
    np.testing.assert_allclose(compare(name, a, a).numpy(), 1, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [0.0, 0.25, torch.nan, torch.inf])
def test_samples_do_not_interact_and_a_map_that_shows_nothing_has_no_similarity(name, bad):
    a, b = noise(4, 2, 48, 50), noise(4, 2, 48, 50, seed=1)
    a[1] = bad
    b[2] = bad
    together = compare(name, attribution(a), attribution(b))
    assert together.isnan().tolist() == [False, True, True, False]
    alone = torch.cat([compare(name, attribution(a[[row]]), attribution(b[[row]])) for row in range(4)])
    torch.testing.assert_close(together, alone, equal_nan=True)


@pytest.mark.parametrize("name", NAMES)
def test_the_maps_are_not_changed(name):
    values = noise(2, 3, 48, 48)
    before = values.clone()
    compare(name, attribution(values), attribution(values))
    assert torch.equal(values, before)


def test_similarities_by_name():
    assert resolve_similarities("hog") == (SIMILARITIES["hog"],)
    assert resolve_similarities(("ssim", "spearman")) == (SIMILARITIES["ssim"], SIMILARITIES["spearman"])
    assert resolve_similarities(NAMES) == tuple(SIMILARITIES.values())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("spearmann", "'spearmann' is unknown; did you mean 'spearman'"),
        (["ssim", "xyz"], "'xyz' is unknown; known: 'spearman', 'abs_spearman', 'ssim', 'hog', 'cosine', 'top_k'"),
        ([7], "similarity 7 is unknown; known: "),
        ([], "similarities is empty; expected at least one of .*'spearman'"),
        (["ssim", "hog", "ssim"], r"\['ssim'\] appear twice. Name each only once"),
    ],
)
def test_names_that_cannot_be_resolved(names, message):
    with pytest.raises(ConfigurationError, match=message):
        resolve_similarities(names)
