"""The whole test of a model and a batch: its values, its cost, and what it leaves behind."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

from saliency_callbacks.errors import ConfigurationError, InputError, MethodError, TargetError
from saliency_callbacks.methods import IntegratedGradients, SmoothGrad
from saliency_callbacks.randomization import randomization_test
from saliency_callbacks.randomization.run import check_redraw
from saliency_callbacks.targets.other_class import OtherClass

DEPENDS = "depends on the weights"
POINT_METHODS = ["gradient", "input_x_gradient", "grad_cam", "hires_cam", "layer_cam"]


class Network(nn.Module):
    """A small classifier with everything that must come back, registered against its execution order."""

    def __init__(self, n_classes=3):
        super().__init__()
        self.head = nn.Linear(4, n_classes)
        self.late = nn.Conv2d(6, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.early = nn.Conv2d(2, 6, 3, padding=1)
        self.failure = None

    def forward(self, x):
        x = torch.relu(self.norm(self.early(x)))
        x = torch.relu(self.late(x))
        if self.failure is not None and not torch.is_grad_enabled():
            raise self.failure
        return self.head(x.mean((2, 3)))


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = Network()
    model(torch.randn(8, 2, 6, 6)).square().sum().backward()
    return model


@pytest.fixture
def inputs():
    return torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(1))


def content(tensor):
    return (id(tensor), tensor.data_ptr(), tensor.detach().numpy().tobytes())


def state_of(model):
    return {
        "parameters": [
            (name, content(value), content(value.grad), value.requires_grad) for name, value in model.named_parameters()
        ],
        "buffers": [(name, content(value)) for name, value in model.named_buffers()],
        "training": [module.training for module in model.modules()],
        "hooks": [(list(module._forward_hooks), list(module._forward_pre_hooks)) for module in model.modules()],
        "python": random.getstate(),
        "numpy": np.random.get_state()[1].tobytes(),  # noqa: NPY002
        "torch": torch.get_rng_state().numpy().tobytes(),
    }


def run(model, inputs, **changes):
    return randomization_test(model, inputs, **{"methods": "gradient", "target": 1, "n_draws": 2} | changes)


def calls_of(model, action):
    """Rows of every forward that ``action`` runs."""
    rows = []
    handle = model.register_forward_hook(lambda module, args, output: rows.append(len(output)))
    action()
    handle.remove()
    return rows


class TestValues:
    """Against SciPy and gradients taken by hand, in the same random states."""

    @pytest.fixture
    def found(self, model, inputs):
        states = []

        def keep(done, total):
            states.append({name: value.clone() for name, value in model.state_dict().items()})

        target = torch.tensor([0, 2, 1, 1])
        result = run(
            model, inputs, target=target, methods=["gradient", "grad_cam"], target_layers="late", progress=keep
        )
        return result, states, target

    def gradients(self, model, inputs, score, state=None):
        twin = Network().eval()
        twin.load_state_dict(model.state_dict() if state is None else state)
        x = inputs.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(score(twin(x)).sum(), x)
        return gradient.numpy()

    @staticmethod
    def spearman(a, b):
        return [scipy.stats.spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]

    def test_similarities_and_floors(self, model, inputs, found):
        result, states, target = found

        def score(logits):
            return logits.gather(1, target[:, None])

        trained = self.gradients(model, inputs, score)
        drawn = [self.gradients(model, inputs, score, state) for state in states]
        for name, read in {"spearman": lambda g: g.sum(1), "abs_spearman": lambda g: np.abs(g).max(1)}.items():
            values = [self.spearman(read(trained), read(one)) for one in drawn]
            np.testing.assert_allclose(result.values[name]["gradient"], [values], atol=1e-5)
            np.testing.assert_allclose(
                result.floors[name]["gradient"], [self.spearman(read(drawn[0]), read(drawn[1]))], atol=1e-5
            )
            assert result.similarity("gradient", name).mean == pytest.approx(np.mean(values), abs=1e-5)

    def test_random_logit(self, model, inputs, found):
        result, _, target = found
        samples = torch.arange(4)
        other = OtherClass(target, seed=0)
        a = self.gradients(model, inputs, lambda logits: logits.gather(1, target[:, None]))
        b = self.gradients(model, inputs, lambda logits: other(logits, samples))
        expected = self.spearman(a.sum(1), b.sum(1))
        np.testing.assert_allclose(result.random_logit["spearman"]["gradient"], expected, atol=1e-5)

    def test_shapes(self, found):
        result, _, target = found
        for name in ("spearman", "abs_spearman"):
            for method in ("gradient", "grad_cam"):
                assert result.values[name][method].shape == (1, 2, 4)
                assert result.floors[name][method].shape == (1, 4)
                assert result.random_logit[name][method].shape == (4,)
        assert torch.equal(result.target, target)
        assert result.target_layers == ("late",)
        assert result.unchanged == ("norm.bias", "norm.weight"), "which nothing has trained yet"


def test_every_step_of_a_cascade_has_all_draws_and_the_floor_is_of_its_end(model, inputs):
    result = run(model, inputs, order="top_down", n_draws=3)
    assert result.steps == ("head", "late", "norm", "early")
    assert result.values["spearman"]["gradient"].shape == (4, 3, 4)
    assert result.floors["spearman"]["gradient"].shape == (3, 4)
    full = run(model, inputs, n_draws=3)
    torch.testing.assert_close(full.values["spearman"]["gradient"][-1], result.values["spearman"]["gradient"][-1])
    torch.testing.assert_close(full.floors["spearman"]["gradient"], result.floors["spearman"]["gradient"])
    alone = run(model, inputs, order="independent", n_draws=3)
    assert alone.steps == ("early", "norm", "late", "head")
    torch.testing.assert_close(full.floors["spearman"]["gradient"], alone.floors["spearman"]["gradient"])
    torch.testing.assert_close(alone.values["spearman"]["gradient"][-1], result.values["spearman"]["gradient"][0])


def test_the_predicted_class_is_that_of_the_trained_weights(model, inputs):
    with torch.no_grad():
        model.head.bias.copy_(torch.tensor([0.0, 0.02, 0.0]))
        classes = model.eval()(inputs).argmax(dim=1)
    predicted, given = run(model, inputs, target="predicted"), run(model, inputs, target=classes)
    assert torch.equal(predicted.target, classes)
    assert predicted.to_dict() == given.to_dict()
    assert run(model, inputs, target=(classes + 1) % 3).to_dict() != given.to_dict()


def test_the_same_seed_gives_the_same_result_and_another_another(model, inputs):
    first = run(model, inputs, methods=["gradient", SmoothGrad(nt_samples=2)])
    torch.rand(5)
    assert run(model, inputs, methods=["gradient", SmoothGrad(nt_samples=2)]).to_dict() == first.to_dict()
    assert run(model, inputs, seed=1).values["spearman"]["gradient"].ne(first.values["spearman"]["gradient"]).any()


class TestNothingIsLeftBehind:
    @pytest.mark.parametrize("order", ["full", "top_down", "bottom_up", "independent"])
    @pytest.mark.parametrize("randomize", ["reinitialize", "permute"])
    def test_after_a_success(self, model, inputs, order, randomize):
        before = state_of(model)
        run(model, inputs, order=order, randomize=randomize, methods=["gradient", "guided_backprop", "grad_cam"])
        assert state_of(model) == before

    @pytest.mark.parametrize("failure", [ArithmeticError, KeyboardInterrupt])
    def test_after_an_exception_in_a_random_state(self, model, inputs, failure):
        before = state_of(model)
        changed = []

        def fail(done, total):
            changed.append(state_of(model)["parameters"] != before["parameters"])
            if done == 3:
                raise failure

        with pytest.raises(failure):
            run(model, inputs, order="top_down", progress=fail)
        assert changed == [True] * 3
        assert state_of(model) == before

    def test_after_an_exception_in_the_forward(self, model, inputs):
        model.failure = ArithmeticError("while the layers are searched")
        before = state_of(model)
        with pytest.raises(ArithmeticError):
            run(model, inputs)
        assert state_of(model) == before

    @pytest.mark.parametrize("caller", [torch.no_grad, torch.inference_mode])
    def test_wherever_the_caller_stands(self, model, inputs, caller):
        expected = run(model, inputs).to_dict()
        before = state_of(model)
        with caller():
            assert run(model, inputs).to_dict() == expected
        assert state_of(model) == before


class TestCost:
    """Forwards: one row to find the layers, then all rows once a state, for all methods together."""

    @pytest.fixture(autouse=True)
    def _map_is_known_to_be_in_place(self, model, inputs):
        run(model, inputs, methods="grad_cam", target_layers="late")

    @pytest.mark.parametrize("methods", [["gradient"], POINT_METHODS], ids=["one", "five"])
    @pytest.mark.parametrize(("order", "states"), [("full", 1), ("top_down", 4), ("bottom_up", 4), ("independent", 5)])
    def test_one_pass_a_state(self, model, inputs, methods, order, states):
        rows = calls_of(
            model, lambda: run(model, inputs, methods=methods, target_layers="late", order=order, n_draws=3)
        )
        assert rows == [1, 4] + [4] * 3 * states

    def test_the_target_layer_is_searched_once(self, model, inputs):
        named = calls_of(model, lambda: run(model, inputs, methods="grad_cam", target_layers="late"))
        found = calls_of(model, lambda: run(model, inputs, methods="grad_cam"))
        assert sorted(found)[1:] == sorted(named)

    def test_the_class_is_predicted_once(self, model, inputs):
        assert calls_of(model, lambda: run(model, inputs, target="predicted")) == [1, 4, 4, 4, 4]

    def test_two_rules_are_two_passes(self, model, inputs):
        rows = calls_of(
            model, lambda: run(model, inputs, methods=[*POINT_METHODS, "guided_backprop"], target_layers="late")
        )
        assert rows == [1] + [4, 4] * 3


class TestCeilings:
    def test_methods_that_draw_noise_have_one_below_1(self, model, inputs):
        methods = [
            "gradient",
            SmoothGrad(nt_samples=2, stdevs=0.5),
            IntegratedGradients(n_steps=2, baselines=["noise"], name="from_noise"),
        ]
        result = run(model, inputs, methods=methods)
        assert set(result.ceilings["spearman"]) == {"smooth_grad", "from_noise"}
        assert 0 < result.ceiling("smooth_grad") < 1
        assert result.ceiling("from_noise") < 1
        assert result.ceiling("gradient") == 1
        more = run(model, inputs, methods=SmoothGrad(nt_samples=20, stdevs=0.5))
        assert result.ceiling("smooth_grad") < more.ceiling("smooth_grad") < 1

    def test_others_have_none(self, model, inputs):
        assert run(model, inputs).ceilings == {}


class TestRandomLogit:
    def test_a_callable_target_has_no_other_class(self, model, inputs):
        result = run(model, inputs, target=lambda output: output.square().sum(1))
        assert result.random_logit == {}
        assert math.isnan(result.logit("gradient"))
        assert result.target.tolist() == [-1] * 4

    def test_a_single_score_has_no_other_class(self, inputs):
        torch.manual_seed(0)
        result = run(Network(1), inputs, target=0)
        assert result.random_logit == {}
        assert math.isnan(result.logit("gradient"))

    def test_in_a_linear_model_it_follows_from_the_weights(self):
        """The map of a class is its weights; two opposite classes have opposite maps."""
        model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2, bias=False))
        with torch.no_grad():
            model[1].weight[1] = -model[1].weight[0]
        result = run(model, torch.rand(3, 1, 4, 4), target=torch.tensor([0, 1, 0]))
        torch.testing.assert_close(result.random_logit["spearman"]["gradient"].double(), -torch.ones(3).double())
        torch.testing.assert_close(result.random_logit["abs_spearman"]["gradient"].double(), torch.ones(3).double())


class Constant(nn.Module):
    """Its gradient is the same everywhere, whatever its weights."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Linear(1, 2)

    def forward(self, x):
        return self.scale(x.mean((1, 2, 3))[:, None])


