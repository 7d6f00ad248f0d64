import pytest
import torch
from torch import nn

from saliency_callbacks.callbacks.runtime.appearance import Appearance
from saliency_callbacks.callbacks.runtime.observation import Moment
from saliency_callbacks.callbacks.runtime.settings import Compute, ModelReading, engine_settings
from saliency_callbacks.callbacks.saliency.explain_probe import ProbeExplainer
from saliency_callbacks.callbacks.saliency.state import MonitorState
from saliency_callbacks.errors import LayerError, SaliencyWarning
from saliency_callbacks.probe import freeze
from saliency_callbacks.targets import SimilarityTarget
from tests.callbacks.plain_host import PlainHost


class _Failing(ProbeExplainer):
    """Fails at its first calls, in the given order."""

    errors: list[Exception]

    def _explained(self, *arguments):
        if self.errors:
            raise self.errors.pop(0)
        return super()._explained(*arguments)


def _explainer(*errors):
    torch.manual_seed(0)
    settings = engine_settings(("gradient", "grad_cam"), ModelReading(), Compute(), target_layers="0")
    probe = freeze(torch.rand(2, 1, 6, 6), torch.tensor([0, 1]))
    explainer = _Failing(settings, None, probe, Appearance(), "saliency", may_simplify=True)
    explainer.errors = list(errors)
    return explainer


def _methods(explainer):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(32, 2))
    found = explainer.observe(net, Moment(0, 0, "fit"), MonitorState(), PlainHost(net))
    return set(found.snapshot.attributions)


pytestmark = pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")


def test_without_a_layer_the_methods_that_need_one_are_left_out_for_good():
    explainer = _explainer(LayerError("no layer"))
    with pytest.warns(SaliencyWarning, match="only gradient is computed: no layer"):
        assert _methods(explainer) == {"gradient"}
    assert _methods(explainer) == {"gradient"}


def test_an_embedding_that_is_compared_with_itself_takes_no_method_away_for_good():
    explainer = _explainer(LayerError("no layer"))
    explainer.target = SimilarityTarget()
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(32, 2))
    with pytest.warns(SaliencyWarning, match="only gradient is computed: no layer"):
        first = explainer.observe(net, Moment(0, 0, "fit"), MonitorState(), PlainHost(net))
    assert set(first.snapshot.attributions) == {"gradient"}
    second = explainer.observe(net, Moment(1, 1, "fit"), first.next_state, PlainHost(net))
    assert set(second.snapshot.attributions) == {"gradient", "grad_cam"}


def test_a_second_failure_that_passes_takes_no_method_away():
    explainer = _explainer(LayerError("no layer"), RuntimeError("for a moment"))
    with pytest.raises(RuntimeError, match="for a moment"):
        _methods(explainer)
    assert _methods(explainer) == {"gradient", "grad_cam"}
