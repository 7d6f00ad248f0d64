import pickle
from dataclasses import FrozenInstanceError, asdict, fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
from omegaconf import OmegaConf

from saliency_callbacks import (
    AlarmRule,
    Appearance,
    Cascade,
    Compute,
    Confirmation,
    Draws,
    ModelReading,
    SaliencyMonitor,
    Storage,
    TextAppearance,
)
from saliency_callbacks.callbacks.runtime.settings import engine_settings, settings_of
from saliency_callbacks.errors import ConfigurationError, InputError, MethodError

_GROUPS = [
    ModelReading(module="net", output_fn="operator.neg", attribute_to="pixels", embedding="auto"),
    Compute(8, "32", 1.5, True, 3),
    Storage(False, {"last": 2, "every": 10}, "runs"),
    Appearance("heatmap", "per_map", "viridis", 0.5, 0.1, ((0.5,), (0.25,)), ("cat", "dog")),
    TextAppearance("max", "per_map", None, 5, None, ("good", "bad")),
    AlarmRule("effect", 0.5, 3, 0.9, 100),
    Confirmation("grad_cam", "net.0", 4, "noise", False, 2),
    Draws(3, "top_down", "permute", "spearman", False),
    Cascade(False, "bottom_up", 2),
]
_names = [type(group).__name__ for group in _GROUPS]


@pytest.mark.parametrize("group", _GROUPS, ids=_names)
def test_settings_are_frozen_and_survive_pickling(group):
    for one in fields(group):
        with pytest.raises(FrozenInstanceError):
            setattr(group, one.name, None)
    assert pickle.loads(pickle.dumps(group)) == group
    assert replace(group) == group
    assert type(group)() != group


@pytest.mark.parametrize("group", _GROUPS, ids=_names)
def test_settings_are_given_as_themselves_or_as_a_mapping(group):
    kind, plain = type(group), asdict(group)
    assert settings_of(kind, "x", group) is group
    assert settings_of(kind, "x", plain) == group
    assert settings_of(kind, "x", None) == settings_of(kind, "x", {}) == kind()


@pytest.mark.parametrize("group", _GROUPS, ids=_names)
def test_settings_are_given_as_a_container_of_omegaconf(group):
    lists = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(group).items()}
    found = settings_of(type(group), "x", OmegaConf.create(lists))
    assert type(found) is type(group)
    for name, value in asdict(group).items():
        given = getattr(found, name)
        assert given == (list(value) if isinstance(given, list) else value)
        assert not type(given).__module__.startswith("omegaconf")


@pytest.mark.parametrize("group", _GROUPS, ids=_names)
@pytest.mark.parametrize("wrong", [3, "auto", [1], SimpleNamespace(seed=1), object])
def test_anything_else_is_an_error(group, wrong):
    kind = type(group)
    names = ", ".join(one.name for one in fields(kind))
    with pytest.raises(ConfigurationError) as caught:
        settings_of(kind, "argument", wrong)
    assert str(caught.value) == (
        f"argument={wrong!r} is of type {type(wrong).__name__}; expected argument={kind.__name__}(…) with any of "
        f"{names}"
    )


def test_a_group_is_no_other_group():
    with pytest.raises(ConfigurationError, match=r"is of type Storage; expected compute=Compute\(…\)"):
        settings_of(Compute, "compute", Storage())


@pytest.mark.parametrize("given", [{"sed": 1}, OmegaConf.create({"sed": 1})])
def test_an_unknown_field(given):
    expected = (
        r"compute has the unknown key 'sed'; did you mean 'seed'\? Expected any of internal_batch_size, precision, max_"
    )
    with pytest.raises(ConfigurationError, match=expected):
        settings_of(Compute, "compute", given)


def test_a_value_in_a_mapping_is_checked():
    with pytest.raises(ConfigurationError, match="precision='16' is unknown"):
        settings_of(Compute, "compute", {"precision": 16})


def test_a_callback_takes_mappings():
    monitor = SaliencyMonitor("gradient", appearance={"contour": 0.1}, compute={"seed": 3}, storage=None)
    assert monitor.appearance == Appearance(contour=0.1)
    assert (monitor.compute, monitor.storage) == (Compute(seed=3), Storage())
    with pytest.raises(ConfigurationError, match="appearance has the unknown key 'stile'; did you mean 'style'"):
        SaliencyMonitor("gradient", appearance={"stile": "heatmap"})


@pytest.mark.parametrize(
    "look",
    [{"style": "x"}, {"color_scale": "x"}, {"colormap": "x"}, {"alpha": -0.1}, {"alpha": 1.5}, {"contour": 1.0}],
    ids=["style", "color_scale", "colormap", "alpha", "opaque", "contour"],
)
def test_an_appearance_that_cannot_be_drawn(look):
    with pytest.raises(ConfigurationError):
        Appearance(**look)


def test_an_appearance():
    look = Appearance("heatmap", "per_map", "viridis", 0.5)
    assert (look.style, look.color_scale, look.colormap, look.alpha) == ("heatmap", "per_map", "viridis", 0.5)
    assert look.colors == {"colormap": "viridis"}
    assert Appearance().colors == {}


@pytest.mark.parametrize(
    ("style", "is_signed"),
    [("overlay", False), ("heatmap", False), ("greyscale", False), ("signed", True), ("signed_color", True)],
)
def test_only_signed_styles_show_the_sign(style, is_signed):
    assert Appearance(style).is_signed == is_signed


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (Appearance(), "shared"),
        (Appearance(color_scale="per_map"), "one scale per map"),
        (Appearance(contour=0.125), "shared · outline: top 12.5%"),
    ],
)
def test_what_is_said_beside_the_color_bar(look, expected):
    assert look.notes("shared") == expected


