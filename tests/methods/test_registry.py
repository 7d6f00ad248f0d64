"""Methods by what a person writes."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from saliency_callbacks import methods
from saliency_callbacks.errors import MethodError
from saliency_callbacks.methods import (
    BUILT_IN,
    Gradient,
    IntegratedGradients,
    SmoothGrad,
    registry,
    resolution,
    resolve_methods,
)
from tests.contracts.presets import PRESETS


def test_the_public_names_are_complete():
    assert methods.__all__ == sorted(methods.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name))
    classes = {type(make()).__name__ for make in (*BUILT_IN.values(), *PRESETS.values())}
    assert classes == {name for name in methods.__all__ if isinstance(getattr(methods, name), type)}


def test_the_sixteen_methods():
    """Others come after them."""
    assert list(BUILT_IN)[:16] == [
        "gradient",
        "gradient_norm",
        "input_x_gradient",
        "integrated_gradients",
        "smooth_grad",
        "smooth_grad_squared",
        "var_grad",
        "smooth_integrated_gradients",
        "guided_backprop",
        "deconvnet",
        "guided_grad_cam",
        "grad_cam",
        "grad_cam_plus_plus",
        "hires_cam",
        "layer_cam",
        "xgrad_cam",
    ]


@pytest.mark.parametrize(
    "given",
    [
        "gradient",
        Gradient(),
        ["gradient"],
        (Gradient(),),
        {"class_path": "Gradient"},
        {"class_path": "saliency_callbacks.methods.Gradient", "init_args": None},
        [{"class_path": "saliency_callbacks.methods.Gradient", "init_args": {"reduction": "abs_max"}}],
    ],
)
def test_ways_to_write_a_method(given):
    assert resolve_methods(given) == (Gradient(),)


def test_a_method_of_another_package(monkeypatch):
    entry = EntryPoint("other", "builtins:dict", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(resolution, "entry_points", lambda group: EntryPoints([entry]))
    monkeypatch.setattr(EntryPoint, "load", lambda self: lambda: Gradient(name="other"))
    assert resolve_methods("other") == (Gradient(name="other"),)
    with pytest.raises(MethodError, match="did you mean 'other'"):
        resolve_methods("othr")


def test_as_many_points_as_it_takes_in_a_configuration():
    steps = {"class_path": "IntegratedGradients", "init_args": {"n_steps": "auto", "tolerance": 0.02, "max_steps": 65}}
    copies = {"class_path": "SmoothGrad", "init_args": {"nt_samples": "auto", "tolerance": 0.1, "max_samples": 64}}
    assert resolve_methods([steps, copies]) == (
        IntegratedGradients("auto", tolerance=0.02, max_steps=65),
        SmoothGrad("auto", tolerance=0.1, max_samples=64),
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("gradcam", r"method 'gradcam' is unknown; did you mean 'grad_cam'"),
        ("smoothgrad", r"did you mean 'smooth_grad'"),
        ("", r"method '' is unknown; known: "),
        ([], r"methods is empty; expected at least one of \['attention_rollout'"),
        (["gradient", Gradient("l2")], r"\['gradient'\] appear twice. Give each its own `name=`"),
        (3, r"method 3 is of type int; expected a name such as 'grad_cam'"),
        (Gradient, r"is of type type; expected a name"),
        (
            {"class_path": "saliency_callbacks.methods.Gradnt"},
            r"'saliency_callbacks.methods.Gradnt' cannot be imported",
        ),
        ({"class_path": "not_there.Gradient"}, r"cannot be imported \(No module named 'not_there'\)"),
        ({"class_path": "Gradient", "init_args": {"stdevs": 1}}, r"Gradient does not take init_args \{'stdevs': 1\}"),
        ({"class_path": "LeGrad", "init_args": {"layer": 4}}, r"expected some of \['layers', 'score', 'name'\]"),
        ({"class_path": "LeGradd"}, r"class_path 'LeGradd' is unknown; did you mean 'LeGrad'"),
        ({"class_path": "builtins.dict"}, r"'builtins.dict' creates a dict; expected a saliency method"),
        ({"init_args": {}}, r"is of type dict"),
    ],
)
def test_what_is_no_method(given, message):
    with pytest.raises(MethodError, match=message):
        resolve_methods(given)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gradient(reduction="mean"), r"gradient: reduction='mean' is unknown; .*Expected one of \['abs_max'"),
        (lambda: SmoothGrad(nt_samples=0), r"nt_samples=0; expected a whole number of at least 1"),
        (lambda: SmoothGrad(nt_samples=2.5), r"nt_samples=2.5; expected a whole number"),
        (lambda: SmoothGrad(nt_samples=True), r"nt_samples=True"),
        (lambda: SmoothGrad(stdevs=-0.1), r"stdevs=-0.1; expected a finite number of at least 0"),
        (lambda: SmoothGrad(stdevs=float("nan")), r"stdevs=nan"),
        (lambda: SmoothGrad(stdevs=float("inf")), r"stdevs=inf"),
        (lambda: SmoothGrad(stdevs="wide"), r"stdevs='wide'"),
        (lambda: SmoothGrad(nt_type="smooth"), r"nt_type='smooth' is unknown; did you mean 'smoothgrad'"),
        (lambda: IntegratedGradients(n_steps=0), r"n_steps=0; expected a whole number of at least 1"),
        (lambda: IntegratedGradients(n_steps=1.5), r"n_steps=1.5"),
        (lambda: IntegratedGradients(n_steps="many"), r"n_steps='many'; expected a whole number .* or 'auto'"),
        (lambda: IntegratedGradients("auto", "midpoint"), r"rule='midpoint' with n_steps='auto'"),
        (
            lambda: IntegratedGradients("auto", tolerance=0),
            r"integrated_gradients: tolerance=0; expected a finite number between 0 and 1",
        ),
        (lambda: IntegratedGradients("auto", tolerance=5), r"tolerance=5; expected a finite number between 0 and 1"),
        (lambda: IntegratedGradients("auto", tolerance="5 %"), r"tolerance='5 %'"),
        (lambda: IntegratedGradients("auto", max_steps=16), r"max_steps=16; expected a whole number of at least 17"),
        (lambda: IntegratedGradients(nt_samples="auto"), r"nt_samples='auto'; expected a whole number of at least 0"),
        (lambda: SmoothGrad(nt_samples="all"), r"nt_samples='all'; expected a whole number .* or 'auto'"),
        (lambda: SmoothGrad("auto", tolerance=-0.1), r"smooth_grad: tolerance=-0.1; expected .* between 0 and 1"),
        (lambda: SmoothGrad("auto", max_samples=8), r"max_samples=8; expected a whole number of at least 16"),
        (lambda: IntegratedGradients(n_steps=1, rule="trapezoid"), r"n_steps=1; expected .* at least 2"),
        (lambda: IntegratedGradients(rule="simpson"), r"rule='simpson' is unknown; .*'trapezoid'"),
        (lambda: IntegratedGradients(nt_samples=-1), r"nt_samples=-1"),
        (lambda: IntegratedGradients(baselines="zero"), r"baseline 'zero' is unknown; did you mean 'zeros'"),
        (lambda: IntegratedGradients(baselines=[]), r"baselines is empty"),
        (lambda: IntegratedGradients(baselines=[None]), r"baseline None is unknown.*a tensor"),
    ],
)
def test_hyperparameters_out_of_range(make, message):
    with pytest.raises(MethodError, match=message):
        make()
