"""What is said of the methods, against their passes as they run, and against a new measurement."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.sanity import (
    N_REMOVED,
    N_TRAIN,
    OF_ATTENTION,
    faithfulness_of,
    lower,
    measure,
    measure_faithfulness,
    network_on_originals,
    originals,
    transformer_on_originals,
    worse,
)
from saliency_callbacks.capture.attention.observer import ATTENTION
from saliency_callbacks.demo import Digits, SmallCNN
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.methods import BUILT_IN, SmoothGrad
from saliency_callbacks.methods.catalog import (
    COSTS,
    FAITHFULNESS,
    SANITY,
    Faithfulness,
    Sanity,
    as_table,
    describe_methods,
)
from saliency_callbacks.types import Pass, Quantity

_STATUS = {"depends on the weights": "passes", "does not depend on the weights": "fails"}
_ONE_PASS = [fact.name for fact in describe_methods() if fact.passes <= 2 and fact.name not in OF_ATTENTION]


@pytest.mark.parametrize("fact", describe_methods(), ids=lambda fact: fact.name)
def test_the_passes_are_those_that_the_model_sees(fact):
    rows, net = [], transformer_on_originals() if fact.name in OF_ATTENTION else network_on_originals()
    first = next(module for module in net.modules() if isinstance(module, torch.nn.Conv2d))

    def count(module, args, output):
        # Not where it is made to return what it returned before.
        if "forward" not in vars(module):
            rows.append(len(args[0]))

    first.register_forward_hook(count)
    images = originals()[0][:2]
    settings = Settings(methods=(BUILT_IN[fact.name](),), target_layers="4")
    # At first it is looked at where maps lie.
    run_engine(net, images, settings, ["predicted"])
    rows.clear()
    run_engine(net, images, settings, ["predicted"])
    # Besides there are single forwards: for the predictions, and at both ends of every path.
    n_ends = getattr(BUILT_IN[fact.name](), "nt_samples", 0) if "baseline" in fact.needs else 0
    assert 0 <= sum(rows) / len(images) - fact.passes <= 2 + n_ends


def _asked(method):
    """Return what a method asks for, as its passes tell."""
    required = method.requires()
    passes = sum(
        (one.path.n_steps * len(one.path.baselines) if one.path else 1) * (one.noise.nt_samples if one.noise else 1)
        for one in required
    )
    has_map = any(Quantity.ACTIVATIONS in quantities for quantities in required.values())
    attends = any(bool(quantities & ATTENTION) for quantities in required.values())
    needs = {
        "layer with a spatial map": has_map,
        "ReLUs": any(one.relu_rule != "standard" for one in required),
        "baseline": any(one.path for one in required),
        "attention": attends,
    }
    return passes, set(required) == {Pass()}, tuple(name for name, is_needed in needs.items() if is_needed)


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_is_listed_is_what_the_passes_ask_for(name):
    listed = COSTS[name]
    assert (listed.passes, listed.shares_pass, listed.needs) == _asked(BUILT_IN[name]())


def test_needs():
    needs = {fact.name: fact.needs for fact in describe_methods()}
    assert needs["gradient"] == ()
    assert needs["layer_cam"] == ("layer with a spatial map",)
    assert needs["guided_grad_cam"] == ("layer with a spatial map", "ReLUs")
    assert needs["smooth_integrated_gradients"] == ("baseline",)


def test_every_method_was_measured():
    assert SANITY.keys() == FAITHFULNESS.keys() == COSTS.keys() == BUILT_IN.keys()


@pytest.fixture(scope="module")
def on_originals():
    """The network of the benchmark, bit by bit, and how its maps compare with those of random copies."""
    torch.manual_seed(0)
    network = network_on_originals()
    return network, measure(network, *originals(), epochs=15, layer="4", of_methods=_ONE_PASS)


def test_the_published_sanity_is_measured_again(on_originals):
    _, result = on_originals
    for name in _ONE_PASS:
        published = SANITY[name]
        assert _STATUS[result.verdicts[name]] == published.status, name
        assert result.floor(name).mean == pytest.approx(published.floor, abs=0.05), name
        assert result.similarity(name).mean == pytest.approx(published.similarity, abs=0.05), name


@pytest.mark.parametrize(
    ("name", "lower_here"),
    [
        ("gradient", ()),
        ("guided_backprop", ("insertion_gain",)),
        ("grad_cam_plus_plus", ("deletion_gain", "insertion_gain")),
        ("hires_cam", ("deletion_gain", "insertion_gain")),
    ],
)
def test_the_published_faithfulness_is_measured_again(on_originals, name, lower_here):
    """Two that pass parameter randomization and two that fail it. Published is the lower value of two networks."""
    network, _ = on_originals
    images, labels = (part[N_TRAIN : N_TRAIN + N_REMOVED] for part in originals())
    found = faithfulness_of(measure_faithfulness(network, images, labels, layer="4", of_methods=[name]))[name]
    for score in ("deletion_gain", "insertion_gain", "stability"):
        assert getattr(found, score) > getattr(FAITHFULNESS[name], score) - 0.05, score
    for score in lower_here:
        assert getattr(found, score) == pytest.approx(getattr(FAITHFULNESS[name], score), abs=0.05), score


def test_the_page_on_faithfulness_lists_what_was_measured():
    page = (Path(__file__).parents[2] / "docs/faithfulness.md").read_text(encoding="utf-8")
    for fact in describe_methods():
        found = fact.faithfulness
        told = f"{found.deletion_gain:.2f} | {found.insertion_gain:.2f} | {found.stability:.2f}"
        assert f"| `{fact.name}` | {fact.sanity.status} | {told} |" in page


def test_of_two_networks_the_one_is_published_on_which_a_method_fares_worse():
    assert worse(Sanity("fails", 0.1, 0.4), Sanity("passes", 0.3, 0.2)).status == "fails"
    assert worse(Sanity("passes", 0.1, 0.0), Sanity("passes", 0.2, 0.1)).similarity == 0.2
    assert lower(Faithfulness(0.1, 0.5, 0.9), Faithfulness(0.2, 0.4, 0.8)) == Faithfulness(0.1, 0.4, 0.8)


def test_the_published_sanity_of_attention_is_measured_again():
    torch.manual_seed(0)
    result = measure(transformer_on_originals(), *originals(), epochs=1, layer="auto", of_methods=OF_ATTENTION)
    for name in OF_ATTENTION:
        assert _STATUS[result.verdicts[name]] == SANITY[name].status, name


def test_squares_of_noisy_gradients_are_alike_for_random_networks():
    """Floors need no training."""
    torch.manual_seed(0)
    data = Digits(is_patched=False)
    noisy = [
        SmoothGrad(nt_samples=16, nt_type="smoothgrad_sq", name="smooth_grad_squared"),
        SmoothGrad(nt_samples=16, nt_type="vargrad", name="var_grad"),
    ]
    result = measure(SmallCNN(), data.images, data.labels, epochs=0, layer="features", of_methods=noisy)
    for name in ("smooth_grad_squared", "var_grad"):
        assert result.floor(name).mean == pytest.approx(SANITY[name].floor, abs=0.05)
        assert result.floor(name).mean > 0.25, "those of a plain gradient are 0"
        assert SANITY[name].status == "fails"


def test_a_table_and_json():
    facts = describe_methods()
    lines = as_table(facts).splitlines()
    assert [line.split()[0] for line in lines] == ["method", *BUILT_IN]
    assert len({len(line) for line in lines}) == 1
    assert json.loads(json.dumps([fact.to_dict() for fact in facts]))[0]["sanity"]["status"] == "passes"
