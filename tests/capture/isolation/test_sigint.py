"""Ctrl-C while a model is put back."""

import signal
import sys
import threading

import pytest
import torch
from torch import nn

from saliency_callbacks.capture.isolation import tensor_copies as contents
from saliency_callbacks.capture.isolation.context import quiescence
from saliency_callbacks.capture.isolation.sigint import deferred_interrupts, restoring
from saliency_callbacks.capture.weights.layers import find_weight_layers
from saliency_callbacks.capture.weights.randomizer import randomizer


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


@restoring
def put_back(done, *, interrupted=False):
    try:
        yield
    finally:
        if interrupted:
            signal.raise_signal(signal.SIGINT)
        done.append("back")


def interrupted(work):
    """Run ``work``, which a Ctrl-C ends; return what it has noted."""
    done = []
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        work(done)
    assert signal.getsignal(signal.SIGINT) is handler
    return done


@pytest.mark.parametrize("also_at_the_end", [False, True])
def test_an_interrupt_ends_the_body_at_once(also_at_the_end):
    def work(done):
        with put_back(done, interrupted=also_at_the_end):
            signal.raise_signal(signal.SIGINT)
            done.append("body")

    assert interrupted(work) == ["back"]


def test_an_interrupt_waits_for_the_end_of_one_in_the_body_of_another():
    def work(done):
        with put_back(done):
            with put_back(done, interrupted=True):
                done.append("body")
            done.append("more")

    assert interrupted(work) == ["body", "back", "back"]


def test_an_interrupt_at_the_end_of_one_within_the_end_of_another_waits_for_both():
    @restoring
    def outer(done):
        try:
            yield
        finally:
            with put_back(done, interrupted=True):
                done.append("end")
            done.append("outer")

    def work(done):
        with outer(done):
            done.append("body")

    assert interrupted(work) == ["body", "end", "back", "outer"]


def test_an_error_at_the_start_leaves_no_handler():
    @restoring
    def fails():
        raise ArithmeticError
        yield

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(ArithmeticError), fails():
        pass
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("event", ["call", "line", "return"])
def test_an_interrupt_at_the_first_and_the_last_moment_of_the_end(event):
    """Also between the call of ``__exit__`` and its first line, where no code of ours has run."""

    def trace(frame, what, argument):
        if frame.f_code.co_name == "__exit__" and what == event:
            sys.settrace(None)
            signal.raise_signal(signal.SIGINT)
        return trace

    def work(done):
        tracing = sys.gettrace()
        try:
            with put_back(done):
                sys.settrace(trace)
        finally:
            sys.settrace(tracing)

    assert interrupted(work) == ["back"]


def test_a_handler_that_goes_on_is_heard_in_the_body_and_after_the_end():
    done = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: done.append("heard"))
    try:
        with put_back(done, interrupted=True) as entered:
            signal.raise_signal(signal.SIGINT)
            done.append("body")
    finally:
        signal.signal(signal.SIGINT, handler)
    assert entered is None
    assert done == ["heard", "body", "back", "heard"]


def test_on_another_thread_no_handler_is_set():
    seen, done = [], []

    def work():
        with put_back(done):
            seen.append(signal.getsignal(signal.SIGINT))

    handler = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert (seen, done) == ([handler], ["back"])


@pytest.mark.parametrize("index", range(6))
def test_weights_are_back_wherever_the_interrupt_lands(monkeypatch, index):
    """Six tensors are written back: two weights, two biases, and the statistics of a normalization."""
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