class AllConstant(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 1))

    def forward(self, x):
        return x.mean((1, 2, 3))[:, None] @ self.weight.T


class TestBadInput:
    def test_constant_maps_have_no_similarity(self):
        result = run(Constant(), torch.rand(3, 1, 4, 4))
        assert result.values["spearman"]["gradient"].isnan().all()
        assert result.values["abs_spearman"]["gradient"].isnan().all()
        assert math.isnan(result.similarity("gradient").mean)
        assert result.similarity("gradient").invalid == 1
        assert math.isnan(result.floor("gradient").mean)
        assert math.isnan(result.calibrated("gradient"))
        assert math.isnan(result.logit("gradient"))
        assert result.verdicts["gradient"].startswith("undecided: all maps of the trained model")
        assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["floor"]["spearman"]["gradient"] == [
            [None] * 3
        ]
        assert result.plot().min() < 100

    def test_no_parameter(self):
        with pytest.raises(ConfigurationError, match="Sequential has no parameters to randomize"):
            run(nn.Sequential(nn.Flatten(), nn.Softmax(1)), torch.rand(2, 1, 2, 2))

    @pytest.mark.parametrize("randomize", ["reinitialize", "permute", lambda module: None])
    def test_nothing_but_constants(self, randomize):
        with pytest.raises(ConfigurationError, match=r"no parameter of AllConstant could be randomized.*callable"):
            run(AllConstant(), torch.rand(2, 1, 2, 2), randomize=randomize)

    def test_a_callable_that_draws_them(self):
        result = run(
            AllConstant(),
            torch.rand(2, 1, 2, 2),
            randomize=lambda m: [p.normal_() for p in m.parameters(recurse=False)],
        )
        assert result.unchanged == ()

    @pytest.mark.parametrize("n_draws", [1, 0, -3, True, 2.0, "5", None])
    def test_too_few_draws(self, model, inputs, n_draws):
        with pytest.raises(ConfigurationError, match=f"n_draws={n_draws!r}; expected a whole number of at least 2"):
            run(model, inputs, n_draws=n_draws)

    @pytest.mark.parametrize(
        ("changes", "error", "message"),
        [
            ({"order": "topdown"}, ConfigurationError, "order='topdown' is unknown; did you mean 'top_down'"),
            ({"similarities": "sperman"}, ConfigurationError, "'sperman' is unknown; did you mean 'spearman'"),
            ({"similarities": []}, ConfigurationError, "similarities is empty"),
            ({"randomize": "shuffle"}, ConfigurationError, "randomize='shuffle' is unknown; expected one of"),
            ({"randomize": "no.such.function"}, ConfigurationError, "cannot be imported"),
            ({"randomize": None}, ConfigurationError, "randomize=None"),
            ({"randomize": 3}, ConfigurationError, "randomize=3"),
            ({"methods": "gradeint"}, MethodError, "did you mean 'gradient'"),
            ({"target": "predict"}, TargetError, "did you mean 'predicted'"),
            ({"target": 7}, TargetError, "out of range"),
            ({"seed": -1}, InputError, "seed=-1"),
        ],
    )
    def test_what_is_unknown(self, model, inputs, changes, error, message):
        before = state_of(model)
        with pytest.raises(error, match=message):
            run(model, inputs, **changes)
        assert state_of(model) == before


