import copy
import inspect
import operator
import pickle
from dataclasses import dataclass

import pytest

from saliency_callbacks import (
    Compute,
    CueAlarm,
    RandomizationTest,
    SaliencyMonitor,
    ShortcutDiscovery,
    TokenSaliencyMonitor,
)
from saliency_callbacks.callbacks.runtime.arguments import (
    GroupedArguments,
    checked_namespace,
    checked_sinks,
    checked_target,
    is_auto,
)
from saliency_callbacks.errors import ConfigurationError, TargetError
from saliency_callbacks.sinks import MemorySink


@pytest.mark.parametrize("target", [None, 3, "label", "initial_prediction", "predicted", operator.itemgetter(0)])
def test_a_target_that_needs_no_import_stays(target):
    assert checked_target(target) is target


@pytest.mark.parametrize("path", ["operator.neg", "operator:neg"])
def test_a_dotted_target_is_imported(path):
    assert checked_target(path) is operator.neg


def test_an_unknown_target():
    with pytest.raises(TargetError, match="'lable' is unknown; did you mean 'label'"):
        checked_target("lable")


@pytest.mark.parametrize("namespace", ["", "a b", "a/b", "..", "a.b"])
def test_a_namespace_names_a_directory(namespace):
    with pytest.raises(ConfigurationError, match="namespace="):
        checked_namespace(namespace)


def test_a_namespace():
    assert checked_namespace("saliency-2_b") == "saliency-2_b"


def test_sinks():
    sink = MemorySink()
    assert checked_sinks([sink]) == (sink,)
    assert checked_sinks(sink) == (sink,)
    assert checked_sinks(()) == ()
    for wrong in ([MemorySink], ["disk"], 3):
        with pytest.raises(ConfigurationError, match="expected objects with write"):
            checked_sinks(wrong)


def test_auto_is_a_word():
    assert is_auto("auto")
    assert not is_auto("net.auto")
    assert not is_auto(["auto"])


_READING = ("reshape_transform", "output_fn", "attribute_to", "module")
_COMPUTE = ("internal_batch_size", "precision", "max_seconds_per_observation", "seed", "shard_probe")
_STORAGE = ("save_maps", "keep_maps")
_KEPT = ("probe", "every_n_epochs", "sinks", "on_error", "namespace")


def _field(name, argument, kind):
    return f"{argument}={kind}({name}=…)"


def _table(**groups):
    """Return each name with the place that a message gives for it."""
    return {name: _field(name, argument, kind) for argument, (kind, names) in groups.items() for name in names}


# Every argument of version 0.1: where it is now, or those that are still arguments.
_MOVED = {
    SaliencyMonitor: _table(
        reading=("ModelReading", _READING),
        compute=("Compute", _COMPUTE),
        appearance=(
            "Appearance",
            ("style", "color_scale", "colormap", "alpha", "contour", "normalization", "class_names"),
        ),
        storage=("Storage", _STORAGE),
    ),
    TokenSaliencyMonitor: _table(
        reading=("ModelReading", ("embedding", "output_fn", "attribute_to", "module")),
        compute=("Compute", _COMPUTE),
        appearance=("TextAppearance", ("merge", "color_scale", "bars", "top", "font", "class_names")),
        storage=("Storage", _STORAGE),
    )
    | {"baseline": "methods=[IntegratedGradients(baselines=…)]"},
    CueAlarm: _table(
        rule=("AlarmRule", ("statistic", "threshold", "patience", "confidence", "n_bootstrap")),
        confirmation=(
            "Confirmation",
            ("method", "target_layers", "panel_size", "removal", "groups_at_fit_end", "groups_every_n_epochs"),
        ),
        reading=("ModelReading", (*_READING, "embedding")),
        compute=("Compute", _COMPUTE),
        appearance=("Appearance", ("normalization", "class_names")),
        storage=("Storage", _STORAGE),
    ),
    RandomizationTest: _table(
        draws=("Draws", ("order", "n_draws", "randomize", "similarities", "random_logit")),
        reading=("ModelReading", (*_READING, "embedding")),
        compute=("Compute", _COMPUTE),
        storage=("Storage", _STORAGE),
    )
    | {
        "cascade_at_fit_end": "cascade=Cascade(at_fit_end=…)",
        "cascade_order": "cascade=Cascade(order=…)",
        "cascade_draws": "cascade=Cascade(n_draws=…)",
    },
}
_STILL_ARGUMENTS = {
    SaliencyMonitor: {*_KEPT, "methods", "target", "target_layers", "report"},
    TokenSaliencyMonitor: {*_KEPT, "methods", "tokenizer", "target", "words", "report"},
    CueAlarm: {*_KEPT, "cue", "suspect_class", "on_alarm"},
    RandomizationTest: {*_KEPT, "methods", "target", "target_layers", "tokenizer"},
}
_N_BEFORE = {SaliencyMonitor: 27, TokenSaliencyMonitor: 28, CueAlarm: 33, RandomizationTest: 29}


