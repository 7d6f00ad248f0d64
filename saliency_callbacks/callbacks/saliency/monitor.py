"""The callback that shows where a model looks while it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from torch import nn
from typing_extensions import override

from saliency_callbacks.callbacks.base import ObservingCallback
from saliency_callbacks.callbacks.outputs import check_target, told
from saliency_callbacks.callbacks.runtime.appearance import Appearance
from saliency_callbacks.callbacks.runtime.arguments import OnError, checked_target, is_auto
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.observation import Moment, Observation
from saliency_callbacks.callbacks.runtime.preconditions import check_labels, check_methods
from saliency_callbacks.callbacks.runtime.settings import Compute, ModelReading, Storage, engine_settings, settings_of
from saliency_callbacks.callbacks.saliency.explain_probe import ProbeExplainer
from saliency_callbacks.callbacks.saliency.localizing import check_localization
from saliency_callbacks.callbacks.saliency.report import checked_report, write_report
from saliency_callbacks.callbacks.saliency.state import MonitorState
from saliency_callbacks.callbacks.saliency.streaming.capacity import monitor_footprint
from saliency_callbacks.callbacks.saliency.streaming.probe import StreamedProbe
from saliency_callbacks.callbacks.shared_pass.wish import Wish
from saliency_callbacks.callbacks.streaming.capacity import Footprints
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.localization.settings import Localization
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.types import AnyMethod, Sink

__all__ = ["SaliencyMonitor"]

_DEFAULT_METHODS = ("gradient", "grad_cam")


class SaliencyMonitor(ObservingCallback[MonitorState]):
    """Explain a fixed probe batch at every validation epoch, and log heatmaps and how they evolve.

    The probe is chosen once, from the Trainer's validation data. The first observation precedes the training; for
    models whose layers are initialized by the first batch (``LazyLinear``), it is that of the first validation.

    Logged, with ``{method}`` as in ``methods``:

    ===========================================  =========================================================
    ``saliency/{method}``                        picture: input and map of each probe sample
    ``saliency/{method}/filmstrip``              picture: one row per sample, one column per observation
    ``saliency/{method}/slices``                 animation of volumes: one frame per slice (or frame of a video)
    ``saliency/{method}/evolution``              animation, at the end of fit: one frame per observation
    ``saliency/methods``                         picture: the first 8 samples, a column for each of several methods
    ``saliency/{method}/classes``                picture: mean input and mean rank map of each class (*)
    ``saliency/{method}/mistakes``               picture: the most confident wrong predictions (*)
    ``saliency/classes``                         table: mean and quantiles of every score by class (*)
    ``saliency/{method}/drift_previous``         1 - Spearman with the previous maps; 0: same, 1: unrelated
    ``saliency/{method}/drift_initial``          the same with the first maps, those before training; in [0, 2]
    ``saliency/{method}/entropy``                0: a single pixel, 1: spread evenly
    ``saliency/{method}/gini``                   0: spread evenly, towards 1: concentrated
    ``saliency/{method}/region_mass``            share of the map in the probe's masks, in [0, 1]
    ``saliency/{method}/region_lift``            that share divided by the masks' share of the area; 1 is chance
    ``saliency/{method}/region_rank_accuracy``   share of the map's largest pixels, as many as the mask has, inside it
    ``saliency/{method}/region_pointing_game``   share of samples whose map peaks inside the mask
    ``saliency/{method}/region_auc``             probability that a pixel inside exceeds one outside; 0.5 is chance
    ``saliency/{method}/region_iou``             intersection over union of the mask that is found in the map (+)
    ``saliency/{method}/region_box_iou``         the same of the boxes around both; of images only (+)
    ``…/region_mass/class_{name}``               mean over the samples of one class; so all ``region_…``
    ``…/region_mass/group_{name}``               mean over the samples of one group; also ``…/region_lift/group_{name}``
    ``saliency/probe_accuracy``                  accuracy on the probe, in [0, 1]; by label where there can be several
    ``saliency/probe_confidence``                mean probability of the predicted class, in [0, 1]
    ===========================================  =========================================================

    (*) If the probe has more than ``Probe(shown=64)`` samples. The others are read, explained and scored a few at a
    time: scores are means over all samples, except drift, which covers only the shown samples, because only these keep
    maps.

    (+) With ``localization``.

    Region scores need a probe with masks, see :class:`~saliency_callbacks.probe.probe.Probe`. Those of a class are left
    out where the probe has more than 20 classes. In names, whatever is not in ``A-Za-z0-9_.-`` becomes ``_``; classes
    without a name, and those whose names would be the same, have their index.

    Scalars are means over the samples that have a score, and can be monitored by ``EarlyStopping`` and
    ``ModelCheckpoint``. Raw maps are kept as safetensors in the run's directory.

    Args:
        methods: Names (see :data:`saliency_callbacks.methods.BUILT_IN`) or method objects. By default ``gradient``, and
            ``grad_cam`` where the model has a layer with a spatial map.
        probe: What is explained: a :class:`~saliency_callbacks.probe.probe.Probe`, or the number of samples to take
            from the validation data.
        target: The explained score: ``"label"``, ``"initial_prediction"`` (both stay the same over time),
            ``"predicted"``, a class index, a target of :mod:`saliency_callbacks.targets` (a contrast of two classes, a
            detected object, a segmented region, a similarity), or a callable ``output -> [N]``. By default the label
            if the probe has labels (the mean over a sample's labels if there can be several), else the initial
            prediction; for embeddings, the similarity to the first ones.
        target_layers: Layers for class activation maps: ``"auto"``, a dotted name, a module, or a list of these.
        every_n_epochs: Epochs between two observations.
        reading: How the model is read: ``ModelReading(module, output_fn, attribute_to, shared, layout,
            outputs, reshape_transform)``.
        compute: What an observation may cost: ``Compute(internal_batch_size, precision, max_seconds_per_observation,
            shard_probe, seed)``.
        appearance: How maps are drawn: ``Appearance(style, color_scale, colormap, alpha, contour, normalization,
            class_names, bands, axis_names)``.
        storage: What is kept on disk: ``Storage(save_maps, keep_maps, directory)``.
        localization: How a mask and a box are found in each map, ``Localization(mask, foreground, background,
            longest_side)``, which are drawn, and scored where the probe has masks; by default, none are. Needs OpenCV:
            ``pip install 'saliency-callbacks[localization]'``.
        report: Whether to make one HTML file, ``report.html`` in the run's directory, of all that the run's callbacks
            kept on disk, when fit ends without an exception. Needs ``storage.save_maps``.
        sinks: Additional outputs besides the run's loggers: objects with ``write(snapshot, pictures)``.
        on_error: ``"warn"`` skips a failed observation, ``"raise"`` stops the training. An invalid configuration always
            raises, before the first training step.
        namespace: First part of every tag and name of the directory; must differ between the monitors of a Trainer.

    Raises:
        ConfigurationError: If an argument cannot be used.

    Example:
        >>> from saliency_callbacks import Appearance, SaliencyMonitor
        >>> monitor = SaliencyMonitor(["gradient", "grad_cam"], probe=8, appearance=Appearance(contour=0.1))
        >>> # trainer = L.Trainer(callbacks=[monitor])
    """

    state_type = MonitorState
    kinds: ClassVar[Mapping[str, type]] = {
        "reading": ModelReading,
        "compute": Compute,
        "appearance": Appearance,
        "storage": Storage,
        "localization": Localization,
    }

    def __init__(
        self,
        methods: str | AnyMethod | Sequence[str | AnyMethod] | None = None,
        probe: Probe | int = 16,
        target: int | str | Callable[..., Any] | None = None,
        *,
        target_layers: Any = "auto",
        every_n_epochs: int = 1,
        reading: ModelReading = ModelReading(),
        compute: Compute = Compute(),
        appearance: Appearance = Appearance(),
        storage: Storage = Storage(),
        localization: Localization | None = None,
        report: bool = False,
        sinks: Sequence[Sink] = (),
        on_error: OnError = "warn",
        namespace: str = "saliency",
    ) -> None:
        super().__init__(
            probe=probe,
            every_n_epochs=every_n_epochs,
            reading=reading,
            compute=compute,
            storage=storage,
            sinks=sinks,
            on_error=on_error,
            namespace=namespace,
        )
        for name in ("embedding", "tokenizer"):
            given = getattr(self.reading, name)
            if given is not None:
                shown = repr(given) if isinstance(given, str) else type(given).__name__
                raise ConfigurationError(
                    f"reading.{name}={shown} is for text inputs; expected None, because SaliencyMonitor explains "
                    "images, signals and volumes. Use TokenSaliencyMonitor"
                )
        self.target = checked_target(target)
        self.appearance = settings_of(Appearance, "appearance", appearance)
        is_given = localization is not None
        self.localization = settings_of(Localization, "localization", localization) if is_given else None
        self.report = checked_report(report, save_maps=self.storage.save_maps)
        self.settings = engine_settings(
            _DEFAULT_METHODS if methods is None else methods,
            self.reading,
            self.compute,
            on_error,
            target_layers=target_layers,
        )
        self._is_automatic = methods is None and is_auto(target_layers)
        self._explainer: ProbeExplainer | None = None

    @override
    def _on_closed(self, host: Host) -> None:
        if self.report and self._writer is not None:
            write_report(host, self._writer, f"{self.identity}/report", self.on_error)

    @override
    def _footprint(self, host: Host) -> Footprints:
        return partial(monitor_footprint, n_methods=len(self.settings.methods))

    @override
    def _check_model(self, model: nn.Module) -> None:
        check_methods(model, self.settings)

    @override
    def _accept_probe(self, probe: ProbeBatch, host: Host) -> None:
        check_labels(probe, self.target)
        check_target(self.target, told(probe, self.settings, self.appearance.class_names))
        how = self.localization
        if how is not None:
            check_localization(how, self.settings.read_alone(probe.inputs).explained)
        stream = None if self._others is None else StreamedProbe(self._others, self.appearance, self.namespace, how)
        self._explainer = ProbeExplainer(
            self.settings,
            self.target,
            probe,
            self.appearance,
            self.namespace,
            may_simplify=self._is_automatic,
            outputs=self._outputs,
            stream=stream,
            localization=how,
        )

    @override
    def _observe(self, model: nn.Module, moment: Moment, host: Host) -> Observation[MonitorState]:
        assert self._explainer is not None, "made when the probe was accepted"
        explain = partial(self._explained, moment=moment, host=host)
        return self._explainer.observe(model, moment, self.state, host, explain, self._peers(host))

    @override
    def _wish(self, model: nn.Module, host: Host) -> Wish | None:
        return None if self._explainer is None else self._explainer.wish(model, self.state, host)

    @override
    def _summarize(self, model: nn.Module, moment: Moment, host: Host) -> Observation[MonitorState] | None:
        assert self._explainer is not None, "made when the probe was accepted"
        return self._explainer.summarize(model, moment, self.state)
