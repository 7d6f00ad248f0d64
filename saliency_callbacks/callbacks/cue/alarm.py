"""The callback that tells when the model starts to use a suspected shortcut."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from torch import nn
from typing_extensions import override

from saliency_callbacks.callbacks.alarm_actions import act, checked_actions
from saliency_callbacks.callbacks.base import ObservingCallback
from saliency_callbacks.callbacks.cue.actions import describe_alarm
from saliency_callbacks.callbacks.cue.capacity import cue_footprint
from saliency_callbacks.callbacks.cue.confirmation import Confirmation
from saliency_callbacks.callbacks.cue.evaluation import evaluate_cue, warn_of_broken_logits, with_fastest
from saliency_callbacks.callbacks.cue.group_accuracy import GroupAccuracy, fits_only, group_accuracy, validation_batches
from saliency_callbacks.callbacks.cue.preparation import cue_settings, prepare_cue_probe
from saliency_callbacks.callbacks.cue.probe import AnyCue, CueProbe, checked_cue
from saliency_callbacks.callbacks.cue.record import CueRecord
from saliency_callbacks.callbacks.cue.rule import AlarmRule
from saliency_callbacks.callbacks.cue.state import CueState, Evaluation
from saliency_callbacks.callbacks.cue.survey import no_further_samples
from saliency_callbacks.callbacks.fast_precision import Asked
from saliency_callbacks.callbacks.outputs import link_of
from saliency_callbacks.callbacks.runtime.appearance import Appearance, SampleNames
from saliency_callbacks.callbacks.runtime.arguments import OnError
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.observation import Moment, Observation
from saliency_callbacks.callbacks.runtime.preconditions import check_methods
from saliency_callbacks.callbacks.runtime.schedule import is_due
from saliency_callbacks.callbacks.runtime.settings import Compute, ModelReading, Storage, settings_of
from saliency_callbacks.callbacks.streaming.capacity import Footprints
from saliency_callbacks.callbacks.streaming.reading import read_others
from saliency_callbacks.config.checks import checked_integer
from saliency_callbacks.errors import CueAlarmWarning
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.rendering.lazy import LazyPictures
from saliency_callbacks.scores.counterfactual import Statistic
from saliency_callbacks.targets.link import Link
from saliency_callbacks.types import Sink, Table
from saliency_callbacks.types.tables import as_cell

__all__ = ["CueAlarm"]


class CueAlarm(ObservingCallback[CueState]):
    """Insert a suspected cue into a probe at every validation epoch, and sound an alarm when it gives a class away.

    The alarm rests on a causal test, not on a picture: the margin of the suspect class m_c = z_c - max_{j≠c} z_j, with
    the cue minus without it, over the standard deviation of the logits over the classes, averaged over the samples of
    other classes. It fires when the lower bootstrap bound on that mean exceeds the threshold in ``patience``
    evaluations in a row, and clears, ready to fire again, at the first evaluation that does not.

    Logged, with ``{cue}`` the cue's name:

    ==================================  ================================================================
    ``cue/{cue}/effect``                mean effect on the suspect class, in standard deviations; 0: none
    ``cue/{cue}/contrast``              effect minus the median effect on the other classes
    ``cue/{cue}/lower_bound``           lower bound on the mean of what is watched; compared with ``/threshold``
    ``cue/{cue}/flip_rate``             share of samples whose prediction becomes the suspect class
    ``cue/{cue}/alarm``                 1 while the alarm is on, else 0
    ``cue/{cue}/mass``, ``/lift``       share of the map in the cue's region if it is there; divided by chance
    ``cue/{cue}/removal_effect``        how much the cue's removal lowers the suspect class (``removal``)
    ``cue/{cue}/panel``                 picture: samples without and with the cue, and the maps of both
    ``cue/{cue}/alarm``                 text, when the alarm fires: why
    ``cue/{cue}/worst_group_accuracy``  without and with the cue; ``/average_accuracy``; a table as text
    ==================================  ================================================================

    It tests only the named cue and class, with an artificial cue; a silent alarm does not rule out a shortcut.

    Args:
        cue: The suspected cue; see :mod:`saliency_callbacks.probe`.
        suspect_class: The class that the cue might give away. Name it in advance: the largest effect over all classes
            is large even for a clean model.
        probe: What the cue is inserted into: a :class:`~saliency_callbacks.probe.probe.Probe`, or the number of samples
            to take from the validation data. Beyond ``Probe(shown=64)``, the others are read a few at a time.
        rule: When the alarm is on: ``AlarmRule(statistic, threshold, patience, confidence, n_bootstrap)``.
        on_alarm: Any of ``warn``, ``log`` (a text, and a message if the logger sends messages), ``stop`` (the
            training), and callables ``(alarm, message) -> None`` or their dotted paths.
        confirmation: What is measured and shown in addition to the test: ``Confirmation(method, target_layers,
            panel_size, removal, groups_at_fit_end, groups_every_n_epochs)``.
        every_n_epochs: Epochs between two evaluations.
        reading: How the model is read: ``ModelReading(module, output_fn, attribute_to, shared, layout,
            outputs, reshape_transform, embedding)``.
        compute: What an evaluation may cost: ``Compute(internal_batch_size, precision, max_seconds_per_observation,
            shard_probe, seed)``. The seed is that of the bootstrap, too.
        appearance: How maps are drawn: ``Appearance(style, colormap, alpha, contour, normalization, class_names,
            bands)``. Cues work on the images that the normalization leads back to. The maps of a sample without and
            with the cue always share their scale.
        storage: What is kept on disk: ``Storage(save_maps, keep_maps, directory)``.
        sinks: Additional outputs besides the run's loggers: objects with ``write(snapshot, pictures)``.
        on_error: ``"warn"`` skips a failed evaluation, ``"raise"`` stops the training, as an invalid configuration
            does.
        namespace: First part of every tag and name of the directory.

    Attributes:
        history: Every evaluation; the last 100 with the effects on their samples, or fewer of more than 1024 samples.
        groups: The last accuracy by group; ``None`` before the first.

    Raises:
        ConfigurationError: If an argument cannot be used; before the training also if the cue does not fit the probe,
            changes nothing on it, the class does not exist, or no sample is of another class.

    Example:
        >>> from saliency_callbacks import AlarmRule, CueAlarm
        >>> from saliency_callbacks.probe import PatchCue
        >>> alarm = CueAlarm(PatchCue((2, 2, 6, 6)), suspect_class=0, rule=AlarmRule(patience=3), on_alarm="stop")
        >>> # trainer = L.Trainer(callbacks=[alarm])
    """

    state_type = CueState
    save_pictures = True
    kinds: ClassVar[Mapping[str, type]] = {
        "rule": AlarmRule,
        "confirmation": Confirmation,
        "reading": ModelReading,
        "compute": Compute,
        "appearance": Appearance,
        "storage": Storage,
    }
    renamed: ClassVar[Mapping[str, str]] = {
        "embedding": "reading=ModelReading(embedding=…), or confirmation=Confirmation(method=None) for no maps"
    }

    def __init__(
        self,
        cue: AnyCue,
        suspect_class: int,
        probe: Probe | int = 32,
        *,
        rule: AlarmRule = AlarmRule(),
        on_alarm: Sequence[str | Callable[..., Any]] | str | Callable[..., Any] = ("warn", "log"),
        confirmation: Confirmation = Confirmation(),
        every_n_epochs: int = 1,
        reading: ModelReading = ModelReading(),
        compute: Compute = Compute(),
        appearance: Appearance = Appearance(),
        storage: Storage = Storage(),
        sinks: Sequence[Sink] = (),
        on_error: OnError = "warn",
        namespace: str = "cue",
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
        self.cue = checked_cue(cue)
        self.suspect_class = checked_integer("suspect_class", suspect_class, 0)
        self.rule = settings_of(AlarmRule, "rule", rule)
        self.references = {f"{self.identity}/threshold": self.rule.threshold}
        self.on_alarm = checked_actions("on_alarm", on_alarm)
        self.confirmation = settings_of(Confirmation, "confirmation", confirmation)
        self.appearance = settings_of(Appearance, "appearance", appearance)
        self.settings = cue_settings(self.cue, self.confirmation, self.reading, self.compute, on_error)
        self.groups: GroupAccuracy | None = None
        self._cue_probe: CueProbe | None = None
        self._groups_epoch: int | None = None

    @property
    def history(self) -> tuple[Evaluation, ...]:
        """Every evaluation so far, oldest first."""
        return self.state.history

    @property
    @override
    def identity(self) -> str:
        return f"{self.namespace}/{self.cue.name}"

    @property
    @override
    def _asked_fast(self) -> Asked:
        # What is explained is the pairs without and with the cue.
        return replace(super()._asked_fast, target=(self.cue, self.suspect_class))

    @override
    def _check_model(self, model: nn.Module) -> None:
        check_methods(model, self.settings)

    @override
    def _footprint(self, host: Host) -> Footprints | None:
        return None if fits_only(self.cue, self.probe) else partial(cue_footprint, self.probe, host)

    @override
    def _accept_probe(self, probe: ProbeBatch, host: Host) -> None:
        self.groups, self._groups_epoch = None, None
        others = self._others
        self._cue_probe = prepare_cue_probe(
            probe,
            self.cue,
            self.suspect_class,
            settings=self.settings,
            normalization=self.appearance.normalization,
            confirmation=self.confirmation,
            others=no_further_samples if others is None else lambda: read_others(others, host, self.settings),
        )

    @override
    def _observe(self, model: nn.Module, moment: Moment, host: Host) -> Observation[CueState]:
        settings = replace(self.settings, forward_context=host.forward_context)
        before = self._outputs.settled(
            self.state, model, self._probe, settings, host, target=self.suspect_class, of_classes="CueAlarm"
        )
        link = link_of(before, self._probe)
        before = with_fastest(
            before, model, self._prepared_cue, self.suspect_class, settings, host, peers=self._peers(host)
        )
        finding = evaluate_cue(
            model, self._prepared_cue, self.suspect_class, before.settled(settings), host, link, others=self._others
        )
        warn_of_broken_logits(finding.effect, self.cue.name, moment.epoch)
        bound = self.rule.lower_bound(finding.effect, self._watched, self.settings.seed)
        state = before.judged(moment, finding.effect, self._watched, bound, self.rule)
        evaluation = state.history[-1]
        scores = {**finding.scores(), "lower_bound": bound, "alarm": float(evaluation.alarm)}
        texts, alerts, tables = dict[str, str](), dict[str, str](), dict[str, Table]()
        if evaluation.fired and "log" in self.on_alarm:
            # Dashboards read texts as Markdown, which a name out of the data must not be taken for.
            texts["alarm"] = self._message(evaluation, as_cell)
            alerts[f"{self.identity}/alarm"] = self._message(evaluation)
        every = self.confirmation.groups_every_n_epochs
        if every is not None and moment.stage == "fit" and is_due(moment.epoch, self._groups_epoch, every):
            of_groups, tables = self._measure_groups(model, host, link)
            self._groups_epoch = moment.epoch
            scores.update(of_groups)
        facts = self._facts(model)
        if self._others is not None:
            facts |= {"samples": len(finding.effect.effect), "unreadable": len(self._others.unreadable)}
        snapshot = CueRecord(moment, self.identity, facts, scores, texts, tables).snapshot(self._probe)
        behind = {f"{self.identity}/{name}": values for name, values in finding.shown_scores().items()}
        title = f"{self.cue.name} as evidence for {self._names.of_class(self.suspect_class)} · {snapshot.moment}"
        panel = partial(finding.picture, title, self._names.of_sample, self.appearance)
        # Among the shown samples there may be none that can tell, though others can.
        pictures = LazyPictures({f"{self.identity}/panel": panel} if len(self._prepared_cue.shown) else {})
        return Observation(replace(snapshot, sample_scores=behind, alerts=alerts), state, pictures)

    @override
    def _summarize(self, model: nn.Module, moment: Moment, host: Host) -> Observation[CueState] | None:
        """Measure the accuracy of each group; without labels there is none."""
        if not self.confirmation.groups_at_fit_end:
            return None
        scores, tables = self._measure_groups(model, host, link_of(self.state, self._probe))
        record = CueRecord(moment, self.identity, self._facts(model), scores, tables=tables)
        return Observation(record.snapshot(self._probe), self.state) if scores else None

    @override
    def _on_observed(self, host: Host) -> None:
        if self.history and self.history[-1].fired:
            act("on_alarm", self.on_alarm, self._message(self.history[-1]), host, self, CueAlarmWarning)

    @property
    def _prepared_cue(self) -> CueProbe:
        assert self._cue_probe is not None, "made when the probe was accepted"
        return self._cue_probe

    @property
    def _watched(self) -> Statistic:
        return self.rule.watched(is_global=self._prepared_cue.is_global)

    def _measure_groups(self, model: nn.Module, host: Host, link: Link) -> tuple[dict[str, float], dict[str, Table]]:
        settings = replace(self.settings, forward_context=host.forward_context)
        batches = validation_batches(host, self.probe, self._probe, self.cue, self.reading.module)
        groups = group_accuracy(model, batches, self._prepared_cue.insert, settings, host, link)
        if groups is None:
            return {}, {}
        self.groups = groups
        return (
            {"worst_group_accuracy": groups.worst, "average_accuracy": groups.average},
            {"groups": groups.tabulated(self._names.exact)},
        )

    def _facts(self, model: nn.Module) -> dict[str, Any]:
        return {
            "model": type(model).__name__,
            "methods": self.settings.recorded_methods(),
            "n_passes": len({one for method in self.settings.methods for one in method.requires()}),
            "n_forwards": 2 + (self.confirmation.removal is not None),
            "cue": repr(self.cue),
            "suspect_class": self.suspect_class,
            "statistic": self._watched,
            "threshold": self.rule.threshold,
            "patience": self.rule.patience,
        }

    def _message(self, evaluation: Evaluation, written: Callable[[str], str] = str) -> str:
        suspect = written(self._names.exact(self.suspect_class))
        return describe_alarm(self.cue.name, suspect, evaluation, self.rule)

    @property
    def _names(self) -> SampleNames:
        return SampleNames(self._probe, self.appearance.class_names)
