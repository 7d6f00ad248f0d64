"""What is drawn by a randomization test: what can be asked for."""

from dataclasses import dataclass
from typing import get_type_hints

import pytest
from omegaconf import OmegaConf

from saliency_callbacks.callbacks.randomization.settings import Cascade, Draws
from saliency_callbacks.errors import ConfigurationError


@pytest.mark.parametrize("kind", [Draws, Cascade])
@pytest.mark.parametrize("value", [1, 0, 2.5, None, True])
def test_a_floor_needs_two_draws(kind, value):
    with pytest.raises(ConfigurationError, match=r"n_draws=.*at least 2, because the floor compares two random copies"):
        kind(n_draws=value)
    assert kind(n_draws=2).n_draws == 2


@pytest.mark.parametrize("order", ["full", "top_down", "bottom_up", "independent"])
def test_a_cascade_is_layer_by_layer(order):
    assert Draws(order=order).order == order
    if order == "full":
        with pytest.raises(ConfigurationError, match="order='full'"):
            Cascade(order=order)
    else:
        assert Cascade(order=order).order == order


@pytest.mark.parametrize("kind", [Draws, Cascade])
def test_an_unknown_order(kind):
    with pytest.raises(ConfigurationError, match="order='topdown' is unknown; did you mean 'top_down'"):
        kind(order="topdown")


@pytest.mark.parametrize(("kind", "name"), [(Draws, "random_logit"), (Cascade, "at_fit_end")])
def test_a_switch_is_on_or_off(kind, name):
    with pytest.raises(ConfigurationError, match=f"{name}=1; expected True or False"):
        kind(**{name: 1})


def test_similarities_of_hydra_are_a_list():
    found = Draws(similarities=OmegaConf.create(["spearman", "ssim"])).similarities
    assert found == ["spearman", "ssim"]
    assert type(found) is list


@pytest.mark.parametrize("value", [0, -1, "10 s", True])
def test_a_limit_of_a_cascade_is_a_positive_number(value):
    with pytest.raises(ConfigurationError, match=r"cascade.max_seconds="):
        Cascade(max_seconds=value)
    assert Cascade().max_seconds is None
    assert Cascade(max_seconds=5).max_seconds == 5


def test_the_number_of_draws_may_be_left_to_the_verdict():
    assert Draws(n_draws="auto").n_draws == "auto"
    with pytest.raises(ConfigurationError, match=r"n_draws='Auto'; expected .*, or \"auto\""):
        Draws(n_draws="Auto")
    with pytest.raises(ConfigurationError, match=r"cascade.n_draws='auto'; expected .* two random copies$"):
        Cascade(n_draws="auto")


@pytest.mark.parametrize("value", [-1, "512 MiB", None, True, float("inf")])
def test_memory_is_a_number_of_mebibytes(value):
    with pytest.raises(ConfigurationError, match="max_mib="):
        Draws(max_mib=value)
    assert Draws(max_mib=64).max_mib == 64
    assert Draws(max_mib=0.5).max_mib == 0.5


@pytest.mark.parametrize("written", ["{n_draws: auto, max_mib: 64}", "{n_draws: 7, max_mib: 0.5}"])
def test_numbers_and_words_of_a_structured_configuration(written):
    """OmegaConf takes no literals in a union."""
    made = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Numbers), OmegaConf.create(written)))
    assert Draws(**vars(made)).n_draws == made.n_draws


@dataclass
class Numbers:
    """The fields of `Draws` that are more than one kind of thing, with their types."""

    n_draws: get_type_hints(Draws)["n_draws"] = 2
    max_mib: get_type_hints(Draws)["max_mib"] = 1.0
