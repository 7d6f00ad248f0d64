"""When it is settled what the outputs of a model are, and how many classes its data has."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from saliency_callbacks.callbacks.outputs import OutputReading, count_classes, link_of
from saliency_callbacks.callbacks.runtime.state import RunState
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import SaliencyWarning, TargetError
from saliency_callbacks.probe import Probe, freeze
from saliency_callbacks.targets.recognition import ClassCount
from tests.callbacks.plain_host import PlainHost

_IMAGES = torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(0))
_LABELS = torch.arange(8) % 2


def _net(width, *last):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, width), *last)


def _settled(net, reading=OutputReading(), state=RunState(), host=None, labels=_LABELS, **about):  # noqa: B008
    probe = freeze(_IMAGES, labels)
    return reading.settled(state, net, probe, Settings(methods=()), host or PlainHost(module=net), **about)


def test_what_was_settled_stays():
    net = _net(2, nn.Softmax(1))
    with pytest.warns(SaliencyWarning, match=r"Sequential returns probabilities \(softmax\)\. .*Logits give better"):
        state = _settled(net)
    assert state.outputs == "softmax"
    assert _settled(_net(2), state=state) is state, "another forward is not made"
    assert link_of(state, freeze(_IMAGES)).gives_probabilities


def test_what_another_callback_said_is_not_said_again():
    host = PlainHost(callbacks=[SimpleNamespace(state=RunState(outputs="softmax"))])
    assert _settled(_net(2, nn.Softmax(1)), host=host).outputs == "softmax"


def test_a_model_that_fails_is_left_to_what_comes_next():
    assert _settled(nn.Sequential(nn.Flatten(), nn.Linear(3, 2))).outputs is None


def test_an_output_that_a_target_reads_itself():
    assert _settled(nn.Conv2d(1, 3, 3)).outputs == "logits"


def test_several_labels():
    several = torch.eye(3)[torch.arange(8) % 3].bool()
    several[0] = True
    assert _settled(_net(3), labels=several).outputs == "label_logits"
    assert link_of(RunState(outputs="label_logits"), freeze(_IMAGES, several)).is_multi_label


def test_classes_of_embeddings():
    reading = OutputReading(count=ClassCount(2))
    for about in ({"of_classes": "CueAlarm"}, {"target": "predicted"}, {"target": "label"}):
        with pytest.raises(TargetError, match=r"is about classes, .* \(the model returns 9 values per sample"):
            _settled(_net(9), reading, **about)
        with pytest.raises(TargetError, match="is about classes"):
            _settled(_net(9), reading, state=RunState(outputs="embeddings"), **about)
    with pytest.warns(
        SaliencyWarning, match="9 values per sample, but there are 2 classes: the outputs are taken to be embed"
    ):
        assert _settled(_net(9), reading, target=3).outputs == "embeddings"
    assert _settled(_net(9), OutputReading("embeddings"), target=3).outputs == "embeddings", "and nothing is said"


@pytest.mark.parametrize(
    ("outputs", "n_observations", "is_said"),
    [(torch.rand(4, 1), 2, True), (torch.rand(4, 1), 1, False), (torch.zeros(4, 1), 2, False), (None, 2, False)],
)
def test_what_may_be_a_probability_after_all(caplog, outputs, n_observations, is_said):
    state, probe = RunState(outputs="logits", n_observations=n_observations), freeze(_IMAGES, _LABELS)
    with caplog.at_level("INFO"):
        OutputReading().doubt(state, link_of(state, probe), outputs, probe)
    assert ("declare them with reading=ModelReading(outputs='probabilities')" in caplog.text) == is_said


def test_how_many_classes_there_are():
    labels = torch.arange(20) % 4
    images = torch.rand(20, 1, 4, 4)
    host = PlainHost(val=[DataLoader(TensorDataset(images, labels), 4)])
    few = freeze(images[:2], labels[:2], indices=[0, 1])
    assert count_classes(host, Probe(2), few) == ClassCount(4, 20), "all labels of the dataset"
    named = freeze(images[:2], labels[:2], class_names=["a", "b", "c"])
    assert count_classes(host, Probe(2), named) == ClassCount(3)
    some = freeze(images[:8], labels[:8], class_names=["a", "b", "c"])
    assert count_classes(host, Probe(8), some) == ClassCount(4, 20), "one has no name"
    several = freeze(images[:2], torch.ones(2, 5))
    assert count_classes(host, Probe(2), several) == ClassCount(5)
    assert count_classes(host, Probe.from_tensors(images, labels), freeze(images, labels)) is None
    assert count_classes(host, Probe(2), freeze(images[:2])) is None


def test_labels_that_only_the_probe_has():
    class Items(torch.utils.data.Dataset):
        def __len__(self):
            return 20

        def __getitem__(self, index):
            return torch.rand(1, 4, 4), index % 4

    host = PlainHost(val=[DataLoader(Items(), 4)])
    images = torch.rand(8, 1, 4, 4)
    assert count_classes(host, Probe(8), freeze(images, torch.arange(8) % 4)) == ClassCount(4, 8)
    assert count_classes(host, Probe(8), freeze(images, torch.arange(8))) is None, "there may be more"
    assert count_classes(host, Probe(8, stratify=False), freeze(images, torch.arange(8) % 4)) is None


def test_what_is_declared_later_goes_before_what_was_found():
    """As the warning of embeddings advises: a run goes on from its checkpoint with another reading."""
    state = RunState(outputs="embeddings", n_observations=2)
    assert _settled(_net(4), OutputReading(declared="logits"), state).outputs == "logits"
    assert _settled(_net(4), OutputReading(), state).outputs == "embeddings"
