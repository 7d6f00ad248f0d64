"""The names that a model gives to its classes."""

from types import SimpleNamespace

import pytest
from torch import nn

from saliency_callbacks.targets.class_names import model_class_names


class Model(nn.Module):
    def __init__(self, table, width=3, *, as_dict=False):
        super().__init__()
        self.config = {"id2label": table} if as_dict else SimpleNamespace(id2label=table)
        self.head = nn.Linear(4, width)


class Wrapped(nn.Module):
    def __init__(self, *models):
        super().__init__()
        self.config = SimpleNamespace(lr=0.1)
        self.models = nn.ModuleList(models)


NAMES = {0: "cat", 1: "dog", 2: "cow"}


@pytest.mark.parametrize("table", [NAMES, {"2": "cow", "0": "cat", "1": "dog"}])
@pytest.mark.parametrize("as_dict", [True, False])
def test_names_are_found_in_the_configuration(table, as_dict):
    model = Model(table, as_dict=as_dict)
    assert model_class_names(model) == ("cat", "dog", "cow")
    assert model_class_names(Wrapped(nn.Linear(2, 2), model)) == ("cat", "dog", "cow")


@pytest.mark.parametrize(
    "model",
    [
        nn.Linear(2, 3),
        Model({0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}),
        Model(NAMES, width=10),
        Model({0: "cat", 1: "dog", 5: "cow"}),
        Model({"a": "cat", "b": "dog", "c": "cow"}),
        Model({}),
        Wrapped(Model(NAMES), Model({0: "x", 1: "y", 2: "z"})),
    ],
)
def test_names_of_nothing_or_of_another_head_are_none(model):
    assert model_class_names(model) is None
