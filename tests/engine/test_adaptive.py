"""Methods that take as many points as each sample needs: what they find, what it costs, and what must not matter."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.capture.passes.rows import Sampler
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import MethodError
from saliency_callbacks.methods import IntegratedGradients, SmoothGrad
from saliency_callbacks.types import Noise, Pass, Path, Until
from tests import texts

FAMILY = [SmoothGrad("auto", nt_type=nt_type) for nt_type in ("smoothgrad", "smoothgrad_sq", "vargrad")]


class Log(list):
    """What a model has seen. Of a plain list, the engine would put the content back."""


class Steps(nn.Module):
    """A steep step and a curve of a weighted mean; the larger a sample, the steeper the step on its path."""

    def __init__(self):
        super().__init__()
        self.rows = Log()

    def forward(self, x):
        self.rows.append(len(x))
        mean = (x * torch.linspace(0.5, 1.5, 16, dtype=x.dtype).reshape(1, 4, 4)).mean((1, 2, 3))
        return torch.stack([torch.sigmoid(40 * (mean - 0.5)) + 0.1 * mean, mean**3], dim=1)


def stepping(sizes=(0.6, 8.0, 1.0, 5.0), dtype=torch.float64):
    """Samples of the given means."""
    spread = torch.rand(len(sizes), 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    means = torch.tensor(sizes, dtype=torch.float64).reshape(-1, 1, 1, 1)
    return (spread / spread.mean((1, 2, 3), keepdim=True) * means).to(dtype)


class Rough(nn.Sequential):
    """A small convolutional network."""

    def __init__(self, activation=nn.ReLU):
        torch.manual_seed(0)
        head = nn.Linear(8 * 16, 3)
        convolutions = nn.Conv2d(2, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, stride=2)
        super().__init__(convolutions[0], activation(), convolutions[1], activation(), nn.Flatten(), head)
        self.rows = Log()
        self.double()

    def forward(self, x):
        self.rows.append(len(x))
        return super().forward(x)


def images(n_samples=4):
    return torch.randn(n_samples, 2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 2


def case(method):
    """A model, and samples of which some need more points than others."""
    return (Rough(), images()) if isinstance(method, SmoothGrad) else (Steps(), stepping())


def found_by(method, model, inputs, target=0, **options):
    return explain(model, inputs, methods=method, target=target, **options)[method.name]


def test_a_sample_that_is_complete_is_not_run_again():
    model, inputs = Steps(), stepping()
    found = found_by(IntegratedGradients("auto"), model, inputs)
    steps = found.extras["n_steps"]
    change = model(inputs)[:, 0] - model(torch.zeros_like(inputs))[:, 0]
    assert (found.extras["convergence_delta"].abs() <= 0.05 * change).all()
    assert steps[0] == 17
    assert len(steps.unique()) > 2, "each sample has its own number"
    # One forward for the scores at each end.
    assert sum(model.rows[:-2]) == int(steps.sum()) + 2 * len(inputs)


@pytest.mark.parametrize("size", [None, 1, 3, 100])
def test_the_map_is_that_of_the_trapezoid_rule_with_as_many_points(size):
    inputs = stepping()
    found = found_by(IntegratedGradients("auto"), Steps(), inputs, internal_batch_size=size)
    for sample, steps in enumerate(found.extras["n_steps"].long().tolist()):
        fixed = found_by(IntegratedGradients(steps, "trapezoid"), Steps(), inputs)
        torch.testing.assert_close(found.values[sample], fixed.values[sample])
        delta = fixed.extras["convergence_delta"][sample]
        torch.testing.assert_close(found.extras["convergence_delta"][sample], delta)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU, nn.Tanh])
@pytest.mark.parametrize("baselines", ["zeros", ["zeros", "mean", 0.5]], ids=["one", "three"])
def test_maps_are_close_to_those_of_a_thousand_steps(activation, baselines):
    model, inputs = Rough(activation), images(6)
    found = found_by(IntegratedGradients("auto", baselines=baselines), model, inputs)
    exact = found_by(IntegratedGradients(1000, "midpoint", baselines), model, inputs, internal_batch_size=600)
    change = exact.values.sum((1, 2, 3)) - exact.extras["convergence_delta"]
    error = found.values.sum((1, 2, 3)) - exact.values.sum((1, 2, 3))
    assert (error.abs() <= 0.055 * change.abs()).all(), "5 %, and what is left at a thousand"
    for one, other in zip(found.values.sum(1).flatten(1), exact.values.sum(1).flatten(1), strict=True):
        assert spearmanr(one, other).statistic > 0.98


def test_embeddings_of_texts_are_close_to_those_of_a_thousand_steps():
    given = {"embedding": "auto", "tokenizer": texts.tokenizer(), "target": 1, "internal_batch_size": 400}
    for model in (texts.bert().double(), texts.Recurrent(sequence_first=False).double()):
        inputs = texts.batch(texts.ids()) if hasattr(model, "config") else texts.ids()
        found = explain(model, inputs, methods=IntegratedGradients("auto", baselines="pad_token"), **given)
        exact = explain(model, inputs, methods=IntegratedGradients(1000, "midpoint", "pad_token"), **given)
        values, expected = (one["integrated_gradients"].values.sum(1) for one in (found, exact))
        assert (found["integrated_gradients"].extras["n_steps"] >= 17).all()
        assert ((values - expected).norm(dim=1) <= 0.05 * expected.norm(dim=1)).all()


def test_what_is_left_at_the_limit_is_told():
    method = IntegratedGradients("auto", tolerance=1e-12, max_steps=64)
    found = found_by(method, Steps(), stepping())
    assert found.extras["n_steps"].tolist() == [33] * 4, "65 points are more than 64"
    fixed = found_by(IntegratedGradients(33, "trapezoid"), Steps(), stepping())
    torch.testing.assert_close(found.extras["convergence_delta"], fixed.extras["convergence_delta"])


def test_a_smaller_tolerance_takes_more_steps():
    steps = [
        found_by(IntegratedGradients("auto", tolerance=tolerance), Steps(), stepping()).extras["n_steps"].sum()
        for tolerance in (0.5, 0.05, 0.001)
    ]
    assert steps[0] < steps[1] < steps[2]


def test_noisy_paths():
    inputs = stepping()
    found = found_by(IntegratedGradients("auto", nt_samples=3, stdevs=0.1), Steps(), inputs)
    for sample, steps in enumerate(found.extras["n_steps"].long().tolist()):
        fixed = found_by(IntegratedGradients(steps, "trapezoid", nt_samples=3, stdevs=0.1), Steps(), inputs)
        torch.testing.assert_close(found.values[sample], fixed.values[sample])


@pytest.mark.parametrize("method", [IntegratedGradients("auto"), *FAMILY], ids=lambda method: method.name)
class TestWhatMustNotMatter:
    def test_other_targets(self, method):
        model, inputs = case(method)
        settings = Settings(methods=(method,))
        together = run_engine(model, inputs, settings, [0, 1]).attributions
        for target, found in enumerate(together):
            (alone,) = run_engine(model, inputs, settings, [target]).attributions
            assert torch.equal(found[method.name].values, alone[method.name].values)
            for name, extra in alone[method.name].extras.items():
                assert torch.equal(found[method.name].extras[name], extra)

    def test_other_samples(self, method):
        model, inputs = case(method)
        together = found_by(method, model, inputs)
        for sample in range(len(inputs)):
            alone = found_by(method, model, inputs[sample : sample + 1])
            torch.testing.assert_close(together.values[sample], alone.values[0])
            for name, extra in alone.extras.items():
                torch.testing.assert_close(together.extras[name][sample], extra[0])

    def test_other_methods(self, method):
        model, inputs = Rough(), images()
        others = ["gradient", *FAMILY, IntegratedGradients(7, name="fixed"), IntegratedGradients("auto")]
        alone = found_by(method, model, inputs)
        given = [method, *(one for one in others if one != method)]
        together = explain(model, inputs, methods=given, target=0)[method.name]
        assert torch.equal(together.values, alone.values)

    def test_ranks_that_need_more_rounds(self, method):
        """What is run for the sake of another rank changes nothing but the time."""
        model, inputs = case(method)
        alone = found_by(method, model, inputs)
        model.rows.clear()
        everyone = Settings(methods=(method,), on_any_rank=torch.ones_like)
        found = run_engine(model, inputs, everyone, [0]).attributions[0][method.name]
        assert torch.equal(found.values, alone.values)
        assert {name: extra.tolist() for name, extra in found.extras.items()} == {
            name: extra.tolist() for name, extra in alone.extras.items()
        }
        limit, n_ends = (129, 2) if "n_steps" in alone.extras else (128, 1)
        assert sum(model.rows) == (limit + n_ends) * len(inputs)

    def test_a_part_of_the_samples(self, method):
        model, inputs = case(method)
        whole = found_by(method, model, inputs)
        part = run_engine(model, inputs, Settings(methods=(method,), samples=range(1, 3)), [0]).attributions[0]
        torch.testing.assert_close(part[method.name].values, whole.values[1:3])

    def test_a_target_that_counts_on_all_rows(self, method):
        """It closes over the labels of the whole batch; one that is told the samples is not given those done."""
        model, inputs = case(method)
        labels = torch.tensor([0, 0, 1, 0])
        given, told = Log(), Log()

        def logit(output):
            given.append(len(output))
            return output[torch.arange(4), labels]

        def logit_of(output, samples):
            told.append(len(output))
            return output[torch.arange(len(samples)), labels[samples]]

        blind, seeing = (found_by(method, model, inputs, target) for target in (logit, logit_of))
        assert set(given) == {4}
        assert sum(told) < sum(given)
        torch.testing.assert_close(blind.values, seeing.values)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
    def test_precision(self, method, dtype):
        model, inputs = case(method)
        found = found_by(method, model.to(dtype), inputs.to(dtype))
        assert found.values.dtype == torch.float32
        assert {extra.dtype for extra in found.extras.values()} == {torch.float32}
        assert found.values.isfinite().all()

    @pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")
    def test_what_is_not_finite_ends_at_once(self, method):
        model, inputs = Steps(), stepping()
        inputs[1] += torch.nan
        found = found_by(method, model, inputs)
        assert found.values[0].isfinite().all()
        spent = found.extras.get("n_steps", found.extras.get("nt_samples"))
        assert spent[1] <= 17
        assert found.values[1].isnan().all()


def opposite_copies(inputs, count, seed=0):
    rows = Sampler(inputs, Pass(noise=Noise(count, 0.15, antithetic=True)), seed).chunks(len(inputs))
    return [row.inputs for row in rows]


def test_moments_and_their_error_by_hand():
    model, inputs = Rough(), images(2)
    found = explain(model, inputs, methods=FAMILY, target=0)
    spent = found["smooth_grad"].extras["nt_samples"].long().tolist()
    for sample, count in enumerate(spent):
        gradients = []
        for rows in opposite_copies(inputs[sample : sample + 1], count):
            x = rows.clone().requires_grad_()
            gradients.append(torch.autograd.grad(model(x)[0, 0], x)[0][0])
        copies = torch.stack(gradients)
        expected = {"smooth_grad": copies.mean(0), "smooth_grad_squared": copies.square().mean(0)}
        expected["var_grad"] = copies.var(0, correction=0)
        errors = []
        for values in (copies, copies.square()):
            of_eight = values.unflatten(0, (-1, 8)).mean(1).flatten(1)
            variance = of_eight.var(0).sum() / len(of_eight)
            errors.append(float(variance.sqrt() / of_eight.mean(0).norm()))
        for name, values in expected.items():
            torch.testing.assert_close(found[name].values[sample], values)
            assert found[name].extras["nt_samples"][sample] == count
            assert float(found[name].extras["standard_error"][sample]) == pytest.approx(max(errors))
        assert max(errors) <= 0.15


def test_the_standard_error_is_how_far_the_map_is_from_that_of_many_copies():
    """Over seeds: the root of the mean square of what was found, and of what was told."""
    model, inputs = Rough(), images(1)
    exact = found_by(SmoothGrad(4000), model, inputs, internal_batch_size=500).values
    method = SmoothGrad("auto", tolerance=0.1, max_samples=400)
    far, told = [], []
    for seed in range(12):
        found = found_by(method, model, inputs, seed=seed + 1)
        far.append(float((found.values - exact).norm() / exact.norm()) ** 2)
        told.append(float(found.extras["standard_error"][0]) ** 2)
    # The larger one of two errors is told: that of the mean square may be the larger.
    assert 0.4 < math.sqrt(sum(far) / sum(told)) < 1.4


def test_opposite_noise_is_exact_where_the_gradient_is_linear():
    class Square(nn.Module):
        def forward(self, x):
            return (x.flatten(1) ** 2).sum(1, keepdim=True)

    inputs = images(2)
    found = found_by(SmoothGrad("auto", tolerance=0.9), Square(), inputs)
    torch.testing.assert_close(found.values, 2 * inputs)
    assert found.extras["nt_samples"].tolist() == [16, 16]


def test_a_map_that_is_zero_has_no_error():
    class Constant(nn.Module):
        def forward(self, x):
            return F.relu(x.flatten(1).sum(1, keepdim=True))

    inputs = torch.cat([images(1).abs(), -images(1).abs()])
    with pytest.warns(UserWarning, match="zero"):
        found = explain(Constant(), inputs, methods=[*FAMILY, IntegratedGradients("auto")], target=0)
    assert found["var_grad"].extras["nt_samples"][1] == 16
    assert found["var_grad"].extras["standard_error"][1] == 0
    assert found["integrated_gradients"].extras["n_steps"].tolist() == [17, 17]


def test_the_family_shares_a_pass():
    model, inputs = Rough(), images()
    found = run_engine(model, inputs, Settings(methods=tuple(FAMILY)), [0])
    assert found.n_passes == 1
    assert sum(model.rows) == len(inputs) + int(found.attributions[0]["smooth_grad"].extras["nt_samples"].sum())


def test_fixed_numbers_tell_nothing_of_it():
    methods = [IntegratedGradients(5), SmoothGrad(4)]
    found = explain(Rough(), images(), methods=methods, target=0)
    assert set(found["integrated_gradients"].extras) == {"convergence_delta"}
    assert found["smooth_grad"].extras == {}


def test_passes_that_cannot_be_refined():
    until = Until(0.1, 99)
    with pytest.raises(MethodError, match=r"until=.*with rule='midpoint'; expected rule='trapezoid'"):
        Path(17, "midpoint", until=until)
    with pytest.raises(MethodError, match="expected only one of them"):
        Pass(Path(17, "trapezoid", until=until), Noise(8, until=until))
