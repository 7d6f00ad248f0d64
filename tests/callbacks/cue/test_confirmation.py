"""What is shown beside the test of a cue: what can be asked for."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from saliency_callbacks.callbacks.cue.confirmation import Confirmation
from saliency_callbacks.errors import ConfigurationError


@pytest.mark.parametrize("name", ["panel_size", "groups_every_n_epochs"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True])
def test_a_number_is_blamed_by_its_own_name(name, value):
    with pytest.raises(ConfigurationError, match=f"^{name}={value!r}; expected a whole number of at least 1"):
        Confirmation(**{name: value})


def test_there_may_be_no_measurements_during_the_training():
    assert Confirmation(groups_every_n_epochs=None).groups_every_n_epochs is None


@pytest.mark.parametrize("removal", [None, "local_mean", "noise"])
def test_a_removal(removal):
    assert Confirmation(removal=removal).removal == removal


def test_no_removal():
    with pytest.raises(ConfigurationError, match="removal='nois' is unknown; did you mean 'noise'"):
        Confirmation(removal="nois")


def test_a_switch_is_on_or_off():
    with pytest.raises(ConfigurationError, match="groups_at_fit_end=1; expected True or False"):
        Confirmation(groups_at_fit_end=1)


def test_containers_of_hydra_become_plain():
    given = Confirmation(
        method=OmegaConf.create({"class_path": "Gradient"}), target_layers=OmegaConf.create(["net.0", "net.1"])
    )
    assert (type(given.method), type(given.target_layers)) == (dict, list)
    assert given == Confirmation(method={"class_path": "Gradient"}, target_layers=["net.0", "net.1"])