def test_a_dotted_path_and_the_function_it_names(model, inputs):
    assert check_redraw("torch.nn.init.zeros_") is nn.init.zeros_
    assert check_redraw("permute") == "permute"


def test_similarities_are_those_asked_for_after_the_primary_one(model, inputs):
    assert run(model, inputs, similarities="cosine").similarities == ("spearman", "cosine")
    assert run(model, inputs, similarities=["ssim", "spearman"]).similarities == ("spearman", "ssim")


def test_constants_are_named(inputs):
    class Scaled(Network):
        def __init__(self):
            super().__init__()
            self.temperature = nn.Parameter(torch.tensor(2.0))

        def forward(self, x):
            return super().forward(x) / self.temperature

    torch.manual_seed(0)
    # Those of a normalization that was not trained are reset to what they are.
    assert run(Scaled(), inputs).unchanged == ("norm.bias", "norm.weight", "temperature")


def test_another_output_and_inputs_in_a_dict(model, inputs):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = model

        def forward(self, image, other):
            return {"answer": self.net(image), "other": other}

    result = run(
        Wrapped(),
        {"image": inputs, "other": torch.zeros(4, 1)},
        attribute_to="image",
        output_fn=lambda output: output["answer"],
    )
    # Layers have other names, and with them other draws.
    assert result.random_logit["spearman"]["gradient"].tolist() == pytest.approx(
        run(model, inputs).random_logit["spearman"]["gradient"].tolist()
    )


def test_chunks_change_nothing(model, inputs):
    whole, chunked = run(model, inputs), run(model, inputs, internal_batch_size=3)
    for name in ("spearman", "abs_spearman"):
        torch.testing.assert_close(whole.values[name]["gradient"], chunked.values[name]["gradient"], atol=0.02, rtol=0)
