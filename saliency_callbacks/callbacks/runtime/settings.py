"""Settings that belong together: small values, defined once and taken by every callback.

Each is written in Python as the value itself, in YAML as a mapping below the name of its argument, and in Hydra as
either::

    SaliencyMonitor(reading=ModelReading(module="net"))

    reading:
      module: net
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from saliency_callbacks.callbacks.runtime.arguments import OnError
from saliency_callbacks.capture.axes import checked_layout
from saliency_callbacks.capture.oom import BackOff
from saliency_callbacks.capture.text.settings import TokenSettings
from saliency_callbacks.config.checks import checked_choice, checked_flag, checked_real, checked_shared
from saliency_callbacks.config.dotted_paths import resolve_callable
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import ConfigurationError, nearest_names
from saliency_callbacks.methods.resolution import resolve_methods
from saliency_callbacks.scores.drawn import Scalars, checked_scalars
from saliency_callbacks.sinks.addresses import checked_address, is_remote
from saliency_callbacks.sinks.disk.retention import KeepMaps, checked_retention
from saliency_callbacks.targets.recognition import DECLARED, Declared
from saliency_callbacks.types import AnyMethod

__all__ = [
    "Compute",
    "ModelReading",
    "Precision",
    "Storage",
    "engine_settings",
    "set_field",
    "settings_of",
]

# The number is what an unquoted 32 is in YAML.
Precision = Literal["trainer", "32", 32, "fast"]
_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class ModelReading:
    """How a model is read: what of it is run, which input is explained, and which of its outputs are class scores.

    Args:
        module: Dotted name of the submodule that is explained, e.g. ``"net"``. By default the LightningModule's own
            ``forward``.
        output_fn: Function ``model output -> [N, classes]``, or its dotted path, where the class scores cannot be
            inferred.
        attribute_to: Position or key of the explained tensor, where the inputs are a tuple or a dictionary.
        reshape_transform: Function ``layer output -> [N, K, *spatial]``, or its dotted path, where the layout of a
            target layer's output cannot be inferred.
        embedding: For text inputs: dotted name of the layer that embeds the token ids, or the module itself; ``"auto"``
            to find it.
        tokenizer: For text inputs: a tokenizer of Hugging Face or of ``tokenizers``, a list of tokens, a dictionary
            between tokens and ids, a function ids → tokens, or the dotted path of one of these. A callback's own
            ``tokenizer`` takes precedence.
        outputs: What the outputs ``[N, K]`` are: ``"logits"`` of classes, ``"probabilities"`` of them,
            ``"embeddings"``, which are not classes, or ``"auto"`` to find out. Probabilities are recognized where a
            sigmoid or softmax of PyTorch makes them, or their rows sum to 1; embeddings where the numbers of outputs
            and classes do not match, or all outputs have length 1. For probabilities, everything is computed from the
            logits behind them.
        shared: Keys or positions of the inputs that all samples share, such as one prompt per class, nested ones joined
            by dots. By default inferred from the model if they have as many rows as there are samples.
        layout: Axes of the explained tensor, one letter each, such as ``"NTCHW"`` for videos with their frames before
            the channels. By default the channels come second; for five dimensions, the model's first convolution
            decides.

    Raises:
        ConfigurationError: If ``outputs`` is none of these, or ``attribute_to`` neither a position nor a key.

    Example:
        >>> ModelReading(module="net", attribute_to="pixels").module
        'net'
    """

    module: str | None = None
    output_fn: str | Callable[..., Any] | None = None
    attribute_to: int | str | None = None
    reshape_transform: str | Callable[..., Any] | None = None
    embedding: Any = None
    outputs: Declared = "auto"
    shared: Sequence[int | str] | None = None
    layout: str | None = None
    tokenizer: Any = None

    def __post_init__(self) -> None:
        checked_choice("outputs", self.outputs, DECLARED)
        key = self.attribute_to
        if key is not None and (isinstance(key, bool) or not isinstance(key, int | str)):
            raise ConfigurationError(
                f"attribute_to={key!r}; expected the position or the key of a tensor in the inputs"
            )
        set_field(self, "shared", checked_shared(plain(self.shared)))
        set_field(self, "layout", checked_layout(self.layout))


@dataclass(frozen=True)
class Compute:
    """What an observation may cost, and how it is computed.

    Args:
        internal_batch_size: Rows that are run at once; sets the peak memory. By default all samples of the probe.
        precision: ``"trainer"`` explains the model as the Trainer runs it, e.g. under its autocast. ``"32"`` runs it in
            float32 wherever that is in half precision: without autocast, and with float32 copies in place of such
            weights, which take 4 bytes each while an observation lasts. Float64 stays float64. ``"fast"`` measures at
            the first observation whether channels last, bfloat16 or float16 (on GPUs) is faster, and takes the fastest
            whose maps have rank correlations of at least .99 with the Trainer's; it is kept for the run.
        max_seconds_per_observation: Longest average time that training may wait for each scheduled observation, where
            callbacks that are explained together share the time equally; above it, every second observation is left
            out, repeatedly, until the limit holds. No limit by default.
        shard_probe: In a distributed training, let each process explain a part of the probe, and gather the results;
            worthwhile for large probes. By default every process explains all of it.
        seed: Seed of all noise, from 0 up.

    Raises:
        ConfigurationError: If the precision is unknown, or the limit is no positive number.

    Example:
        >>> Compute(internal_batch_size=8, precision="32").is_full_precision
        True
    """

    internal_batch_size: int | None = None
    precision: Precision = "trainer"
    max_seconds_per_observation: float | None = None
    shard_probe: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        checked_choice("precision", str(self.precision), ("trainer", "32", "fast"))
        checked_flag("shard_probe", self.shard_probe)
        limit = self.max_seconds_per_observation
        if limit is not None:
            set_field(self, "max_seconds_per_observation", checked_real("max_seconds_per_observation", limit, above=0))

    @property
    def is_full_precision(self) -> bool:
        """Whether what is in half precision is run in float32."""
        return str(self.precision) == "32"

    @property
    def is_fast(self) -> bool:
        """Whether the fastest precision is to be found whose maps are the same."""
        return self.precision == "fast"


@dataclass(frozen=True)
class Storage:
    """What is kept on disk, where, and what of it loggers draw.

    Args:
        save_maps: Whether to keep raw maps, scores and texts on disk. A report needs them.
        keep_maps: Which observations keep their maps and pictures: ``"all"``, the number of latest ones, or ``{"every":
            n}`` for every n-th; ``{"last": m, "every": n}`` for both. The first and the newest always keep theirs. The
            scores of all are kept.
        directory: Directory in which each callback creates its own, named by its ``namespace``. By default the run's,
            which is that of the first logger with a local directory. If it is an address that fsspec can write to, such
            as ``s3://bucket/runs``, the run's directory is used and, after every observation, copied to a directory of
            its own there.
        scalars: Which scores loggers draw: ``"few"``, those that you act on (drift, lift of a region, accuracy on the
            probe; similarity and floor; gains and stability; effect, contrast, lower bound, threshold and alarm; number
            of shortcuts), ``"all"``, or a list of shell patterns of tags such as ``["few", "saliency/grad_cam/*"]``.
            Whatever they draw, all scores are kept on disk and can be monitored by ``EarlyStopping`` and
            ``ModelCheckpoint``.

    Raises:
        ConfigurationError: If ``keep_maps`` says nothing, the directory is neither on this machine nor at an address
            that fsspec knows, or ``scalars`` is no list of patterns.

    Example:
        >>> Storage(keep_maps={"last": 2, "every": 10}).save_maps
        True
    """

    save_maps: bool = True
    keep_maps: KeepMaps = "all"
    directory: str | Path | None = None
    scalars: Scalars = "few"

    @property
    def local_directory(self) -> Path | None:
        """The directory, if one on this machine was given."""
        return None if self.directory is None or is_remote(self.directory) else Path(self.directory)

    @property
    def address(self) -> str | None:
        """The address, if one was given."""
        return str(self.directory) if is_remote(self.directory) else None

    def __post_init__(self) -> None:
        checked_flag("save_maps", self.save_maps)
        set_field(self, "scalars", checked_scalars(plain(self.scalars)))
        set_field(self, "directory", _checked_directory(self.directory))
        set_field(self, "keep_maps", plain(self.keep_maps))
        checked_retention(self.keep_maps)


def settings_of(kind: type[_Kind], argument: str, value: Any) -> _Kind:
    """Return settings that were given as themselves or, as configuration files do, as a mapping.

    Args:
        kind: Their class, a dataclass.
        argument: Name of the argument, for messages.
        value: The settings, a mapping from names of fields to values, or ``None`` for the defaults.

    Raises:
        ConfigurationError: If it is none of these, or has a field that does not exist.

    Example:
        >>> settings_of(Compute, "compute", {"seed": 1}).seed
        1
    """
    value = plain(value)
    if isinstance(value, kind):
        return value
    names = [one.name for one in fields(kind)]  # type: ignore[arg-type]
    if value is not None and not isinstance(value, Mapping):
        raise ConfigurationError(
            f"{argument}={value!r} is of type {type(value).__name__}; expected {argument}={kind.__name__}(…) with any "
            f"of {', '.join(names)}"
        )
    unknown = [name for name in value or {} if name not in names]
    if unknown:
        name = str(unknown[0])
        raise ConfigurationError(
            f"{argument} has the unknown key {name!r}; {nearest_names(name, names)} Expected any of {', '.join(names)}"
        )
    return kind(**(value or {}))


def set_field(settings: object, name: str, value: Any) -> None:
    """Set a field of frozen settings, in their ``__post_init__``, to its plain or checked form."""
    object.__setattr__(settings, name, value)


def engine_settings(
    methods: str | AnyMethod | Sequence[str | AnyMethod],
    reading: ModelReading,
    compute: Compute,
    on_error: OnError = "raise",
    *,
    target_layers: Any = "auto",
    tokenizer: Any = None,
) -> Settings:
    """Return the settings of the engine, with names of methods and dotted paths of functions resolved.

    With ``on_error="warn"`` a method of another library that fails is left out.

    Raises:
        ConfigurationError: If one of them cannot be used.
    """
    return Settings(
        methods=resolve_methods(methods),
        target_layers=plain(target_layers),
        reshape_transform=resolve_callable("reshape_transform", reading.reshape_transform),
        output_fn=resolve_callable("output_fn", reading.output_fn),
        attribute_to=reading.attribute_to,
        shared=None if reading.shared is None else tuple(reading.shared),
        layout=reading.layout,
        internal_batch_size=compute.internal_batch_size,
        seed=compute.seed,
        full_precision=compute.is_full_precision,
        is_fast=compute.is_fast,
        tokens=TokenSettings.where_given(
            reading.embedding, plain(reading.tokenizer) if tokenizer is None else tokenizer
        ),
        back_off=BackOff(),
        leaves_out_failing=on_error == "warn",
    )


def _checked_directory(directory: Any) -> str | None:
    """Return a path on this machine, with ``~`` written out, or an address."""
    if directory is None:
        return None
    expected = "expected the path of a directory on this machine, or an address such as 's3://bucket/runs' as a string"
    if isinstance(directory, str) and is_remote(directory):
        return checked_address("directory", directory)
    if not isinstance(directory, str | Path) or (isinstance(directory, Path) and ":" in str(directory)[2:]):
        # A Path of an address is no address any more: it has lost a slash.
        raise ConfigurationError(f"directory={directory!r}; {expected}")
    try:
        return str(Path(directory).expanduser())
    except RuntimeError as error:
        raise ConfigurationError(f"directory={str(directory)!r}; {expected}: {error}") from error
