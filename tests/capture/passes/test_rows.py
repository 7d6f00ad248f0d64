"""The rows of a pass depend on the sample, the seed and the pass; never on chunks or neighbors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saliency_callbacks.capture.passes.rows import Sampler
from saliency_callbacks.errors import MethodError
from saliency_callbacks.types import Noise, Pass, Path, TensorBaseline

PASSES = {
    "point": Pass(),
    "noise": Pass(noise=Noise(5, 0.2)),
    "path": Pass(path=Path(4, "gauss_legendre", ("zeros",))),
    "paths": Pass(path=Path(3, "trapezoid", ("zeros", "noise", TensorBaseline(torch.full((2, 3), 0.5))))),
    "noisy paths": Pass(path=Path(3, "midpoint", ("zeros", "mean")), noise=Noise(2, 0.1)),
}


def batch(n_samples=3):
    return torch.rand(n_samples, 2, 3, generator=torch.Generator().manual_seed(0)) * 4 - 1


def joined(sampler, size):
    rows = list(sampler.chunks(size))
    displacement = None if rows[0].displacement is None else torch.cat([row.displacement for row in rows])
    return (
        torch.cat([row.inputs for row in rows]),
        torch.cat([row.samples for row in rows]),
        torch.cat([row.weights for row in rows]),
        displacement,
    )


@pytest.mark.parametrize("name", PASSES)
@pytest.mark.parametrize("size", [1, 2, 4, 7, 1000])
def test_chunks_do_not_change_the_rows(name, size):
    sampler = Sampler(batch(), PASSES[name], seed=3)
    whole = joined(sampler, sampler.n_rows)
    assert all(len(rows.samples) <= size for rows in sampler.chunks(size))
    assert len(whole[0]) == sampler.n_rows
    for chunked, expected in zip(joined(sampler, size), whole, strict=True):
        assert (chunked is None and expected is None) or torch.equal(chunked, expected)


@pytest.mark.parametrize("name", PASSES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_weights_sum_to_one_for_every_sample(name, dtype):
    sampler = Sampler(batch().to(dtype), PASSES[name], seed=3)
    inputs, samples, weights, _ = joined(sampler, 2)
    assert inputs.dtype == dtype
    sums = torch.zeros(3, dtype=torch.float64).index_add_(0, samples, weights.double())
    torch.testing.assert_close(sums, torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["point", "noise", "path", "paths"])
def test_a_samples_rows_do_not_depend_on_its_neighbors(name):
    inputs, samples, _, _ = joined(Sampler(batch(), PASSES[name], seed=3), 4)
    for sample in range(3):
        alone, _, _, _ = joined(Sampler(batch()[sample : sample + 1], PASSES[name], seed=3), 4)
        assert torch.equal(alone, inputs[samples == sample])


def test_noise_is_the_same_for_every_sample_and_call_scaled_by_its_range():
    x = batch()
    inputs, samples, _, _ = joined(Sampler(x, PASSES["noise"], seed=3), 4)
    again, _, _, _ = joined(Sampler(x, PASSES["noise"], seed=3), 15)
    assert torch.equal(inputs, again)
    spread = x.flatten(1).amax(1) - x.flatten(1).amin(1)
    units = (inputs - x[samples]) / (0.2 * spread[samples]).reshape(-1, 1, 1)
    per_sample = [units[samples == sample] for sample in range(3)]
    torch.testing.assert_close(per_sample[0], per_sample[1])
    torch.testing.assert_close(per_sample[0], per_sample[2])
    assert not torch.allclose(per_sample[0][0], per_sample[0][1])
    other, _, _, _ = joined(Sampler(x, PASSES["noise"], seed=4), 4)
    assert not torch.allclose(inputs, other)


def test_noise_has_the_asked_standard_deviation():
    x = torch.linspace(0, 2, 400).reshape(1, 1, 400)
    inputs, _, _, _ = joined(Sampler(x, Pass(noise=Noise(50, 0.15)), seed=0), 50)
    noise = inputs - x
    assert abs(float(noise.std()) - 0.3) < 0.01
    assert abs(float(noise.mean())) < 0.01


def test_opposite_noise_comes_in_pairs():
    x = batch()
    inputs, samples, _, _ = joined(Sampler(x, Pass(noise=Noise(6, 0.2, antithetic=True)), seed=3), 4)
    noise = [(inputs - x[samples])[samples == sample] for sample in range(3)]
    independent, of, _, _ = joined(Sampler(x, Pass(noise=Noise(3, 0.2)), seed=3), 4)
    for sample in range(3):
        torch.testing.assert_close(noise[sample][0::2], -noise[sample][1::2])
        torch.testing.assert_close(noise[sample][0::2], (independent - x[of])[of == sample])


def test_copies_that_come_later_are_others_of_the_same_noise():
    x = batch()
    for antithetic in (False, True):
        whole = joined(Sampler(x, Pass(noise=Noise(8, 0.2, antithetic)), seed=3), 24)[0]
        later = joined(Sampler(x, Pass(noise=Noise(3, 0.2, antithetic, first=5)), seed=3), 24)[0]
        assert torch.equal(later, whole[5 * 3 :])


@pytest.mark.parametrize("name", ["point", "noise", "path", "paths"])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_some_of_the_samples(name, size):
    x = batch()
    inputs, samples, weights, _ = joined(Sampler(x, PASSES[name], seed=3), 100)
    some = joined(Sampler(x, PASSES[name], seed=3, samples=torch.tensor([0, 2])), size)
    for sample in (0, 2):
        assert torch.equal(some[0][some[1] == sample], inputs[samples == sample])
        assert torch.equal(some[2][some[1] == sample], weights[samples == sample])
    assert 1 not in some[1]


def test_noise_does_not_touch_the_global_generator():
    before = torch.get_rng_state()
    joined(Sampler(batch(), PASSES["noisy paths"], seed=3), 4)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_trapezoid_includes_both_ends():
    x = batch()
    inputs, samples, weights, displacement = joined(Sampler(x, Pass(path=Path(5, "trapezoid", ("zeros",))), seed=0), 4)
    for sample in range(3):
        of_sample = inputs[samples == sample]
        assert torch.equal(of_sample[0], torch.zeros(2, 3))
        torch.testing.assert_close(of_sample[-1], x[sample])
        torch.testing.assert_close(weights[samples == sample], torch.tensor([1.0, 2, 2, 2, 1]) / 8)
    torch.testing.assert_close(displacement, x[samples])


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        ("zeros", torch.zeros(3, 2, 3)),
        ("mean", batch().mean(0).expand(3, 2, 3)),
        (TensorBaseline(batch()[0] + 1), (batch()[0] + 1).expand(3, 2, 3)),
        (TensorBaseline(batch() - 1), batch() - 1),
        (TensorBaseline(batch()[:1] + 1), (batch()[0] + 1).expand(3, 2, 3)),
    ],
    ids=["zeros", "mean", "one tensor", "a tensor a sample", "one tensor with a batch dimension"],
)
def test_baselines(baseline, expected):
    x = batch()
    sampler = Sampler(x, Pass(path=Path(1, "midpoint", (baseline,))), seed=0)
    inputs, samples, _, displacement = joined(sampler, 2)
    torch.testing.assert_close(displacement, (x - expected)[samples])
    torch.testing.assert_close(inputs, (x + expected)[samples] / 2)
    starts = torch.cat([rows.inputs for rows in sampler.beginnings(2)])
    assert torch.equal(starts, expected)


def test_the_noise_baseline_lies_within_each_samples_range():
    x = batch()
    (rows,) = Sampler(x, Pass(path=Path(1, "midpoint", ("noise",))), seed=0).beginnings(3)
    low, high = x.flatten(1).amin(1), x.flatten(1).amax(1)
    assert (rows.inputs.flatten(1).amin(1) >= low).all()
    assert (rows.inputs.flatten(1).amax(1) <= high).all()
    assert rows.inputs.std() > 0.1


def test_paths_of_noisy_inputs_end_at_the_noise_rows():
    x = batch()
    noise = Noise(2, 0.1)
    ends, _, _, _ = joined(Sampler(x, Pass(noise=noise), seed=5), 6)
    inputs, _, _, displacement = joined(Sampler(x, Pass(path=Path(2, "trapezoid"), noise=noise), seed=5), 100)
    inputs = inputs.reshape(2, 2, 3, 2, 3)
    assert torch.equal(inputs[:, 0], torch.zeros(2, 3, 2, 3))
    torch.testing.assert_close(inputs[:, 1].flatten(0, 1), ends)
    torch.testing.assert_close(displacement.reshape(2, 2, 3, 2, 3)[:, 0].flatten(0, 1), ends)


@pytest.mark.parametrize("shape", [(3, 3), (5, 2, 3), (2, 2, 2, 3), (3,)])
def test_a_baseline_tensor_that_does_not_fit(shape):
    with pytest.raises(MethodError, match=r"baseline tensor has shape .*expected \[2, 3\] .* or \[3, 2, 3\]"):
        Sampler(batch(), Pass(path=Path(2, "midpoint", (TensorBaseline(torch.zeros(shape)),))), seed=0)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(1, 40))
def test_the_mean_of_a_path_of_midpoints_is_its_middle(n_samples, n_steps, nt_samples, size):
    x = batch(n_samples)
    sampler = Sampler(x, Pass(path=Path(n_steps, "midpoint", ("zeros",)), noise=Noise(nt_samples, 0.0)), seed=0)
    inputs, samples, weights, _ = joined(sampler, size)
    mean = torch.zeros_like(x).index_add_(0, samples, inputs * weights.reshape(-1, 1, 1))
    torch.testing.assert_close(mean, x / 2)
