"""The callback that shows where a model looks while it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from typing_extensions import override

from saliency_callbacks.callbacks import host
from saliency_callbacks.callbacks.arguments import (
    checked_appearance,
    checked_choice,
    checked_namespace,
    checked_normalization,
    checked_sinks,
    checked_target,
    is_auto,
)
from saliency_callbacks.callbacks.attempt import attempt
from saliency_callbacks.callbacks.monitor_state import MonitorState
from saliency_callbacks.callbacks.observer import Moment, Observer, Stage
from saliency_callbacks.callbacks.outlets import Outlets, open_outlets
from saliency_callbacks.callbacks.pictures import Appearance, ColorScale
from saliency_callbacks.callbacks.preconditions import (
    check_labels,
    check_layers,
    check_namespaces,
    check_validation_is_off,
    explained_module,
    state_for_probe,
)
from saliency_callbacks.callbacks.probing import freeze_probe
from saliency_callbacks.callbacks.schedule import check_interval, is_due
from saliency_callbacks.dotted_paths import resolve_callable
from saliency_callbacks.engine import Settings
from saliency_callbacks.errors import ConfigurationError, SaliencyWarning
from saliency_callbacks.methods.registry import resolve_methods
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.rendering.colormap import DEFAULT_ALPHA
from saliency_callbacks.rendering.legend import Style
from saliency_callbacks.types import Method, Sink, Snapshot

__all__ = ["SaliencyMonitor"]

_DEFAULT_METHODS = ("gradient", "grad_cam")


class SaliencyMonitor(host.Callback):
    """Explain a fixed probe batch at every validation epoch, and log heatmaps and how they evolve.

    The probe is chosen once, from the Trainer's validation data. The first observation precedes the training.

    Logged, with ``{method}`` as in ``methods``:

    ===========================================  =========================================================
    ``saliency/{method}``                        picture: input and map of each probe sample
    ``saliency/{method}/filmstrip``              picture: one row a sample, one column an observation
    ``saliency/{method}/drift_previous``         1 - Spearman with the previous maps; 0 same, 1 unrelated
    ``saliency/{method}/drift_initial``          the same with the maps before training; in [0, 2]
    ``saliency/{method}/entropy``                0 a single place, 1 spread evenly
    ``saliency/{method}/gini``                   0 spread evenly, towards 1 concentrated
    ``saliency/{method}/region_mass``            share of the map in the probe's masks, in [0, 1]
    ``saliency/{method}/region_lift``            that share over the masks' share of the area; 1 is chance
    ``saliency/probe_accuracy``                  accuracy on the probe, in [0, 1]
    ``saliency/probe_confidence``                mean probability of the predicted class, in [0, 1]
    ===========================================  =========================================================

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
        every_n_epochs: Epochs between two observations.
        style: ``overlay``, ``heatmap``, ``signed``, ``signed_color`` or ``greyscale``.
        color_scale: ``shared`` over the epochs for each sample (so that fading and growing can be seen) or ``per_map``.
        colormap: Name of a Matplotlib colour map; by default ``rainbow`` for overlays and ``inferno`` for heatmaps.
        alpha: Opacity of the hottest place of an overlay, in [0, 1].
        normalization: ``(mean, std)`` that the inputs were normalised with; by default found in the dataset's
            transforms.
        class_names: Names of the classes; by default the dataset's.
        save_maps: Whether to keep raw maps on disk.
        sinks: Further places to write to, beside the Trainer's loggers.
        on_error: ``"warn"`` skips a failed observation, ``"raise"`` stops the training. A wrong configuration always
            raises, before the first training step.
        namespace: First part of every tag and name of the directory; must differ between the monitors of a Trainer.
        seed: Seed of all noise.

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
        every_n_epochs: int = 1,
        style: Style = "overlay",
        color_scale: ColorScale = "shared",
        colormap: str | None = None,
        alpha: float = DEFAULT_ALPHA,
        normalization: Sequence[Sequence[float]] | None = None,
        class_names: Sequence[str] | None = None,
        save_maps: bool = True,
        sinks: Sequence[Sink] = (),
        on_error: Literal["warn", "raise"] = "warn",
        namespace: str = "saliency",
        seed: int = 0,
    ) -> None:
        self.probe = Probe.of(probe)
        self.target = checked_target(target)
        self.module = module
        self.every_n_epochs = check_interval(every_n_epochs)
        self.normalization = checked_normalization(normalization)
        self.class_names = class_names
        self.save_maps = save_maps
        self.sinks = checked_sinks(sinks)
        self.on_error = checked_choice("on_error", on_error, ("warn", "raise"))
        self.namespace = checked_namespace(namespace)
        self.appearance = checked_appearance(Appearance(style, color_scale, colormap, alpha))
        self.settings = Settings(
            methods=resolve_methods(_DEFAULT_METHODS if methods is None else methods),
            target_layers=target_layers,
            reshape_transform=resolve_callable("reshape_transform", reshape_transform),
            output_fn=resolve_callable("output_fn", output_fn),
            attribute_to=attribute_to,
            internal_batch_size=internal_batch_size,
            seed=seed,
        )
        self.state = MonitorState()
        self._is_automatic = methods is None and is_auto(target_layers)
        self._observer: Observer | None = None
        self._outlets: Outlets | None = None
        self._is_resumed = False
        self._observes_training = False

    @property
    def state_key(self) -> str:
        """Key of this monitor's state in a checkpoint; differs between the monitors of a Trainer."""
        return self._generate_state_key(namespace=self.namespace)

    def state_dict(self) -> dict[str, Any]:
        """Return probe, pinned target, earlier maps and scores, for a checkpoint."""
        return self.state.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.state = MonitorState.from_state_dict(state_dict)
        self._is_resumed = True

    @override
    def setup(self, trainer: host.Trainer, pl_module: host.LightningModule, stage: str) -> None:
        """Forget an earlier run, unless this one goes on from it."""
        if stage not in ("fit", "validate"):
            return
        check_namespaces(trainer, self)
        if stage == "fit" and trainer.global_step == 0:
            # A checkpoint's state is loaded after this.
            self.state, self._observer, self._is_resumed = MonitorState(), None, False
        if self._outlets is not None and self._outlets.trainer is not trainer:
            self._outlets = None

    @override
    def on_fit_start(self, trainer: host.Trainer, pl_module: host.LightningModule) -> None:
        """Find mistakes that need no data; from here on the model is complete."""
        check_layers(explained_module(pl_module, self.module), self.settings.target_layers)

    @override
    def on_train_start(self, trainer: host.Trainer, pl_module: host.LightningModule) -> None:
        """Freeze the probe and make the first observation, of the untrained model."""
        self._observes_training = not trainer.enable_validation
        if self._observes_training and self.probe.source == "val" and not self.probe.is_fixed:
            check_validation_is_off(trainer)
            return
        step = host.logging_step(trainer)
        stage: Stage = "initial" if trainer.global_step == 0 else "fit"
        if self._prepare(trainer, pl_module) is None:
            host.rank_zero_warn(
                "the validation dataloader does not exist before training, so the untrained model is not observed; "
                "with Trainer(num_sanity_val_steps=1) it does. Drift is logged from the second observation on",
                category=SaliencyWarning,
            )
        elif self.state.n_observations == 0:
            snapshot = self._observe(trainer, pl_module, stage, step, is_early=True)
            if snapshot is not None:
                host.log_directly(trainer, snapshot.scores, step)

    @override
    def on_validation_epoch_end(self, trainer: host.Trainer, pl_module: host.LightningModule) -> None:
        """Observe, if it is time."""
        if trainer.sanity_checking:
            return
        self._observe_if_due(
            trainer, pl_module, "fit" if host.is_fitting(trainer) else "validate", host.logging_step(trainer)
        )

    @override
    def on_train_epoch_end(self, trainer: host.Trainer, pl_module: host.LightningModule) -> None:
        """Observe, if it is time, where there is no validation."""
        if self._observes_training and (self.probe.source == "train" or self.probe.is_fixed):
            self._observe_if_due(trainer, pl_module, "fit", host.epoch_logging_step(trainer))

    def _observe_if_due(self, trainer: host.Trainer, module: host.LightningModule, stage: Stage, step: int) -> None:
        # On other epochs too: the Trainer keeps metrics for monitoring, but loggers would miss them.
        scores: Mapping[str, float] = self.state.scores if stage == "fit" else {}
        if stage == "validate" or is_due(trainer.current_epoch, self.state.last_observed, self.every_n_epochs):
            snapshot = self._observe(trainer, module, stage, step, is_early=stage == "validate")
            scores = scores if snapshot is None else snapshot.scores
        host.log_scalars(module, scores)

    def _prepare(self, trainer: host.Trainer, module: host.LightningModule) -> tuple[Observer, Outlets] | None:
        """Freeze the probe and open the sinks, once; return ``None`` where there is no data for a probe."""
        if self._observer is None:
            frozen = freeze_probe(trainer, module, self.probe, self.state.indices)
            if frozen is None:
                return None
            check_labels(frozen, self.target)
            self.state = state_for_probe(self.state, frozen)
            self._observer = Observer(
                settings=self.settings,
                target=self.target,
                probe=frozen,
                appearance=self.appearance,
                namespace=self.namespace,
                normalization=self.normalization,
                class_names=self.class_names,
            )
        if self._outlets is None:
            self._outlets = open_outlets(
                trainer,
                self.sinks,
                namespace=self.namespace,
                save_maps=self.save_maps,
                resumed=self._is_resumed,
                on_error=self.on_error,
            )
        return self._observer, self._outlets

    def _observe(
        self, trainer: host.Trainer, module: host.LightningModule, stage: Stage, step: int, *, is_early: bool
    ) -> Snapshot | None:
        """Observe and write; return what was seen, or ``None`` where that was not possible.

        Where ``is_early``, no training is lost by an error, so that a wrong configuration is one.
        """
        try:
            prepared = self._prepare(trainer, module)
            if prepared is None:
                host.rank_zero_warn(
                    f"nothing is observed: there is no {self.probe.source} dataloader here to take the probe from; fit "
                    "before, or use probe=Probe.from_tensors(inputs, labels)",
                    category=SaliencyWarning,
                )
                return None
            observer, outlets = prepared
            with host.without_logging(module):
                observation, self._observer = attempt(
                    observer,
                    explained_module(module, self.module),
                    Moment(trainer.current_epoch, step, stage),
                    self.state,
                    to_device=partial(host.move_to_device, module=module),
                    forward_context=partial(host.forward_context, trainer),
                    may_simplify=self._is_automatic,
                )
            outlets.write(observation.snapshot, observation.pictures)
        except Exception as error:
            if (is_early and isinstance(error, ConfigurationError)) or self.on_error == "raise":
                raise
            host.rank_zero_warn(
                f"the observation of epoch {trainer.current_epoch} is skipped ({type(error).__name__}: {error}); the "
                "training goes on. Use on_error='raise' to see where it comes from",
                category=SaliencyWarning,
            )
            return None
        if stage != "validate":
            # Last: whatever fails before, the next observation is compared with this one's predecessor. A validation
            # on its own is a look at the model, and no step of its training.
            self.state = observation.next_state
        return observation.snapshot
