"""The callback that finds the shortcuts that nobody named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from torch import nn
from typing_extensions import override

from saliency_callbacks.callbacks.alarm_actions import act, checked_actions
from saliency_callbacks.callbacks.base import ObservingCallback
from saliency_callbacks.callbacks.discovery.alarm import describe_alarm
from saliency_callbacks.callbacks.discovery.evaluation import Evaluated, evaluate
from saliency_callbacks.callbacks.discovery.image_probe import ImageDiscoveryProbe
from saliency_callbacks.callbacks.discovery.pictures import draw_suspicion
from saliency_callbacks.callbacks.discovery.probe import DiscoveryProbe
from saliency_callbacks.callbacks.discovery.record import alarms, by_name, scores_of, tabulated
from saliency_callbacks.callbacks.discovery.state import DiscoveryState, Known
from saliency_callbacks.callbacks.discovery.stored_images import freeze_stored
from saliency_callbacks.callbacks.discovery.table import records_of
from saliency_callbacks.callbacks.discovery.text_pictures import draw_text_suspicion
from saliency_callbacks.callbacks.discovery.text_probe import TextDiscoveryProbe
from saliency_callbacks.callbacks.outputs import link_of
from saliency_callbacks.callbacks.runtime.appearance import Appearance, SampleNames, shown_bands
from saliency_callbacks.callbacks.runtime.arguments import OnError
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.observation import Moment, Observation
from saliency_callbacks.callbacks.runtime.settings import Compute, ModelReading, Storage, engine_settings, settings_of
from saliency_callbacks.callbacks.runtime.sink_writer import SinkWriter
from saliency_callbacks.config.checks import checked_flag, checked_real
from saliency_callbacks.config.dotted_paths import resolve_object
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.discovery.dismissals import Dismissal, load
from saliency_callbacks.discovery.kinds import checked_kinds
from saliency_callbacks.discovery.suspicion import Suspicion
from saliency_callbacks.discovery.texts.kinds import checked_text_kinds
from saliency_callbacks.errors import ShortcutWarning
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.rendering.lazy import LazyPictures
from saliency_callbacks.types import Picture, Sink, Snapshot

__all__ = ["ShortcutDiscovery"]

_SIGNIFICANCE = 0.01


class ShortcutDiscovery(ObservingCallback[DiscoveryState]):
    """Search the training data for cues that give a class away, which nobody has to name, while the model trains.

    A suspicion says two things. *Found*: the cue is in many images of one class and in hardly any of the others, as
    tested on other images than those that proposed it, and corrected for everything that was tried. *Used*: the cue,
    inserted into images of other classes, shifts the model towards the class, beyond what the same change does without
    it. The list is ranked: first what is used, by its effect; then the rest.

    It finds pixels that many images of a class share almost exactly, and positions and properties that differ by class,
    and tests which of these the model uses. It cannot tell a planted cue from the object itself; it misses cues that
    vary; it bounds chance findings, not natural differences; and an empty list does not rule out a shortcut. In texts
    it finds words and phrases, lengths and punctuation, and cannot tell a giveaway from a word that is the topic.

    Logged:

    =====================================  ============================================================
    ``shortcuts/n_found``                  number of suspicions
    ``shortcuts/n_used``                   how many of them the model uses
    ``shortcuts/largest_effect``           largest effect of one, in standard deviations of the logits;
                                           0 where there is none
    ``shortcuts/list``                     table: each cue, its share in the classes, and its effect
    ``shortcuts/{name}``                   picture: images with and without the cue, others before and
                                           after; ``{name}`` is that of the suspicion, ``copies-4-17``
    ``shortcuts/alarm``                    text, when the alarm fires: why
    ``shortcuts/watched/{name}/effect``,   effect of a confirmed suspicion, and its lower bound, with
    ``/lower_bound``                       ``watch``
    =====================================  ============================================================

    Args:
        probe: What is searched: a :class:`~saliency_callbacks.probe.probe.Probe`, or the number of images to take from
            the *training* data; 24 per class or more, better 96. They are read without torchvision's random transforms;
            a warning names any other randomness. Between evaluations they take one byte per value if they have 8 bits,
            else two; during an evaluation, four more.
        every_n_epochs: Epochs between two evaluations.
        kinds: What is searched for: ``copies`` of the same pixels, ``places`` that differ by class, ``properties`` of
            the whole image. In texts: ``tokens`` (words and phrases), those that are ``missing`` from a class, and
            ``properties`` (length, punctuation); all of them by default.
        threshold: A cue counts as used if the lower bound on its effect exceeds this, in standard deviations of the
            logits over the classes.
        on_suspicion: What to do, once per cue, when a cue is used in two evaluations in a row: any of ``warn``, ``log``
            (a text, and a message if the logger sends messages), ``stop`` (the training), and callables ``(discovery,
            message) -> None`` or their dotted paths. Evaluation k spends 1 / (k (k + 1)) of the significance level .01,
            so that over the whole training a false alarm has at most that probability.
        watch: Whether to measure the effect of each cue that has set off the alarm at every later evaluation, found
            again or not. For an alarm in another run, give ``suspicion.to_cue()`` to a ``CueAlarm``.
        max_seconds: Time limit of one search; what has not been tried by then is left out, and the list says so. No
            limit by default. ``compute.max_seconds_per_observation`` evaluates less often instead.
        reading: How the model is read: ``ModelReading(module, output_fn, attribute_to, shared, layout, outputs)``.
            Texts are searched with ``ModelReading(embedding="auto", tokenizer=…)``; without a tokenizer every id is a
            word.
        compute: What an evaluation may cost: ``Compute(internal_batch_size, precision, max_seconds_per_observation,
            shard_probe, seed)``. 64 images are run at once by default. The seed decides the split of the images, too.
        appearance: How pictures are drawn: ``Appearance(normalization, class_names, bands)``.
        storage: What is kept on disk: ``Storage(save_maps, keep_maps, directory)``. Suspicions dismissed there, in this
            run or a neighboring run on the same data, are left out and only counted.
        sinks: Additional outputs besides the run's loggers: objects with ``write(snapshot, pictures)``.
        on_error: ``"warn"`` skips a failed evaluation, ``"raise"`` stops the training. An invalid configuration always
            raises, before the first training step.
        namespace: First part of every tag and name of the directory.

    Raises:
        ConfigurationError: If an argument cannot be used; before the training also if the probe holds no images or
            texts with one class each, or fewer than 6 of two classes.

    Example:
        >>> from saliency_callbacks import Probe, ShortcutDiscovery
        >>> discovery = ShortcutDiscovery(Probe(size=960, source="train"), kinds=("copies", "places"), watch=True)
        >>> discovery.suspicions
        ()
        >>> # trainer = L.Trainer(callbacks=[discovery])
    """

    state_type = DiscoveryState
    save_pictures = True
    kinds: ClassVar[Mapping[str, type]] = {
        "reading": ModelReading,
        "compute": Compute,
        "appearance": Appearance,
        "storage": Storage,
    }

    def __init__(
        self,
        probe: Probe | int = 1000,
        *,
        every_n_epochs: int = 2,
        kinds: Sequence[str] | str = ("copies", "places", "properties"),
        threshold: float = 0.25,
        on_suspicion: Sequence[str | Callable[..., Any]] | str | Callable[..., Any] = ("log", "warn"),
        watch: bool = False,
        max_seconds: float | None = None,
        reading: ModelReading = ModelReading(),
        compute: Compute = Compute(),
        appearance: Appearance = Appearance(),
        storage: Storage = Storage(),
        sinks: Sequence[Sink] = (),
        on_error: OnError = "warn",
        namespace: str = "shortcuts",
    ) -> None:
        given = Probe.of(probe)
        super().__init__(
            probe=given if given is probe else Probe(size=given.size, source="train"),
            every_n_epochs=every_n_epochs,
            reading=reading,
            compute=compute,
            storage=storage,
            sinks=sinks,
            on_error=on_error,
            namespace=namespace,
        )
        self.threshold = checked_real("threshold", threshold, at_least=0)
        self.on_suspicion = checked_actions("on_suspicion", on_suspicion)
        self.watch = checked_flag("watch", watch)
        self.max_seconds = None if max_seconds is None else checked_real("max_seconds", max_seconds, above=0)
        self.appearance = settings_of(Appearance, "appearance", appearance)
        self.tokenizer = resolve_object("tokenizer", plain(self.reading.tokenizer))
        self.settings = replace(engine_settings("gradient", self.reading, self.compute), methods=())
        self.searched = checked_kinds(kinds) if self.settings.tokens is None else checked_text_kinds(kinds)
        self._searched_probe: DiscoveryProbe | None = None

    @property
    def suspicions(self) -> tuple[Suspicion, ...]:
        """What the last evaluation found, the most credible first, without what was dismissed."""
        return tuple(one.suspicion for one in self.state.current)

    @override
    def _check_model(self, model: nn.Module) -> None:
        """Nothing is to be found out without the data."""

    @override
    def _freeze(self, host: Host) -> ProbeBatch | None:
        reading = self.reading
        return freeze_stored(host, self.probe, self.state.indices, module=reading.module, shared=reading.shared)

    @override
    def _accept_probe(self, probe: ProbeBatch, host: Host) -> None:
        if self.settings.tokens is not None:
            names = self.appearance.class_names
            self._searched_probe = TextDiscoveryProbe.prepare(probe, self.settings, self.tokenizer, class_names=names)
            return
        self._searched_probe = ImageDiscoveryProbe.prepare(
            probe,
            self.settings,
            normalization=self.appearance.normalization,
            class_names=self.appearance.class_names,
        )

    @override
    def _prepared(self, host: Host) -> SinkWriter | None:
        writer = super()._prepared(host)
        if self._frozen is not None:
            # The images are kept once, as they are searched.
            self._frozen = self._searched.kept(self._frozen)
        return writer

    @override
    def _observe(self, model: nn.Module, moment: Moment, host: Host) -> Observation[DiscoveryState]:
        settings = replace(self.settings, forward_context=host.forward_context)
        before = self._outputs.settled(self.state, model, self._probe, settings, host, of_classes=type(self).__name__)
        evaluated = evaluate(
            model,
            self._searched,
            host,
            link_of(before, self._probe),
            kinds=self.searched,
            threshold=self.threshold,
            significance=_SIGNIFICANCE,
            max_seconds=self.max_seconds,
            watched=before.confirmed if self.watch else (),
            seed=self.compute.seed,
        )
        state = before.after(evaluated.suspicions, moment, _SIGNIFICANCE, self._dismissals(host))
        pictures = LazyPictures({self._tag(one.suspicion.name): self._picture(one) for one in _pictured(state.current)})
        return Observation(self._snapshot(model, moment, state, evaluated), state, pictures)

    @override
    def _on_observed(self, host: Host) -> None:
        for one in self.state.fired:
            message = describe_alarm(one.suspicion, self.threshold, host.epoch)
            act("on_suspicion", self.on_suspicion, message, host, self, ShortcutWarning)

    @property
    def _searched(self) -> DiscoveryProbe:
        assert self._searched_probe is not None, "made when the probe was accepted"
        return self._searched_probe

    def _tag(self, name: str) -> str:
        return f"{self.identity}/{name}"

    def _dismissals(self, host: Host) -> tuple[Dismissal, ...]:
        """Return what was dismissed in this probe, here and in the runs beside this one. All ranks must call it."""
        directory = self.storage.local_directory or host.run_directory()
        found: tuple[Dismissal, ...] = ()
        if host.ranks.is_main and directory is not None:
            found = load(directory / self.identity, self.state.fingerprint)
        return host.ranks.from_zero(found)

    def _snapshot(self, model: nn.Module, moment: Moment, state: DiscoveryState, evaluated: Evaluated) -> Snapshot:
        tag = self._tag("alarm")
        texts, alerts = alarms(state, self.threshold, moment.epoch) if "log" in self.on_suspicion else ("", "")
        return Snapshot(
            epoch=moment.epoch,
            step=moment.step,
            stage=moment.stage,
            attributions={},
            scores={self._tag(name): value for name, value in scores_of(state, evaluated).items()},
            metadata={
                "model": type(model).__name__,
                "kinds": list(self.searched),
                "threshold": self.threshold,
                "probe": state.fingerprint,
                **self._searched.facts(),
                "n_dismissed": state.n_dismissed,
                "suspicions": records_of(by_name(state)),
            },
            texts={tag: texts} if texts else {},
            tables={self._tag("list"): tabulated(state, evaluated)},
            alerts={tag: alerts} if alerts else {},
        )

    def _picture(self, one: Known) -> Callable[[], Picture]:
        names = SampleNames(self._probe, self.appearance.class_names)
        exhibit = one.suspicion.exhibit
        assert exhibit is not None, "of what the last evaluation found"
        if self.settings.tokens is not None:
            return partial(draw_text_suspicion, one.suspicion, names.of_class, self.tokenizer)
        bands = shown_bands(self.appearance, self._probe, exhibit.bearing)
        return partial(draw_suspicion, one.suspicion, names.of_class, bands=bands)


def _pictured(current: Sequence[Known]) -> list[Known]:
    return [one for one in current if one.suspicion.exhibit is not None]
