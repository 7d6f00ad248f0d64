"""What one run of the engine costs, and what it takes: targets, inputs, outputs, precisions."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import OrderedDict

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from saliency_callbacks.engine.logits import run_logits
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import (
    ConfigurationError,
    GradientError,
    InputError,
    LayerError,
    ObservationError,
    OutputError,
    ReluError,
    SaliencyWarning,
    TargetError,
)
from saliency_callbacks.methods import (
    BUILT_IN,
    GradCAM,
    Gradient,
    IntegratedGradients,
    LayerCAM,
    SmoothGrad,
    resolve_methods,
)
from saliency_callbacks.methods.catalog import COSTS
from saliency_callbacks.targets.selectors import Labels

SINGLE_PASS = ["gradient", "input_x_gradient", "grad_cam", "grad_cam_plus_plus", "hires_cam", "layer_cam", "xgrad_cam"]


class Log(list):
    """What a model has seen. Of a plain list, the engine would put the content back."""


class Net(nn.Module):
    """A classifier that counts the rows of every forward, and whether a graph was recorded."""

    def __init__(self, n_classes=4):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(2, 6, 3, padding=1)
        self.head = nn.Linear(6, n_classes)
        self.head.weight.data.abs_()
        self.rows, self.recorded = Log(), Log()

    def forward(self, x):
        self.rows.append(len(x))
        self.recorded.append(torch.is_grad_enabled())
        return self.head(F.relu(self.conv(x)).mean((2, 3)))


@pytest.fixture
def inputs():
    return torch.randn(5, 2, 6, 7, generator=torch.Generator().manual_seed(0))


def run(model, inputs, methods, targets=(1,), **settings):
    settings = {"target_layers": "conv"} | settings
    return run_engine(model, inputs, Settings(methods=resolve_methods(methods), **settings), targets)


@pytest.fixture
def model(inputs):
    """A model whose layer is known to be in place, which takes some forwards of one sample once."""
    known = Net()
    run(known, inputs, ["grad_cam"])
    known.rows.clear()
    known.recorded.clear()
    return known


@pytest.fixture
def backwards(monkeypatch):
    calls = []
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *args, **kwargs: calls.append(1) or grad(*args, **kwargs))
    return calls


class TestCost:
    def test_seven_single_pass_methods_are_one_forward_and_one_backward(self, model, inputs, backwards):
        found = run(model, inputs, SINGLE_PASS)
        assert model.rows == [5]
        assert len(backwards) == 1
        assert found.n_passes == 1
        assert list(found.attributions[0]) == SINGLE_PASS

    def test_several_targets_share_the_forward(self, model, inputs, backwards):
        run(model, inputs, SINGLE_PASS, targets=[0, 1, "predicted"])
        assert model.rows == [5]
        assert len(backwards) == 3

    def test_the_smooth_grad_family_is_one_noise_pass(self, inputs, backwards):
        model = Net()
        methods = [SmoothGrad(4, nt_type=nt_type) for nt_type in ("smoothgrad", "smoothgrad_sq", "vargrad")]
        found = run(model, inputs, ["gradient", *methods])
        assert model.rows == [5] * (1 + 4)
        assert len(backwards) == 1 + 4
        assert found.n_passes == 2

    def test_other_noise_is_another_pass(self, inputs):
        methods = [SmoothGrad(2), SmoothGrad(3, name="more"), SmoothGrad(2, stdevs=0.1, name="less")]
        assert run(Net(), inputs, methods).n_passes == 3

    def test_guided_methods_share_one_guided_pass(self, model, inputs):
        found = run(model, inputs, ["gradient", "grad_cam", "guided_backprop", "guided_grad_cam"])
        assert found.n_passes == 2
        assert model.rows == [5, 5]

    def test_without_a_point_pass_the_clean_score_costs_a_forward_without_graph(self, inputs):
        model = Net()
        found = run(model, inputs, [SmoothGrad(2)])
        assert model.rows == [5, 5, 5]
        assert model.recorded == [False, True, True]
        torch.testing.assert_close(found.attributions[0]["smooth_grad"].score, model.eval()(inputs)[:, 1].detach())

    def test_integrated_gradients_reuses_the_clean_score(self, inputs):
        model = Net()
        run(model, inputs, ["gradient", IntegratedGradients(n_steps=3)])
        assert model.rows == [5] * (1 + 3 + 1)
        assert model.recorded == [True] * 4 + [False]

    def test_a_layout_that_takes_a_forward_is_found_before_the_gradients(self, inputs, monkeypatch):
        class Tokens(Net):
            def __init__(self):
                super().__init__()
                self.mix = nn.Linear(6, 6)

            def forward(self, x):
                events.append(len(x))
                return self.head(self.mix(self.conv(x).abs().flatten(2).transpose(1, 2)).abs().mean(1))

        events, grad = [], torch.autograd.grad
        monkeypatch.setattr(
            torch.autograd, "grad", lambda *args, **kwargs: events.append("grad") or grad(*args, **kwargs)
        )
        tokens = Tokens()
        run(tokens, inputs, ["grad_cam"], target_layers="mix")
        events.clear()
        run(tokens, inputs, ["gradient", "grad_cam"], target_layers="mix")
        assert events == [5, 1, "grad"]

    @pytest.mark.parametrize("n_steps", [5, 50])
    def test_rows_at_once_do_not_grow_with_the_steps(self, model, inputs, n_steps):
        methods = [IntegratedGradients(n_steps, nt_samples=2), SmoothGrad(n_steps), "grad_cam", "guided_backprop"]
        run(model, inputs, methods, internal_batch_size=3)
        assert max(model.rows) == 3
        assert sum(model.rows) == 5 * (n_steps * 2 + n_steps + 1 + 1 + 2 + 1)

    @pytest.mark.parametrize("n_steps", [5, 50])
    def test_memory_does_not_grow_with_the_steps(self, inputs, n_steps):
        """Tensors that are alive at once while the model runs."""
        saved, peak = set(), []

        class Handle:
            def __init__(self, tensor):
                self.tensor = tensor
                saved.add(id(self))

            def __del__(self):
                saved.discard(id(self))

        model = Net()
        model.register_forward_hook(lambda *args: peak.append(len(saved)))
        with torch.autograd.graph.saved_tensors_hooks(Handle, lambda handle: handle.tensor):
            run(model, inputs, [IntegratedGradients(n_steps), SmoothGrad(n_steps)])
        # The graph of a single forward, or none.
        assert set(peak) == {0, 5}

    def test_equal_passes_run_once_whoever_asks(self, inputs):
        passes = set()
        for make in BUILT_IN.values():
            passes |= set(make().requires())
        without_attention = [name for name in BUILT_IN if "attention" not in COSTS[name].needs]
        assert run(Net(), inputs[:1], without_attention).n_passes == len(passes) == 6


class TestTargets:
    def test_a_list_equals_separate_calls(self, inputs):
        targets = [0, torch.tensor([0, 1, 2, 3, 0]), "predicted", lambda output: output[:, 2] - output[:, 1]]
        methods = ["gradient", "grad_cam", "guided_backprop", SmoothGrad(2), IntegratedGradients(n_steps=3)]
        together = run(Net(), inputs, methods, targets=targets).attributions
        assert len(together) == 4
        for target, found in zip(targets, together, strict=True):
            (alone,) = run(Net(), inputs, methods, targets=[target]).attributions
            for name in alone:
                torch.testing.assert_close(found[name].values, alone[name].values)
                torch.testing.assert_close(found[name].score, alone[name].score)
                assert torch.equal(found[name].target, alone[name].target)

    def test_class_per_sample(self, inputs):
        model, classes = Net(), torch.tensor([3, 1, 0, 2, 3])
        found = run(model, inputs, ["gradient"], targets=[classes]).attributions[0]["gradient"]
        assert torch.equal(found.target, classes)
        torch.testing.assert_close(found.score, model(inputs)[torch.arange(5), classes].detach())
        for sample in range(5):
            alone = run(model, inputs[sample : sample + 1], ["gradient"], targets=[int(classes[sample])])
            torch.testing.assert_close(found.values[sample], alone.attributions[0]["gradient"].values[0])

    def test_a_tensor_of_one_class_is_an_index(self, inputs):
        found = [run(Net(), inputs, ["gradient"], targets=[target]) for target in (2, torch.tensor(2))]
        assert torch.equal(*(one.attributions[0]["gradient"].values for one in found))

    def test_predicted_is_that_of_the_unchanged_input(self, inputs):
        model = Net()
        methods = ["gradient", SmoothGrad(8, stdevs=3.0), IntegratedGradients(n_steps=3, baselines="noise")]
        predicted = model(inputs).argmax(1)
        found = run(model, inputs, methods, targets=["predicted"]).attributions[0]
        expected = run(model, inputs, methods, targets=[predicted]).attributions[0]
        for name in found:
            assert torch.equal(found[name].target, predicted)
            assert torch.equal(found[name].values, expected[name].values)

    def test_a_loss_of_the_labels(self, inputs):
        """One that closes over the labels of the whole batch, with the layer searched for."""
        labels = torch.tensor([3, 1, 0, 2, 3])
        methods = ["gradient", "layer_cam", SmoothGrad(2)]
        found = run(
            Net(),
            inputs,
            methods,
            targets=[lambda output: F.cross_entropy(output, labels, reduction="none")],
            target_layers="auto",
        ).attributions[0]
        chunked = run(
            Net(),
            inputs,
            methods,
            targets=[lambda output, samples: F.cross_entropy(output, labels[samples], reduction="none")],
            target_layers="auto",
            internal_batch_size=2,
        ).attributions[0]
        assert found["layer_cam"].layer == chunked["layer_cam"].layer == "conv"
        for name in found:
            torch.testing.assert_close(chunked[name].values, found[name].values)
            assert found[name].target.tolist() == [-1] * 5

    def test_a_segmentation_region(self, inputs):
        class Segmenter(nn.Module):
            def __init__(self):
                super().__init__()
                torch.manual_seed(0)
                self.conv, self.classes = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 3, 1)

            def forward(self, x):
                return OrderedDict(out=self.classes(F.relu(self.conv(x))))

        model = Segmenter()
        found = run(
            model, inputs, ["gradient", "layer_cam"], targets=[lambda out: out["out"][:, 1, :2, :2].sum((1, 2))]
        )
        gradient = found.attributions[0]["gradient"].values
        assert found.logits is None
        # A convolution of size 3 sees one place beyond the region.
        assert gradient[..., :3, :3].any()
        assert not gradient[..., 3:, :].any()
        assert not gradient[..., :, 3:].any()
        with pytest.raises(OutputError, match=r"'out': Tensor\[5, 3, 6, 7\].*expected class scores \[N, classes\]"):
            run(model, inputs, ["gradient"])

    def test_a_regression_head(self, inputs):
        model = Net(n_classes=1)
        named = run(model, inputs, ["gradient"], targets=["predicted"])
        called = run(model, inputs, ["gradient"], targets=[lambda output: output])
        assert torch.equal(named.attributions[0]["gradient"].values, called.attributions[0]["gradient"].values)
        flat = nn.Sequential(model, nn.Flatten(0))
        squeezed = run(flat, inputs, ["gradient"], targets=["predicted"])
        assert torch.equal(named.attributions[0]["gradient"].values, squeezed.attributions[0]["gradient"].values)

    def test_labels_of_a_model_with_a_single_logit(self, inputs):
        model, labels = Net(n_classes=1), torch.tensor([0, 1, 1, 0, 1])
        found = run(model, inputs, ["gradient"], targets=[Labels(labels)]).attributions[0]["gradient"]
        plain = run(model, inputs, ["gradient"], targets=["predicted"]).attributions[0]["gradient"]
        sign = (2 * labels - 1).reshape(-1, 1, 1, 1)
        torch.testing.assert_close(found.values, sign * plain.values)
        assert torch.equal(found.target, labels)

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            (7, r"target \[7\] is out of range; the model has 4 classes; expected 0 to 3. Check the labels"),
            (-1, r"target \[-1\] is out of range"),
            (torch.tensor([0, 9, 1, 8, 0]), r"target \[8, 9\] is out of range"),
            (
                torch.tensor([0, 1]),
                r"target has shape \[2\]; expected one class index per sample, \[5\].*`targets=\[…\]`",
            ),
            (torch.zeros(5), r"target has dtype torch.float32; expected integer class indices.*`.long\(\)`"),
            (torch.ones(5, dtype=torch.bool), r"dtype torch.bool"),
            ("predict", r"target 'predict' is unknown; did you mean 'predicted'"),
            ([0, 1], r"target=list of .*`targets=\[…\]`"),
            (None, r"target=NoneType; expected a class index"),
            (True, r"target=bool"),
            (1.5, r"target=float"),
            (lambda output: output, r"returned Tensor\[5, 4\] .* for 5 rows; expected one score per row, \[5\]"),
            (lambda output: output.sum(), r"returned Tensor\[\] .*second argument, `samples` \[M\]"),
            (lambda output: 3.0, r"returned float"),
        ],
    )
    def test_what_is_no_target(self, inputs, target, message):
        with pytest.raises(TargetError, match=message):
            run(Net(), inputs, ["gradient"], targets=[target])

    def test_no_target(self, inputs):
        with pytest.raises(TargetError, match="targets is empty; expected at least one"):
            run(Net(), inputs, ["gradient"], targets=[])


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net, self.side = Net(), nn.Linear(3, 4)

    def forward(self, image, table, scale=None):
        output = self.net(image) * self.side(table).sigmoid()
        return output if scale is None else output * scale


class Positional(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = TwoInputs()

    def forward(self, batch):
        return self.inner(batch["image"], batch["table"])


class TestInputs:
    table = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))

    @pytest.mark.parametrize("size", [None, 2])
    def test_tuples_and_dicts(self, inputs, size):
        given = [
            (TwoInputs(), (inputs, self.table), 0),
            (TwoInputs(), [inputs, self.table], None),
            (TwoInputs(), {"image": inputs, "table": self.table}, "image"),
            (TwoInputs(), {"table": self.table, "image": inputs, "scale": torch.tensor(1.0)}, None),
            (Positional(), {"image": inputs, "table": self.table}, None),
            (torch.compile(Positional(), backend="eager"), {"image": inputs, "table": self.table}, "image"),
        ]
        methods = ["gradient", "layer_cam", SmoothGrad(2), IntegratedGradients(n_steps=2)]
        found = [
            run(model, batch, methods, target_layers="auto", attribute_to=key, internal_batch_size=size).attributions[0]
            for model, batch, key in given
        ]
        for other in found[1:]:
            for name in other:
                torch.testing.assert_close(other[name].values, found[0][name].values)
        assert found[0]["gradient"].values.shape == inputs.shape
        # Each row keeps its own row of the other input.
        alone = run(TwoInputs(), (inputs[3:4], self.table[3:4]), methods, target_layers="auto", attribute_to=0)
        torch.testing.assert_close(found[0]["smooth_grad"].values[3], alone.attributions[0]["smooth_grad"].values[0])

    def test_which_of_two_images(self, inputs):
        class Both(nn.Module):
            def forward(self, left, right):
                return torch.stack([left.flatten(1).sum(1), 2 * right.flatten(1).sum(1)], 1)

        found = run(Both(), (inputs, inputs), [Gradient()], targets=[0], attribute_to=0)
        assert (found.attributions[0]["gradient"].values == 1).all()
        found = run(Both(), {"left": inputs, "right": inputs}, [Gradient()], targets=[1], attribute_to="right")
        assert (found.attributions[0]["gradient"].values == 2).all()
        with pytest.raises(InputError, match=r"2 of the inputs \['0', '1'\] could be explained.*`attribute_to=0`"):
            run(Both(), (inputs, inputs), [Gradient()])

    @pytest.mark.parametrize(
        ("make", "key", "message"),
        [
            (lambda x: (x * 255).byte(), None, r"dtype torch.uint8; expected floating point.*`.float\(\) / 255`"),
            (lambda x: x[0, 0], None, r"shape \[6, 7\]; expected \[N, C, \*spatial\].*`x.unsqueeze\(…\)`"),
            (lambda x: x[:0], None, r"shape \[0, 2, 6, 7\]; expected .* N ≥ 1"),
            (lambda x: x.numpy(), None, r"inputs are of type ndarray; expected a tensor"),
            (lambda x: "x", None, r"inputs are of type str"),
            (list, None, r"5 of the inputs .* become one tensor first, torch.stack\(pictures\)"),
            (lambda x: (x, x[:, 0, 0]), 2, r"attribute_to=2 is not among the inputs; .*'0', '1'"),
            (lambda x: {"image": x}, "imag", r"attribute_to='imag' is not among the inputs; did you mean 'image'"),
            (lambda x: (x, "text"), 1, r"inputs\[1\] is of type str; expected a tensor"),
            (lambda x: {"ids": x.long()}, None, r"none of the inputs {'ids': \[5, 2, 6, 7\]} could be explained"),
        ],
    )
    def test_what_cannot_be_explained(self, inputs, make, key, message):
        with pytest.raises(InputError, match=message):
            run(Net(), make(inputs), ["gradient"], attribute_to=key)

    @pytest.mark.parametrize("size", [0, -1, 2.0, True, "4"])
    def test_internal_batch_size(self, size):
        with pytest.raises(InputError, match=r"internal_batch_size=.*; expected .* rows, or None for all samples"):
            Settings(methods=(Gradient(),), internal_batch_size=size)

    @pytest.mark.parametrize("seed", [-1, 2**63, 1.0, True, None, "0"])
    def test_what_is_no_seed(self, seed):
        with pytest.raises(InputError, match=r"seed=.*; expected an integer from 0 up to 2\*\*63 - 1"):
            Settings(methods=(Gradient(),), seed=seed)

    def test_numbers_of_numpy(self):
        settings = Settings(methods=(Gradient(),), internal_batch_size=np.int64(2), seed=np.int64(3))
        assert (type(settings.internal_batch_size), type(settings.seed)) == (int, int)

    def test_the_largest_seed(self, inputs):
        assert run(Net(), inputs, [SmoothGrad(2)], seed=2**63 - 1).attributions[0]["smooth_grad"].values.any()

    @pytest.mark.parametrize("target_layers", ["conv", "auto"])
    @pytest.mark.parametrize("shape", [(5, 3), (7, 3), (3,)])
    def test_other_inputs_that_the_model_writes_into(self, inputs, target_layers, shape):
        class Writing(Net):
            def forward(self, image, table):
                table.add_(1)
                image.mul_(2)
                return super().forward(image) * table.sum()

        batch = {"image": inputs.clone(), "table": torch.ones(shape)}
        run(Writing(), batch, ["gradient", "grad_cam"], target_layers=target_layers, attribute_to="image")
        assert torch.equal(batch["image"], inputs)
        assert torch.equal(batch["table"], torch.ones(shape))

    def test_a_signal_that_the_model_writes_into(self):
        class Writing(nn.Module):
            def __init__(self):
                super().__init__()
                torch.manual_seed(0)
                self.conv, self.head = nn.Conv1d(2, 4, 3, padding=1), nn.Linear(4, 3)

            def forward(self, x):
                return self.head(self.conv(x.mul_(2)).abs().mean(-1))

        signal = torch.ones(3, 2, 10)
        run(Writing(), signal, ["grad_cam", "gradient"])
        assert (signal == 1).all()

    def test_another_default_device(self, inputs):
        methods = ["gradient", SmoothGrad(2), IntegratedGradients(n_steps=2, baselines="noise"), "layer_cam"]
        model = Net()
        nn.init.zeros_(model.head.weight)
        expected = run(model, inputs, methods, target_layers="auto").attributions[0]
        with torch.device("meta"):
            found = run(model, inputs, methods, target_layers="auto").attributions[0]
        for name in expected:
            assert torch.equal(found[name].values, expected[name].values)


@dataclasses.dataclass
class ModelOutput:
    logits: torch.Tensor
    hidden: torch.Tensor


class Wrapped(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.net, self.wrap = Net(), wrap

    def forward(self, x):
        return self.wrap(self.net(x))


class TestOutputs:
    @pytest.mark.parametrize(
        ("wrap", "output_fn"),
        [
            (lambda logits: ModelOutput(logits, logits[:, :2]), None),
            (lambda logits: {"logits": logits, "features": logits[:, :2]}, None),
            (lambda logits: {"scores": logits, "loss": logits.mean()}, None),
            (lambda logits: (logits, logits[:, :, None]), None),
            (lambda logits: [logits], None),
            (lambda logits: (logits, logits * 2), lambda output: output[0]),
            (lambda logits: logits[:, :, None, None], lambda output: output.flatten(1)),
        ],
    )
    def test_structures(self, inputs, wrap, output_fn):
        expected = run(Net(), inputs, ["gradient"])
        found = run(Wrapped(wrap), inputs, ["gradient"], output_fn=output_fn)
        assert torch.equal(found.attributions[0]["gradient"].values, expected.attributions[0]["gradient"].values)
        assert torch.equal(found.logits, expected.logits)

    @pytest.mark.parametrize(
        ("wrap", "message"),
        [
            (
                lambda logits: (logits, logits * 2),
                r"the model returned tuple of 2 \(Tensor\[5, 4\].*Give `output_fn=`",
            ),
            (lambda logits: logits[:, :, None], r"Tensor\[5, 4, 1\] float32; expected class scores"),
            (lambda logits: None, r"returned NoneType"),
            (lambda logits: logits.argmax(1), r"int64; expected class scores"),
            (lambda logits: logits.repeat(2, 1), r"class scores \[10, 4\] for 5 samples; expected \[5, classes\]"),
            (lambda logits: logits[0], r"class scores \[4, 1\] for 5 samples"),
        ],
    )
    @pytest.mark.parametrize("target", [0, "predicted", Labels(torch.zeros(5, dtype=torch.long))])
    def test_what_are_no_class_scores(self, inputs, wrap, message, target):
        with pytest.raises(OutputError, match=message):
            run(Wrapped(wrap), inputs, ["gradient"], targets=[target])

    def test_output_fn_that_returns_no_class_scores(self, inputs):
        with pytest.raises(OutputError, match=r"output_fn returned Tensor\[\]"):
            run(Net(), inputs, ["gradient"], output_fn=lambda output: output.sum())

    def test_a_callable_target_sees_what_output_fn_returns(self, inputs):
        found = run(
            Wrapped(lambda logits: {"a": logits, "b": logits}),
            inputs,
            ["gradient"],
            targets=[lambda output: output[:, 1]],
            output_fn=lambda output: output["a"],
        )
        expected = run(Net(), inputs, ["gradient"])
        assert torch.equal(found.attributions[0]["gradient"].values, expected.attributions[0]["gradient"].values)

    @pytest.mark.parametrize("methods", [["gradient"], [SmoothGrad(2)]])
    def test_logits_are_those_of_the_unchanged_input(self, inputs, methods):
        model = Net()
        found = run(model, inputs, methods, internal_batch_size=2)
        torch.testing.assert_close(found.logits, model(inputs).detach())
        assert not found.logits.requires_grad


class Probing(Net):
    """A head on a backbone that may run without gradients."""

    def __init__(self, switch):
        super().__init__()
        self.switch = switch

    def forward(self, x):
        with self.switch():
            features = self.conv(x)
        return self.head(F.relu(features).mean((2, 3)))


class TestModels:
    def test_an_input_that_is_overwritten(self, inputs):
        class Overwriting(Net):
            def forward(self, x):
                x.sub_(0.5).mul_(2)
                return super().forward(x)

        class Plain(Net):
            def forward(self, x):
                return super().forward((x - 0.5) * 2)

        methods = ["gradient", "input_x_gradient", "layer_cam", IntegratedGradients(n_steps=3), SmoothGrad(2)]
        before = inputs.clone()
        found, expected = (run(model, inputs, methods).attributions[0] for model in (Overwriting(), Plain()))
        assert torch.equal(inputs, before)
        for name in found:
            torch.testing.assert_close(found[name].values, expected[name].values)

    def test_frozen_parameters(self, inputs):
        frozen = Net().requires_grad_(False)
        methods = [*SINGLE_PASS, "guided_backprop"]
        found, expected = (run(model, inputs, methods).attributions[0] for model in (frozen, Net()))
        for name in found:
            assert torch.equal(found[name].values, expected[name].values)
        alone = run(frozen, inputs, ["grad_cam"], target_layers="auto").attributions[0]
        assert torch.equal(alone["grad_cam"].values, expected["grad_cam"].values)

    @pytest.mark.parametrize("methods", [["gradient"], ["gradient", "grad_cam"], [SmoothGrad(2)], ["guided_backprop"]])
    @pytest.mark.parametrize("switch", [torch.no_grad, lambda: torch.set_grad_enabled(False), torch.inference_mode])
    @pytest.mark.parametrize("target_layers", ["conv", "auto"])
    def test_gradients_are_recorded_through_a_frozen_backbone(self, inputs, methods, switch, target_layers):
        found, expected = (
            run(model, inputs, methods, target_layers=target_layers)
            for model in (Probing(switch), Probing(contextlib.nullcontext))
        )
        assert (found.through_no_grad, expected.through_no_grad) == (True, False)
        assert found.target_layers == expected.target_layers
        for name, attribution in found.attributions[0].items():
            assert torch.equal(attribution.values, expected.attributions[0][name].values)

    def test_a_gradient_that_is_there_is_the_models_own(self, inputs):
        """A `no_grad` beside the way of the gradient is meant: the gradient is what autograd finds."""

        class Gated(Net):
            def forward(self, x):
                with torch.no_grad():
                    gate = torch.sigmoid(x.mean((1, 2, 3)))
                return super().forward(x) * gate[:, None]

        model = Gated().eval()
        rows = inputs.clone().requires_grad_()
        expected = torch.autograd.grad(model(rows)[:, 1].sum(), rows)[0]
        found = run(model, inputs, ["gradient"], targets=[1])
        assert not found.through_no_grad
        torch.testing.assert_close(found.attributions[0]["gradient"].values, expected)

    def test_a_model_that_computes_something_else_is_not_explained_through_its_no_grad(self, inputs):
        class Looking(Probing):
            def forward(self, x):
                with torch.no_grad():
                    features = self.conv(x)
                return self.head(features.mean((2, 3)) + features.requires_grad)

        with pytest.raises(GradientError, match="no gradient with respect to the input"):
            run(Looking(torch.no_grad), inputs, ["gradient"])

    @pytest.mark.parametrize("methods", [["gradient"], ["gradient", "grad_cam"]])
    def test_what_is_detached_on_purpose_stays_so(self, inputs, methods):
        class Detaching(Net):
            def forward(self, x):
                return self.head(F.relu(self.conv(x.detach() * 2)).mean((2, 3)))

        with pytest.raises(GradientError, match=r"`detach\(\)`, which may be intended.*target_layers='conv'"):
            run(Detaching(), inputs, methods, target_layers="conv")
        assert run(Detaching(), inputs, ["grad_cam"], target_layers="auto").target_layers == ("conv",)

    def test_a_detached_backbone_has_no_layer_above_it(self, inputs):
        class Detaching(Net):
            def forward(self, x):
                return self.head(F.relu(self.conv(x)).mean((2, 3)).detach())

        for methods in (["gradient"], ["grad_cam"]):
            with pytest.raises(ConfigurationError, match="No layer with a spatial map lies above it"):
                run(Detaching(), inputs, methods, target_layers="auto")

    @pytest.mark.parametrize("methods", [["grad_cam"], ["grad_cam", "layer_cam"]])
    @pytest.mark.parametrize("switch", [torch.no_grad, lambda: torch.set_grad_enabled(False)])
    @pytest.mark.parametrize("target_layers", ["conv", "auto"])
    @pytest.mark.parametrize("size", [None, 2])
    def test_class_activation_maps_start_where_a_frozen_backbone_ends(
        self, inputs, methods, switch, target_layers, size
    ):
        found, expected = (
            run(model, inputs, methods, target_layers=target_layers, internal_batch_size=size)
            for model in (Probing(switch), Probing(contextlib.nullcontext))
        )
        for name in methods:
            assert found.attributions[0][name].layer == "conv"
            torch.testing.assert_close(found.attributions[0][name].values, expected.attributions[0][name].values)
            assert found.attributions[0][name].values.any()
        torch.testing.assert_close(found.logits, expected.logits)

    def test_tensors_of_inference_mode_are_named(self, inputs):
        class Caching(Net):
            def __init__(self):
                super().__init__()
                self.scale = None

            def forward(self, x):
                if self.scale is None:
                    self.scale = torch.full((1, 2, 1, 1), 2.0)
                return super().forward(x * self.scale)

        model = Caching()
        with torch.inference_mode():
            model(inputs)
        with pytest.raises(ObservationError, match=r"Caching keeps a tensor.*`Trainer\(inference_mode=False\)`"):
            run(model, inputs, ["gradient"])

    def test_other_errors_of_the_model_come_through(self, inputs):
        with pytest.raises(RuntimeError, match="expected input") as caught:
            run(Net(), inputs[:, :1], ["gradient"])
        assert not isinstance(caught.value, ObservationError)

    @pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning", "ignore:`torch.jit:DeprecationWarning")
    class TestTorchScript:
        def model(self):
            torch.manual_seed(0)
            body = nn.Sequential(nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
            return body, [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)]

        def test_input_methods_work(self, inputs):
            body, head = self.model()
            expected = run(nn.Sequential(body, *head), inputs, ["gradient"]).attributions[0]["gradient"].values
            assert expected.any()
            for model in (
                torch.jit.script(nn.Sequential(body, *head)),
                nn.Sequential(torch.jit.script(body), *head),
                nn.Sequential(torch.jit.trace(body.eval(), inputs), *head),
            ):
                found = run(model, inputs, ["gradient"]).attributions[0]["gradient"].values
                torch.testing.assert_close(found, expected)

        @pytest.mark.parametrize(
            ("target_layers", "message"),
            [("0", "'0' is TorchScript, which does not run hooks.*before scripting"), ("auto", "are TorchScript")],
        )
        def test_layers_are_refused(self, inputs, target_layers, message):
            body, head = self.model()
            model = nn.Sequential(torch.jit.script(body), *head)
            with pytest.raises(LayerError, match=message):
                run(model, inputs, ["gradient", "grad_cam"], target_layers=target_layers)

        def test_layers_above_are_found(self, inputs):
            body, head = self.model()
            model = nn.Sequential(torch.jit.script(body), nn.Conv2d(6, 6, 1), *head)
            nn.init.zeros_(model[-1].weight)
            assert run(model, inputs, ["layer_cam"], target_layers="auto").target_layers == ("1",)

        def test_its_relus_are_named(self, inputs):
            body, head = self.model()
            model = nn.Sequential(torch.jit.script(body), *head)
            with pytest.raises(ReluError, match=r"ran none .*TorchScript code"):
                run(model, inputs, ["guided_backprop"])
            with pytest.warns(SaliencyWarning, match="not its TorchScript code"):
                run(nn.Sequential(model, nn.ReLU()), inputs, ["guided_backprop"])

    @pytest.mark.parametrize("methods", [["gradient"], ["grad_cam"]])
    def test_a_score_without_gradient_is_an_error(self, inputs, methods):
        with pytest.raises(ObservationError, match="detaches it, or computes it"):
            run(Net(), inputs, methods, targets=[lambda output: output[:, 0].detach()])

    def test_tied_modules(self, inputs):
        class Tied(nn.Module):
            def __init__(self):
                super().__init__()
                torch.manual_seed(0)
                self.conv = nn.Conv2d(2, 2, 3, padding=1)
                self.again = self.conv
                self.head = nn.Linear(2, 4)
                self.head.weight.data.abs_()

            def forward(self, x):
                return self.head(self.again(self.conv(x).tanh()).tanh().mean((2, 3)))

        model = Tied()
        by_name = [
            run(model, inputs, ["gradient", "hires_cam"], target_layers=name).attributions[0]
            for name in ("conv", "again", model.again, "auto")
        ]
        for other in by_name[1:]:
            assert torch.equal(other["hires_cam"].values, by_name[0]["hires_cam"].values)
        # The last call is the one that is kept.
        last = model.conv(model.conv(inputs).tanh())
        slope = (1 - last.tanh() ** 2) * model.head.weight[1].reshape(1, 2, 1, 1) / 42
        torch.testing.assert_close(by_name[0]["hires_cam"].values, (slope * last).sum(1, True).relu().detach())

    @pytest.mark.parametrize("batch_first", [True, False])
    @pytest.mark.parametrize("target_layers", ["auto", "lstm"])
    def test_an_lstm_on_a_signal(self, batch_first, target_layers):
        class Recurrent(nn.Module):
            def __init__(self):
                super().__init__()
                torch.manual_seed(0)
                self.lstm, self.head = nn.LSTM(2, 8, batch_first=batch_first), nn.Linear(8, 3)

            def forward(self, x):
                states, _ = self.lstm(x.transpose(1, 2) if batch_first else x.permute(2, 0, 1))
                return self.head(states.mean(1 if batch_first else 0))

        model, x = Recurrent(), 2 * torch.randn(3, 2, 11, generator=torch.Generator().manual_seed(0))
        found = run(
            model,
            x,
            ["gradient", "layer_cam"],
            targets=[lambda output: output.square().sum(1)],
            target_layers=target_layers,
        ).attributions[0]
        assert found["gradient"].values.shape == (3, 2, 11)
        assert found["layer_cam"].layer == "lstm"
        states, _ = model.lstm(x.transpose(1, 2) if batch_first else x.permute(2, 0, 1))
        states = (states if batch_first else states.transpose(0, 1)).detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(model.head(states.mean(1)).square().sum(), states)
        expected = (slope.relu() * states).sum(2).relu().detach()
        torch.testing.assert_close(found["layer_cam"].values[:, 0], expected)

    def test_attention(self):
        class Attending(nn.Module):
            def __init__(self):
                super().__init__()
                torch.manual_seed(0)
                self.patches = nn.Conv2d(2, 8, 4, stride=4)
                self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
                self.head = nn.Linear(8, 3)

            def forward(self, x):
                tokens = self.patches(x).flatten(2).transpose(1, 2)
                return self.head(self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1))

        x = 3 * torch.randn(2, 2, 8, 16, generator=torch.Generator().manual_seed(0))
        found = run(
            Attending(),
            x,
            ["gradient", "layer_cam"],
            targets=[lambda output: output.square().sum(1)],
            target_layers="auto",
        ).attributions[0]
        assert found["layer_cam"].layer == "attention"
        assert found["layer_cam"].values.shape == (2, 1, 2, 4)
        assert found["gradient"].values.flatten(1).any(1).all()

    def test_layers_on_parallel_branches(self, inputs):
        class Branches(nn.Module):
            def __init__(self):
                super().__init__()
                torch.manual_seed(0)
                self.left, self.right = nn.Conv2d(2, 3, 1), nn.Conv2d(2, 3, 1)

            def forward(self, x):
                return self.left(x).tanh().mean((2, 3)) + self.right(x).tanh().mean((2, 3))

        for frozen in (True, False):
            model = Branches().requires_grad_(not frozen)
            alone = run(model, inputs, [LayerCAM()], targets=[lambda out: out.sum(1)], target_layers=["left", "right"])
            both = run(
                model,
                inputs,
                [LayerCAM(), Gradient()],
                targets=[lambda out: out.sum(1)],
                target_layers=["left", "right"],
            )
            extras = [one.attributions[0]["layer_cam"].extras for one in (alone, both)]
            for layer in ("left", "right"):
                assert extras[0][layer].any()
                assert torch.equal(extras[0][layer], extras[1][layer])


def test_the_forward_context_is_open_around_every_forward(inputs):
    """Also around those that search for a layer, or for the tokens of one."""
    inside, seen = [], []

    class Tokens(Net):
        def __init__(self):
            super().__init__()
            self.mix = nn.Linear(6, 6)
            self.mix.weight.data.abs_()

        def forward(self, x):
            seen.append(bool(inside))
            return self.head(self.mix(self.conv(x).abs().flatten(2).transpose(1, 2)).mean(1))

    @contextlib.contextmanager
    def context():
        inside.append(1)
        yield
        inside.pop()

    for target_layers in ("auto", "mix"):
        seen.clear()
        methods = [GradCAM(), SmoothGrad(2), IntegratedGradients(n_steps=2)]
        run(Tokens(), inputs, methods, target_layers=target_layers, forward_context=context)
        assert seen
        assert all(seen)


def test_autocast_as_the_forward_context(inputs):
    def context():
        return torch.autocast("cpu", torch.bfloat16)

    found = run(Net(), inputs, [*SINGLE_PASS, SmoothGrad(2)], target_layers="auto", forward_context=context)
    exact = run(Net(), inputs, [*SINGLE_PASS, SmoothGrad(2)])
    for name, attribution in found.attributions[0].items():
        assert attribution.values.dtype == torch.float32
        expected = exact.attributions[0][name].values
        assert (torch.cosine_similarity(attribution.values.flatten(1), expected.flatten(1)) > 0.95).all()


def test_what_holds_tensors_is_compared_by_identity(inputs):
    found, other = (run(Net(), inputs, ["gradient"]) for _ in range(2))
    assert found == found  # noqa: PLR0124
    assert found != other
    assert found.attributions[0]["gradient"] != other.attributions[0]["gradient"]
    assert len({found, other}) == 2


class TestLogitsAlone:
    def test_they_are_those_of_one_forward_without_graph(self, inputs):
        model = Net()
        found = run_logits(model, inputs, Settings(methods=()))
        assert model.rows == [5]
        assert model.recorded == [False]
        assert not found.requires_grad
        assert torch.equal(found, model.eval()(inputs).detach())
        assert model.training is False

    def test_they_are_those_of_an_explanation(self, inputs):
        explained = run(Net(), inputs, ["gradient"])
        assert torch.equal(run_logits(Net(), inputs, Settings(methods=())), explained.logits)

    @pytest.mark.parametrize("size", [1, 2, 5, 9])
    def test_in_chunks(self, inputs, size):
        model = Net()
        found = run_logits(model, inputs, Settings(methods=(), internal_batch_size=size))
        assert max(model.rows) == min(size, 5)
        assert sum(model.rows) == 5
        torch.testing.assert_close(found, Net().eval()(inputs).detach())

    @pytest.mark.parametrize("form", ["tuple", "dict"])
    def test_other_tensors_go_along_row_by_row(self, inputs, form):
        class Shifted(Net):
            def forward(self, x, shift):
                return super().forward(x) + shift[:, None]

        shift = torch.arange(5.0)
        given = (inputs, shift) if form == "tuple" else {"x": inputs, "shift": shift}
        settings = Settings(methods=(), attribute_to=0 if form == "tuple" else "x", internal_batch_size=2)
        torch.testing.assert_close(
            run_logits(Shifted(), given, settings), Net().eval()(inputs).detach() + shift[:, None]
        )

    def test_model_and_random_numbers_are_left_as_they_were(self, inputs):
        model = nn.Sequential(nn.BatchNorm2d(2), nn.Dropout(0.5), Net()).train()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        state = torch.get_rng_state()
        one, other = (run_logits(model, inputs, Settings(methods=())) for _ in range(2))
        assert torch.equal(one, other), "dropout is off"
        assert all(module.training for module in model.modules())
        assert torch.equal(torch.get_rng_state(), state)
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name])

    def test_an_output_is_read_and_kept(self, inputs):
        kept = torch.zeros(5, 4)

        class Reuses(Net):
            def forward(self, x):
                return {"logits": kept.copy_(super().forward(x))}

        found = run_logits(Reuses(), inputs, Settings(methods=(), output_fn=lambda output: output["logits"]))
        expected = found.clone()
        kept.zero_()
        assert torch.equal(found, expected), "what the model writes into later is not what was found"

    def test_under_inference_mode(self, inputs):
        with torch.inference_mode():
            found = run_logits(Net(), inputs * 1, Settings(methods=()))
        assert not found.is_inference()

    def test_the_context_is_opened_around_every_forward(self, inputs):
        opened = []

        @contextlib.contextmanager
        def context():
            opened.append(1)
            yield

        run_logits(Net(), inputs, Settings(methods=(), internal_batch_size=2, forward_context=context))
        assert len(opened) == 3

    def test_what_cannot_be_used(self, inputs):
        with pytest.raises(InputError, match="floating point"):
            run_logits(Net(), inputs.long(), Settings(methods=()))
        with pytest.raises(OutputError):
            run_logits(nn.Identity(), inputs, Settings(methods=()))
