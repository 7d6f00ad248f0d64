"""The names that other code may rely on, and what importing them costs."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import saliency_callbacks

STEPS = ("import torch", "import saliency_callbacks.functional", "from saliency_callbacks import explain")


@pytest.fixture(scope="module")
def imported():
    """Top-level packages that a fresh interpreter holds after each of ``STEPS``."""
    report = "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    code = "import sys; " + "; ".join(f"{step}; {report}" for step in STEPS)
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    return [set(line.split()) for line in done.stdout.splitlines()]


def test_all_is_sorted_and_importable():
    assert saliency_callbacks.__all__ == sorted(saliency_callbacks.__all__)
    assert {"Attribution", "Probe", "SaliencyMonitor", "Snapshot", "explain"} <= set(saliency_callbacks.__all__)
    assert dir(saliency_callbacks) == saliency_callbacks.__all__
    for name in saliency_callbacks.__all__:
        value = getattr(saliency_callbacks, name)
        assert value.__name__ == name
        assert value.__module__.startswith("saliency_callbacks.")
        assert inspect.getdoc(value)


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="module 'saliency_callbacks' has no attribute 'Saliency'"):
        _ = saliency_callbacks.Saliency


@pytest.mark.parametrize("name", ["functional", "methods", "probe", "report", "scores", "sinks", "targets"])
def test_public_namespaces(name):
    module = importlib.import_module(f"saliency_callbacks.{name}")
    assert module.__doc__
    assert all(hasattr(module, public) for public in module.__all__)
    assert len(module.__all__) == len(set(module.__all__))


def test_functional_needs_torch_alone(imported):
    after_torch, after_functional, _ = imported
    added = {name for name in after_functional - after_torch if name not in sys.stdlib_module_names}
    # NumPy comes with torch, where it is installed at all.
    assert added - {"numpy"} == {"saliency_callbacks"}


def test_explain_does_not_import_lightning(imported):
    assert not imported[-1] & {"lightning", "pytorch_lightning", "tensorboard", "wandb", "matplotlib", "torchvision"}


@pytest.mark.parametrize(
    "order",
    [
        ("import saliency_callbacks._explain", "from saliency_callbacks import explain"),
        ("from saliency_callbacks import explain", "import saliency_callbacks._explain"),
        ("import saliency_callbacks", "from saliency_callbacks._explain import explain"),
        ("import saliency_callbacks.callbacks.saliency.monitor", "from saliency_callbacks import explain"),
        ("from saliency_callbacks import explain", "import saliency_callbacks.cli"),
    ],
    ids=" then ".join,
)
def test_explain_is_the_function_whatever_is_imported_first(order):
    check = "import saliency_callbacks; assert callable(explain) and saliency_callbacks.explain is explain"
    code = "; ".join((*order, check))
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_module_hides_a_public_name():
    """Importing a submodule sets it as an attribute of the package, where it would replace what has its name."""
    modules = {module.name for module in pkgutil.iter_modules(saliency_callbacks.__path__)}
    assert not modules & set(saliency_callbacks.__all__)


def test_the_signature_of_explain():
    parameters = inspect.signature(saliency_callbacks.explain).parameters
    pinned = {
        "methods": ("gradient", "grad_cam"),
        "target": "predicted",
        "target_layers": "auto",
        "reshape_transform": None,
        "output_fn": None,
        "internal_batch_size": None,
        "seed": 0,
    }
    assert list(parameters)[:2] == ["model", "inputs"]
    for name, default in pinned.items():
        assert parameters[name].default == default
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
    assert {"targets", "attribute_to"} <= set(parameters)