@pytest.mark.parametrize("given", [None, ((0.5,), (0.25,))])
def test_a_normalization_stays(given):
    assert Appearance(normalization=given).normalization == given


def test_a_normalization_may_be_arrays():
    look = Appearance(normalization=np.array([[0.5, 0.25], [1, 2]]))
    assert look.normalization == ((0.5, 0.25), (1.0, 2.0))


@pytest.mark.parametrize("given", [0.5, [0.5, 0.5], [[0.5]], [[0.5, 0.5], [1.0]], [[], []], "ab"])
def test_a_normalization_is_a_mean_and_a_deviation(given):
    with pytest.raises(ConfigurationError, match=r"expected \(mean, std\)"):
        Appearance(normalization=given)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "2", True])
def test_seconds_that_no_observation_takes(seconds):
    with pytest.raises(ConfigurationError, match="max_seconds_per_observation"):
        Compute(max_seconds_per_observation=seconds)


@pytest.mark.parametrize(("precision", "is_full"), [("trainer", False), ("32", True), (32, True)])
def test_a_precision(precision, is_full):
    assert Compute(precision=precision).is_full_precision == is_full


@pytest.mark.parametrize("precision", [16, "bf16", None, "32-true", "fastest", True])
def test_no_precision(precision):
    with pytest.raises(ConfigurationError, match=r"precision=.*'trainer'.*'32'.*'fast'"):
        Compute(precision=precision)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Compute, "shard_probe"), (Storage, "save_maps")],
)
@pytest.mark.parametrize("value", [0, 1, None, "yes"])
def test_a_switch_is_on_or_off(kind, name, value):
    with pytest.raises(ConfigurationError, match=f"{name}={value!r}; expected True or False"):
        kind(**{name: value})


@pytest.mark.parametrize("keep_maps", ["al", 0, -1, True, {}, {"last": 0}, {"first": 1}, None, 1.5])
def test_a_retention_that_says_nothing(keep_maps):
    with pytest.raises(ConfigurationError, match="keep_maps="):
        Storage(keep_maps=keep_maps)


def test_the_settings_of_the_engine():
    reading = ModelReading(None, "operator.neg", "pixels", "operator.pos")
    settings = engine_settings("gradient", reading, Compute(8, 32, seed=3), target_layers=OmegaConf.create(["a"]))
    assert [method.name for method in settings.methods] == ["gradient"]
    assert settings.target_layers == ["a"]
    assert (settings.output_fn(3), settings.reshape_transform(3)) == (-3, 3)
    assert (settings.attribute_to, settings.internal_batch_size, settings.seed) == ("pixels", 8, 3)
    assert settings.full_precision
    assert settings.tokens is None
    assert settings.back_off is not None


@pytest.mark.parametrize("precision", ["fast", "trainer", "32"])
def test_the_settings_of_the_engine_say_whether_it_is_to_be_fast(precision):
    settings = engine_settings("gradient", ModelReading(), Compute(precision=precision))
    assert settings.is_fast == (precision == "fast")
    assert settings.full_precision == (precision == "32")


def test_an_embedding_or_a_tokenizer_is_for_text_inputs():
    assert engine_settings("gradient", ModelReading(embedding="auto"), Compute()).tokens.embedding == "auto"
    assert engine_settings("gradient", ModelReading(), Compute(), tokenizer=["[PAD]", "a"]).tokens is not None


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"methods": "gradiant"}, MethodError, "did you mean 'gradient'"),
        ({"reading": ModelReading(output_fn="torch.nope")}, ConfigurationError, "output_fn='torch.nope' cannot be im"),
        ({"reading": ModelReading(reshape_transform=3)}, ConfigurationError, "reshape_transform=3"),
        ({"compute": Compute(internal_batch_size=0)}, InputError, "internal_batch_size=0"),
        ({"compute": Compute(seed=-1)}, InputError, "seed=-1"),
    ],
)
def test_settings_that_the_engine_cannot_use(changes, error, message):
    given = {"methods": "gradient", "reading": ModelReading(), "compute": Compute(), **changes}
    with pytest.raises(error, match=message):
        engine_settings(**given)


@pytest.mark.parametrize("directory", [3, True, "nosuch://bucket/maps", "~nobody-of-this-name/maps"])
def test_a_directory_is_on_this_machine_or_at_an_address(directory):
    with pytest.raises(ConfigurationError, match=r"expected (the path of )?a directory on this machine"):
        Storage(directory=directory)


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (Appearance, {"class_names": 3}, "class_names=3; expected a list"),
        (Appearance, {"alpha": "x"}, "alpha='x'"),
        (Appearance, {"alpha": 1.5}, "alpha is 1.5"),
        (Appearance, {"colormap": 3}, "colormap=3; expected the name"),
        (ModelReading, {"attribute_to": [1]}, r"attribute_to=\[1\]; expected the position or the key"),
        (ModelReading, {"attribute_to": True}, "attribute_to=True"),
    ],
)
def test_what_cannot_be_meant_is_an_error_at_once(kind, given, message):
    with pytest.raises(ConfigurationError, match=message):
        kind(**given)


def test_class_names_of_any_sequence_can_be_hashed():
    assert hash(Appearance(class_names=np.array(["a", "b"]))) == hash(Appearance(class_names=["a", "b"]))