@pytest.mark.parametrize("kind", _MOVED)
def test_the_table_has_every_argument_of_before(kind):
    assert len(_MOVED[kind]) + len(_STILL_ARGUMENTS[kind]) == _N_BEFORE[kind]
    assert not _MOVED[kind].keys() & _STILL_ARGUMENTS[kind]


@pytest.mark.parametrize("kind", _MOVED)
def test_a_constructor_has_few_arguments(kind):
    parameters = inspect.signature(kind).parameters
    assert len(parameters) <= 14
    assert _STILL_ARGUMENTS[kind] <= parameters.keys()
    assert kind.kinds.keys() <= parameters.keys()


@pytest.mark.parametrize(
    ("kind", "name", "place"),
    [
        pytest.param(kind, name, place, id=f"{kind.__name__}-{name}")
        for kind, places in _MOVED.items()
        for name, place in places.items()
    ],
)
def test_an_argument_of_before_is_told_its_new_place(kind, name, place):
    with pytest.raises(ConfigurationError) as caught:
        kind(**{name: None})
    assert str(caught.value).startswith(f"{kind.__name__} has no argument {name!r}; expected ")
    assert f" {place}" in str(caught.value)


def test_a_cue_without_maps_is_told_both_meanings_of_its_embedding():
    with pytest.raises(ConfigurationError, match=r"or confirmation=Confirmation\(method=None\) for no maps$"):
        CueAlarm(cue=None, suspect_class=0, embedding=None)


def test_a_discovery_has_few_arguments():
    parameters = inspect.signature(ShortcutDiscovery).parameters
    assert len(parameters) <= 14
    assert {*_KEPT, "kinds", "threshold", "on_suspicion", "watch"} <= parameters.keys()
    assert ShortcutDiscovery.kinds.keys() <= parameters.keys()


def test_several_are_told_their_places_at_once():
    expected = r"no argument 'style'; .* appearance=Appearance\(style=…\), compute=Compute\(seed=…\)$"
    with pytest.raises(ConfigurationError, match=expected):
        SaliencyMonitor("gradient", 8, style="heatmap", seed=3)


def test_a_name_that_never_was_an_argument_is_the_error_of_python():
    with pytest.raises(TypeError, match="color"):
        SaliencyMonitor(color="red")


@dataclass(frozen=True)
class Size:
    width: int = 1
    height: int = 1


class Box(GroupedArguments):
    kinds = {"size": Size}  # noqa: RUF012
    renamed = {"tall": "size=Size(height=2)"}  # noqa: RUF012

    def __init__(self, name="", *, size=Size()):
        self.name, self.size = name, size


def test_a_class_with_groups_is_made_copied_and_pickled_as_any_other():
    box = Box("a", size=Size(3))
    for one in (box, copy.copy(box), copy.deepcopy(box), pickle.loads(pickle.dumps(box))):
        assert (one.name, one.size) == ("a", Size(3))
    for name, place in (("width", "size=Size(width=…)"), ("tall", "size=Size(height=2)")):
        with pytest.raises(ConfigurationError) as caught:
            Box(**{name: 3})
        assert str(caught.value).endswith(f" {place}")


def test_a_subclass_may_have_an_argument_of_that_name():
    class Seeded(SaliencyMonitor):
        def __init__(self, seed, **others):
            super().__init__(compute=Compute(seed=seed), **others)

    assert Seeded(seed=3, probe=4).settings.seed == 3

    class Further(Seeded):
        def __init__(self, extra=1, **others):
            super().__init__(**others)

    class Popping(SaliencyMonitor):
        def __init__(self, **others):
            self.order = others.pop("order", None)
            super().__init__(**others)

    assert Further(seed=3).settings.seed == 3
    assert Popping(order="mine").order == "mine"
    with pytest.raises(
        ConfigurationError, match=r"SaliencyMonitor has no argument 'contour'; expected .*appearance=Appearance"
    ):
        Seeded(seed=3, contour=0.1)
