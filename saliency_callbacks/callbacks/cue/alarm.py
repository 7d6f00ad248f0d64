"""The callback that tells when the model starts to use a suspected shortcut."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from torch import nn
from typing_extensions import override

from saliency_callbacks.callbacks.base import ObservingCallback, OnError
from saliency_callbacks.callbacks.cue.actions import act, checked_actions, describe_alarm
from saliency_callbacks.callbacks.cue.evaluation import evaluate_cue, warn_of_broken_logits
from saliency_callbacks.callbacks.cue.group_accuracy import GroupAccuracy, group_accuracy, validation_batches
from saliency_callbacks.callbacks.cue.preparation import chosen_method, prepare_cue_probe, with_texts
from saliency_callbacks.callbacks.cue.probe import AnyCue, CueProbe, checked_cue
from saliency_callbacks.callbacks.cue.rule import AlarmRule
from saliency_callbacks.callbacks.cue.state import CueState, Evaluation
from saliency_callbacks.callbacks.runtime import lightning as host
from saliency_callbacks.callbacks.runtime.arguments import checked_choice, checked_normalization, checked_number
from saliency_callbacks.callbacks.runtime.observation import Moment, Observation, Surroundings
from saliency_callbacks.callbacks.runtime.preconditions import check_layers
from saliency_callbacks.callbacks.runtime.schedule import check_interval, is_due
from saliency_callbacks.callbacks.runtime.settings import Precision, checked_settings
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.config.markdown import as_cell
from saliency_callbacks.cues.inpainting import Fill
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.rendering.lazy import LazyPictures
from saliency_callbacks.rendering.text import legible
from saliency_callbacks.scores.counterfactual import Statistic
from saliency_callbacks.sinks.disk.retention import KeepMaps
from saliency_callbacks.types import Method, Sink, Snapshot

__all__ = ["CueAlarm"]


class CueAlarm(ObservingCallback[CueState]):
    """Put a suspected cue into a probe at every validation epoch, and sound an alarm when it gives a class away.

    The alarm rests on a causal test, not on a picture: the margin of the suspect class m_c = z_c - max_{j≠c} z_j, with
    the cue minus without it, over the standard deviation of the logits over the classes, averaged over the samples of
    other classes. It goes on when the lower bootstrap bound of that mean exceeds the threshold in ``patience``
    evaluations in a row, and off, ready to go on again, with the first that does not.

    Logged, with ``{cue}`` the cue's name:

    ==================================  ================================================================
    ``cue/{cue}/effect``                mean effect on the suspect class, in standard deviations; 0 none
    ``cue/{cue}/contrast``              effect minus the median effect on the other classes
    ``cue/{cue}/lower_bound``           lower bound on the mean of the statistic that is watched
    ``cue/{cue}/flip_rate``             share of samples whose prediction becomes the suspect class
    ``cue/{cue}/alarm``                 1 while the alarm is on, else 0
    ``cue/{cue}/mass``, ``/lift``       share of the map in the cue's region if it is there; over chance (1)
    ``cue/{cue}/removal_effect``        how much the cue's removal lowers the suspect class (``removal``)
    ``cue/{cue}/panel``                 picture: samples without and with the cue, and the maps of both
    ``cue/{cue}/alarm``                 text, when the alarm goes on: why
    ``cue/{cue}/worst_group_accuracy``  on the validation set without and with the cue: the class that
                                        fares worst; with ``/average_accuracy``, and a table as text
    ==================================  ================================================================

    It tests the cue and the class that are named, no others; an inserted cue is not quite a real one; and a silent
    alarm does not prove that there is no shortcut.

    Args:
        cue: The suspected cue; see :mod:`saliency_callbacks.probe`.
        suspect_class: The class that it might give away. Named beforehand: the largest effect over all classes is large
            on a clean model, too.
        probe: What the cue is put into; a number is the number of samples.
        statistic: ``effect``, ``contrast``, or ``auto``: the contrast for a cue that changes more than half of the
            image and so moves every class, else the effect.
        threshold: Lower bound above which an evaluation counts.
        patience: How many evaluations in a row must count.
        confidence: Confidence of the lower bound.
        n_bootstrap: Resamples of the bootstrap.
        on_alarm: Any of ``warn``, ``log`` (a text, and a message where the logger sends some), ``stop`` (the training),
            and callables ``(alarm, message) -> None`` or their dotted paths.
        method: The map of the panel, of mass and lift; ``auto`` is ``gradient``, for texts ``input_x_gradient``.
        panel_size: How many samples the panel shows.
        removal: Also paint the region of the probe's masks over, with the ``local_mean`` or with ``noise``, in samples
            that bear the cue.
        groups_at_fit_end: Whether to measure accuracy by class on the validation set when the training ends.
        groups_every_n_epochs: Epochs between two such measurements in the training; ``None`` for none.
        target_layers, reshape_transform, output_fn, attribute_to: As for :class:`SaliencyMonitor`.
        embedding: For texts: the layer that embeds the tokens, ``auto`` to find it; ``None`` for no maps.
        module, internal_batch_size, precision: As for :class:`SaliencyMonitor`.
        every_n_epochs: Epochs between two evaluations.
        normalization: As for :class:`SaliencyMonitor`; cues work on the images that it leads back to.
        class_names: As for :class:`SaliencyMonitor`.
        save_maps: Whether to keep scores, effects and texts on disk.
        keep_maps, max_seconds_per_observation: As for :class:`SaliencyMonitor`.
        sinks, on_error: As for :class:`SaliencyMonitor`.
        namespace: First part of every tag and name of the directory.
        seed: Seed of the bootstrap and of all noise.
        shard_probe: As for :class:`SaliencyMonitor`.

    Attributes:
        history: Every evaluation; the last 100 with the effects on their samples.
        groups: The last accuracy by group; ``None`` before the first.

    Raises:
        ConfigurationError: If an argument cannot be used; before the training also if the cue does not fit the probe,
            changes nothing on it, the class does not exist, or no sample is of another class.
    """

    save_pictures = True

    def __init__(
        self,
        cue: AnyCue,
        suspect_class: int,
        probe: Probe | int = 32,
        *,
        statistic: Literal["effect", "contrast", "auto"] = "auto",
        threshold: float = 0.25,
        patience: int = 2,
        confidence: float = 0.95,
        n_bootstrap: int = 1000,
        on_alarm: str | Callable[..., Any] | Sequence[str | Callable[..., Any]] = ("warn", "log"),
        method: str | Method = "auto",
        panel_size: int = 8,
        removal: Literal["local_mean", "noise"] | None = None,
        groups_at_fit_end: bool = True,
        groups_every_n_epochs: int | None = None,
        target_layers: Any = "auto",
        reshape_transform: str | Callable[..., Any] | None = None,
        output_fn: str | Callable[..., Any] | None = None,
        attribute_to: int | str | None = None,
        embedding: str | None = "auto",
        module: str | None = None,
        internal_batch_size: int | None = None,
        precision: Precision = "trainer",
        every_n_epochs: int = 1,
        normalization: Sequence[Sequence[float]] | None = None,
        class_names: Sequence[str] | None = None,
        save_maps: bool = True,
        keep_maps: KeepMaps = "all",
        max_seconds_per_observation: float | None = None,
        sinks: Sequence[Sink] = (),
        on_error: OnError = "warn",
        namespace: str = "cue",
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
        self.cue = checked_cue(cue)
        self.suspect_class = checked_number("suspect_class", suspect_class, 0)
        self.rule = AlarmRule(statistic, threshold, patience, confidence, n_bootstrap)
        self.on_alarm = checked_actions(on_alarm)
        self.panel_size = checked_number("panel_size", panel_size, 1)
        self.removal: Fill | None = (
            None if removal is None else checked_choice("removal", removal, ("local_mean", "noise"))
        )
        self.groups_at_fit_end = groups_at_fit_end
        self.groups_every_n_epochs = None if groups_every_n_epochs is None else check_interval(groups_every_n_epochs)
        self.normalization = checked_normalization(normalization)
        self.class_names: Sequence[str] | None = plain(class_names)
        settings = checked_settings(
            chosen_method(self.cue, method),
            target_layers=target_layers,
            reshape_transform=reshape_transform,
            output_fn=output_fn,
            attribute_to=attribute_to,
            internal_batch_size=internal_batch_size,
            precision=precision,
            seed=seed,
        )
        self.settings = with_texts(settings, self.cue, embedding)
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

    @override
    def _new_state(self) -> CueState:
        return CueState()

    @override
    def _check_model(self, model: nn.Module) -> None:
        check_layers(model, self.settings.target_layers)

    @override
    def _accept_probe(self, probe: ProbeBatch) -> None:
        self.groups, self._groups_epoch = None, None
        self._cue_probe = prepare_cue_probe(
            probe,
            self.cue,
            self.suspect_class,
            attribute_to=self.settings.attribute_to,
            normalization=self.normalization,
            removal=self.removal,
            n_shown=self.panel_size,
            seed=self.settings.seed,
        )

    @override
    def _observe(self, model: nn.Module, moment: Moment, surroundings: Surroundings) -> Observation[CueState]:
        assert self._cue_probe is not None, "made when the probe was accepted"
        settings = replace(self.settings, forward_context=surroundings.forward_context)
        to_device, ranks = surroundings.to_device, surroundings.ranks
        finding = evaluate_cue(model, self._cue_probe, self.suspect_class, settings, to_device, ranks)
        warn_of_broken_logits(finding.effect, self.cue.name, moment.epoch)
        bound = self.rule.lower_bound(finding.effect, self._watched, self.settings.seed)
        state = self.state.judged(moment, finding.effect, self._watched, bound, self.rule)
        evaluation = state.history[-1]
        scores = {**finding.scores(), "lower_bound": bound, "alarm": float(evaluation.alarm)}
        texts, alerts = {}, {}
        if evaluation.fired and "log" in self.on_alarm:
            # Dashboards read texts as Markdown, which a name out of the data must not be taken for.
            name = as_cell(self._class_name(self.suspect_class))
            texts["alarm"] = describe_alarm(self.cue.name, name, evaluation, self.rule)
            alerts[f"{self.identity}/alarm"] = self._message(evaluation)
        if self._groups_are_due(moment):
            of_groups, table = self._measure_groups(model, surroundings)
            self._groups_epoch = moment.epoch
            scores, texts = {**scores, **of_groups}, {**texts, **table}
        snapshot = self._snapshot(moment, model, scores, texts)
        behind = {f"{self.identity}/{name}": values for name, values in finding.sample_scores().items()}
        title = f"{self.cue.name} as a sign of {self._drawn_name(self.suspect_class)} · {snapshot.moment}"
        pictures = LazyPictures({f"{self.identity}/panel": partial(finding.picture, title, self._sample_name)})
        return Observation(replace(snapshot, sample_scores=behind, alerts=alerts), state, pictures)

    @override
    def _last_word(self, model: nn.Module, moment: Moment, surroundings: Surroundings) -> Observation[CueState] | None:
        """Measure the accuracy of each group; without labels there is none."""
        if not self.groups_at_fit_end:
            return None
        scores, table = self._measure_groups(model, surroundings)
        return Observation(self._snapshot(moment, model, scores, table), self.state) if scores else None

    @override
    def _on_observed(self, trainer: host.Trainer, snapshot: Snapshot) -> None:
        if self.history and self.history[-1].fired:
            act(self.on_alarm, self._message(self.history[-1]), trainer, self)

    @property
    def _watched(self) -> Statistic:
        assert self._cue_probe is not None, "made when the probe was accepted"
        return self.rule.watched(is_global=self._cue_probe.is_global)

    def _groups_are_due(self, moment: Moment) -> bool:
        every = self.groups_every_n_epochs
        return every is not None and moment.stage == "fit" and is_due(moment.epoch, self._groups_epoch, every)

    def _measure_groups(self, model: nn.Module, surroundings: Surroundings) -> tuple[dict[str, float], dict[str, str]]:
        assert self._cue_probe is not None, "made when the probe was accepted"
        settings = replace(self.settings, forward_context=surroundings.forward_context)
        around = surroundings
        batches = validation_batches(around.trainer, around.module, self.probe, self._probe, self.cue, around.ranks)
        groups = group_accuracy(model, batches, self._cue_probe.insert, settings, around.to_device, around.ranks)
        if groups is None:
            return {}, {}
        self.groups = groups
        return (
            {"worst_group_accuracy": groups.worst, "average_accuracy": groups.average},
            {"groups": groups.table(self._class_name)},
        )

    def _snapshot(
        self, moment: Moment, model: nn.Module, scores: Mapping[str, float], texts: Mapping[str, str]
    ) -> Snapshot:
        return Snapshot(
            epoch=moment.epoch,
            step=moment.step,
            stage=moment.stage,
            attributions={},
            labels=self._probe.labels,
            ids=self._probe.ids,
            scores={f"{self.identity}/{name}": value for name, value in scores.items()},
            metadata={
                "model": type(model).__name__,
                "methods": {method.name: repr(method) for method in self.settings.methods},
                "n_passes": len({one for method in self.settings.methods for one in method.requires()}),
                "n_forwards": 2 + (self.removal is not None),
                "cue": repr(self.cue),
                "suspect_class": self.suspect_class,
                "statistic": self._watched,
                "threshold": self.rule.threshold,
                "patience": self.rule.patience,
                "probe": self._probe.fingerprint,
            },
            texts={f"{self.identity}/{name}": text for name, text in texts.items()},
        )

    def _message(self, evaluation: Evaluation) -> str:
        suspect = self._class_name(self.suspect_class)
        return describe_alarm(self.cue.name, suspect, evaluation, self.rule)

    def _sample_name(self, position: int) -> str:
        labels = self._probe.labels
        return f"#{self._probe.ids[position]}" if labels is None else self._drawn_name(int(labels[position]))

    def _drawn_name(self, index: int) -> str:
        return legible(self._class_name(index), f"class {index}")

    def _class_name(self, index: int) -> str:
        return self._probe.class_name(index, self.class_names)
