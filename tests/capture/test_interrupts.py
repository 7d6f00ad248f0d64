"""Ctrl-C while a model is put back."""

import signal
import threading

import pytest
import torch
from torch import nn

from saliency_callbacks.capture import contents
from saliency_callbacks.capture.interrupts import deferred_interrupts
from saliency_callbacks.capture.quiescence import quiescence
from saliency_callbacks.capture.randomize import randomizer
from saliency_callbacks.capture.weight_layers import find_weight_layers


def test_an_interrupt_waits_for_the_end():
    done = []

    def work():
        with deferred_interrupts():
            signal.raise_signal(signal.SIGINT)
            done.append("inside")
        done.append("after")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["inside"]


def test_without_one_nothing_happens_and_the_handler_is_back():
    handler = signal.getsignal(signal.SIGINT)
    with deferred_interrupts():
        assert signal.getsignal(signal.SIGINT) is not handler
    assert signal.getsignal(signal.SIGINT) is handler


def test_another_thread_is_left_alone():
    seen = []

    def work():
        with deferred_interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    handler = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [handler]


@pytest.mark.parametrize("index", range(6))
def test_weights_are_back_wherever_the_interrupt_lands(monkeypatch, index):
    """Six tensors are written back: two weights, two biases, and the statistics of a normalisation."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 3)).eval()
    with torch.no_grad():
        model[1].running_mean.uniform_()
        model[1].weight.uniform_()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    calls = []
    write_back = contents._write_back

    def interrupted(saved):
        if len(calls) == index:
            signal.raise_signal(signal.SIGINT)
        calls.append(saved)
        write_back(saved)

    layers = find_weight_layers(model, lambda: model(torch.zeros(1, 1, 8, 8)))
    monkeypatch.setattr(contents, "_write_back", interrupted)
    with pytest.raises(KeyboardInterrupt), randomizer(model) as weights:
        weights.draw(layers, 0)
    assert len(calls) >= 6
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_quiet_model_is_put_back_whole():
    class Interrupts(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def __setattr__(self, name, value):
            if name == "training" and value and "norm" in self._modules:
                signal.raise_signal(signal.SIGINT)
            super().__setattr__(name, value)

    model = Interrupts()
    with pytest.raises(KeyboardInterrupt), quiescence(model):
        pass
    assert model.training
    assert model.norm.training
