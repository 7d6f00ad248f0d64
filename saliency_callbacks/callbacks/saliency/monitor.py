"""The callback that shows where a model looks while it trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn
from typing_extensions import override

from saliency_callbacks.callbacks.base import ObservingCallback, OnError
from saliency_callbacks.callbacks.runtime import lightning as host
from saliency_callbacks.callbacks.runtime.arguments import (
    checked_appearance,
    checked_normalization,
    checked_target,
    is_auto,
)
from saliency_callbacks.callbacks.runtime.observation import Moment, Observation, Surroundings
from saliency_callbacks.callbacks.runtime.preconditions import check_labels, check_layers
from saliency_callbacks.callbacks.runtime.settings import Precision, checked_settings
from saliency_callbacks.callbacks.saliency.appearance import Appearance, ColorScale
from saliency_callbacks.callbacks.saliency.attempt import attempt
from saliency_callbacks.callbacks.saliency.explain_probe import Observer
from saliency_callbacks.callbacks.saliency.report import checked_report, write_report
from saliency_callbacks.callbacks.saliency.state import MonitorState
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.rendering.colormap import DEFAULT_ALPHA
from saliency_callbacks.rendering.legend import Style
from saliency_callbacks.sinks.disk.retention import KeepMaps
from saliency_callbacks.types import Method, Sink

__all__ = ["SaliencyMonitor"]

_DEFAULT_METHODS = ("gradient", "grad_cam")


class SaliencyMonitor(ObservingCallback[MonitorState]):
    """Explain a fixed probe batch at every validation epoch, and log heatmaps and how they evolve.

    The probe is chosen once, from the Trainer's validation data. The first observation precedes the training.

    Logged, with ``{method}`` as in ``methods``:

    ===========================================  =========================================================
    ``saliency/{method}``                        picture: input and map of each probe sample
    ``saliency/{method}/filmstrip``              picture: one row a sample, one column an observation
    ``saliency/{method}/evolution``              animation, at the end of fit: one frame an observation
    ``saliency/methods``                         picture: the first 8 samples, a column for each of several methods
    ``saliency/{method}/drift_previous``         1 - Spearman with the previous maps; 0 same, 1 unrelated
    ``saliency/{method}/drift_initial``          the same with the maps before training; in [0, 2]
    ``saliency/{method}/entropy``                0 a single place, 1 spread evenly
    ``saliency/{method}/gini``                   0 spread evenly, towards 1 concentrated
    ``saliency/{method}/region_mass``            share of the map in the probe's masks, in [0, 1]
    ``saliency/{method}/region_lift``            that share over the masks' share of the area; 1 is chance
    ``saliency/{method}/region_rank_accuracy``   share of the masks' size that the highest places of the map fill
    ``saliency/{method}/region_pointing_game``   share of samples whose highest place is inside the mask
    ``saliency/{method}/region_auc``             chance that a place inside is higher than one outside; 0.5 is chance
    ``…/region_mass/class_{name}``               mean over the samples of one class; so all ``region_…``
    ``…/region_mass/group_{name}``               mean over the samples of one group; also ``…/region_lift/group_{name}``
    ``saliency/probe_accuracy``                  accuracy on the probe, in [0, 1]
    ``saliency/probe_confidence``                mean probability of the predicted class, in [0, 1]
    ===========================================  =========================================================

    Region scores need a probe with masks, see :class:`~saliency_callbacks.probe.probe.Probe`. Those of a class are left
    out where the probe has more than 20 classes. In names, whatever is not in ``A-Za-z0-9_.-`` becomes ``_``; classes
    without a name, and those whose names would be the same, have their index.

    Scalars are means over the samples that have a score, and can be monitored by ``EarlyStopping`` and
    ``ModelCheckpoint``. Raw maps are kept as safetensors in the run's directory.

    Args:
        methods: Names (see :data:`saliency_callbacks.methods.BUILT_IN`) or method objects. By default ``gradient``, and
            ``grad_cam`` where the model has a layer with a spatial map.
        probe: What is explained; a number is the number of samples.
        target: The explained score: ``"label"``, ``"initial_prediction"`` (both stay the same over time),
            ``"predicted"``, a class index, or a callable ``output -> [N]``. By default the label where the probe has
            labels, else the initial prediction.
        target_layers: ``"auto"``, a dotted name, a module, or a list of these; for class activation maps.
        reshape_transform: ``layer output -> [N, K, *spatial]``, where the layout is not found by itself.
        output_fn: ``model output -> [N, classes]``, where the output is not read by itself.
        attribute_to: Position or key of the explained tensor, for tuple and dict inputs.
        module: Dotted name of the submodule that is explained; by default the LightningModule's own forward.
        internal_batch_size: Rows that are run at once; sets the peak memory.
        precision: ``"trainer"`` explains the model as the Trainer runs it, e.g. under its autocast. ``"32"`` runs it in
            float32 wherever that is in half precision: without autocast, and with float32 copies in place of such
            weights, which take 4 bytes each while an observation lasts. Float64 stays float64.
        every_n_epochs: Epochs between two observations.
        style: ``overlay``, ``heatmap``, ``signed``, ``signed_color`` or ``greyscale``.
        color_scale: ``shared`` over the epochs for each sample (so that fading and growing can be seen) or ``per_map``.
        colormap: Name of a Matplotlib colour map; by default ``rainbow`` for overlays and ``inferno`` for heatmaps.
        alpha: Opacity of the hottest place of an overlay, in [0, 1].
        contour: Share of the pixels, in (0, 1), that is outlined: those where the map is highest, with 0.1 the top
            tenth. Maps of more than 24 × 24 places are smoothed for it. By default there is no outline.
        normalization: ``(mean, std)`` that the inputs were normalised with; by default found in the dataset's
            transforms.
        class_names: Names of the classes; by default the dataset's.
        save_maps: Whether to keep raw maps on disk.
        keep_maps: Which observations keep their maps and pictures on disk: ``"all"``, the number of the last ones, or
            ``{"every": n}`` for each n-th; ``{"last": m, "every": n}`` for both. The first and the newest always do.
            Scores are kept of all.
        max_seconds_per_observation: Most seconds that the training waits for each scheduled observation, on average;
            above it every second one is left out, then every second of these, until that holds. ``None`` for no limit.
        report: Whether to make one HTML file, ``report.html`` in the run's directory, of all that the Trainer's
            callbacks kept on disk, when fit ends without an exception. Needs ``save_maps``.
        sinks: Further places to write to, beside the Trainer's loggers.
        on_error: ``"warn"`` skips a failed observation, ``"raise"`` stops the training. A wrong configuration always
            raises, before the first training step.
        namespace: First part of every tag and name of the directory; must differ between the monitors of a Trainer.
        seed: Seed of all noise.
        shard_probe: In a distributed training, let each process explain a part of the probe, and gather what they find;
            worth it for large probes. By default every process explains all of it.

    Raises:
        ConfigurationError: If an argument cannot be used.
    """

    def __init__(
        self,
        methods: str | Method | Sequence[str | Method] | None = None,
        probe: Probe | int = 16,
        target: int | str | Callable[..., Any] | None = None,
        *,
        target_layers: Any = "auto",
        reshape_transform: str | Callable[..., Any] | None = None,
        output_fn: str | Callable[..., Any] | None = None,
        attribute_to: int | str | None = None,
        module: str | None = None,
        internal_batch_size: int | None = None,
        precision: Precision = "trainer",
        every_n_epochs: int = 1,
        style: Style = "overlay",
        color_scale: ColorScale = "shared",
        colormap: str | None = None,
        alpha: float = DEFAULT_ALPHA,
        contour: float | None = None,
        normalization: Sequence[Sequence[float]] | None = None,
        class_names: Sequence[str] | None = None,
        save_maps: bool = True,
        keep_maps: KeepMaps = "all",
        max_seconds_per_observation: float | None = None,
        report: bool = False,
        sinks: Sequence[Sink] = (),
        on_error: OnError = "warn",
        namespace: str = "saliency",
        seed: int = 0,
        shard_probe: bool = False,
    ) -> None:
        super().__init__(
            probe=probe,
            module=module,
            every_n_epochs=every_n_epochs,
            save_maps=save_maps,
            keep_maps=keep_maps,
            max_seconds_per_observation=max_seconds_per_observation,
            sinks=sinks,
            on_error=on_error,
            namespace=namespace,
            shard_probe=shard_probe,
        )
        self.target = checked_target(target)
        self.normalization = checked_normalization(normalization)
        self.class_names: Sequence[str] | None = plain(class_names)
        self.appearance = checked_appearance(Appearance(style, color_scale, colormap, alpha, contour))
        self.report = checked_report(report, save_maps=save_maps)
        self.settings = checked_settings(
            _DEFAULT_METHODS if methods is None else methods,
            target_layers=target_layers,
            reshape_transform=reshape_transform,
            output_fn=output_fn,
            attribute_to=attribute_to,
            internal_batch_size=internal_batch_size,
            precision=precision,
            seed=seed,
        )
        self._is_automatic = methods is None and is_auto(target_layers)
        self._observer: Observer | None = None

    @override
    def teardown(self, trainer: host.Trainer, pl_module: host.LightningModule, stage: str) -> None:
        """Wait until everything is written, and make a report of it."""
        super().teardown(trainer, pl_module, stage)
        if self.report and stage == "fit" and self._has_trained and self._outlets is not None:
            write_report(trainer, self._outlets.run_directory, self.on_error)

    @override
    def _new_state(self) -> MonitorState:
        return MonitorState()

    @override
    def _check_model(self, model: nn.Module) -> None:
        check_layers(model, self.settings.target_layers)

    @override
    def _accept_probe(self, probe: ProbeBatch) -> None:
        check_labels(probe, self.target)
        self._observer = Observer(
            settings=self.settings,
            target=self.target,
            probe=probe,
            appearance=self.appearance,
            namespace=self.namespace,
            normalization=self.normalization,
            class_names=self.class_names,
        )

    @override
    def _observe(self, model: nn.Module, moment: Moment, surroundings: Surroundings) -> Observation[MonitorState]:
        assert self._observer is not None, "made when the probe was accepted"
        observation, self._observer = attempt(
            self._observer, model, moment, self.state, surroundings, may_simplify=self._is_automatic
        )
        return observation

    @override
    def _last_word(
        self, model: nn.Module, moment: Moment, surroundings: Surroundings
    ) -> Observation[MonitorState] | None:
        assert self._observer is not None, "made when the probe was accepted"
        return self._observer.last_word(model, moment, self.state)
