"""One observation: explain the frozen probe, score the maps, and describe what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

from torch import Tensor, nn

from saliency_callbacks.callbacks.fast_precision import Peers, with_arithmetic
from saliency_callbacks.callbacks.outputs import OutputReading, known_target, link_of, pinned_target, told
from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.appearance import Appearance, SampleNames, wrong_predictions
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.observation import Moment, Observation, versions
from saliency_callbacks.callbacks.saliency.filmstrips import summary
from saliency_callbacks.callbacks.saliency.history import Frame, MethodHistory
from saliency_callbacks.callbacks.saliency.inputs import input_facts
from saliency_callbacks.callbacks.saliency.localizing import localization_facts, localized
from saliency_callbacks.callbacks.saliency.pictures import Pictures
from saliency_callbacks.callbacks.saliency.probe_pictures import ProbePictures
from saliency_callbacks.callbacks.saliency.scales import frame_of, scale_of
from saliency_callbacks.callbacks.saliency.scoring import DRIFTS, Scored, score, warn_of_degenerate_maps
from saliency_callbacks.callbacks.saliency.simplification import methods_left
from saliency_callbacks.callbacks.saliency.state import MonitorState
from saliency_callbacks.callbacks.saliency.streaming.explain import ChunkExplainer, Explained
from saliency_callbacks.callbacks.saliency.streaming.probe import StreamedProbe
from saliency_callbacks.callbacks.shared_pass.union import explain as explain_together
from saliency_callbacks.callbacks.shared_pass.wish import Explain, Wish
from saliency_callbacks.engine.explanation import Explanation
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import LayerError, ObservationError
from saliency_callbacks.localization.settings import Localization
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.targets.link import Link, Predictions
from saliency_callbacks.targets.named import Samples
from saliency_callbacks.targets.resolution import outlines_of, pins_after, target_name
from saliency_callbacks.types import Attribution, Picture, ProbeView, Snapshot

__all__ = ["ProbeExplainer"]


@dataclass(eq=False)
class ProbeExplainer:
    """Makes the observations of one run.

    Args:
        settings: How the model is explained; fewer methods, once some turned out not to fit the model.
        target: The callback's ``target``.
        probe: The frozen probe.
        appearance: How maps are drawn.
        namespace: First part of every tag.
        may_simplify: Whether methods that the model does not allow may be left out: those that need a target layer if
            there is none, those that need an input gradient if there is none. Only where nobody asked for them.
        outputs: How the model's outputs are read.
        stream: Of a larger probe, what is made of the samples that are not shown.
        localization: How masks are found in maps, where they are.
    """

    settings: Settings
    target: Any
    probe: ProbeBatch
    appearance: Appearance
    namespace: str
    may_simplify: bool = False
    outputs: OutputReading = field(default_factory=OutputReading)
    stream: StreamedProbe | None = None
    localization: Localization | None = None

    def observe(
        self,
        model: nn.Module,
        moment: Moment,
        state: MonitorState,
        host: Host,
        explain: Explain | None = None,
        peers: Peers | None = None,
    ) -> Observation[MonitorState]:
        """Explain ``model`` now. Nothing is written, and ``state`` is not changed.

        Args:
            model: The explained module.
            moment: When this is.
            state: State after the previous observation.
            host: What runs the training.
            explain: Explains what is wished; by default nothing but that.
            peers: Who chooses ``precision="fast"`` together; by default nobody else.

        Raises:
            SaliencyError: If it cannot be explained.
        """
        explain = explain or (lambda wish: explain_together([wish], host.ranks)[0].explanation)
        peers = peers or Peers(self.namespace)
        try:
            return self._explained(model, moment, state, host, explain, peers)
        except (LayerError, ObservationError) as error:
            left = methods_left(self.settings.methods, needing_layers=isinstance(error, ObservationError))
            if not self.may_simplify or not left:
                raise
            asked, self.settings = self.settings, replace(self.settings, methods=left)
            try:
                found = self._explained(model, moment, state, host, explain, peers)
            except BaseException:
                # A failure that passes takes no method away for good.
                self.settings = asked
                raise
            names = ", ".join(method.name for method in left)
            notices.warn(("fewer methods", names), f"only {names} is computed: {error}")
            if state.pins.keys() != found.next_state.pins.keys():
                # What an embedding that is compared with itself does not have, it may have once it has moved.
                self.settings = asked
            return found

    def summarize(self, model: nn.Module, moment: Moment, state: MonitorState) -> Observation[MonitorState] | None:
        """Return how the maps evolved, from what ``state`` keeps; ``None`` where that is less than two moments.

        Args:
            model: The explained module.
            moment: When this is.
            state: State after the last observation.
        """
        outlines = outlines_of(known_target(state, self.target, self.probe, self._told), self._told)
        stories = self._shown_probe.evolutions(state.histories, self._names.samples(), outlines)
        return summary(stories, state, model, moment, self.namespace, self.probe.fingerprint)

    def wish(self, model: nn.Module, state: MonitorState, host: Host) -> Wish | None:
        """Return what an observation after ``state`` explains; ``None`` where the model has to be run to know that."""
        if not state.is_settled_for(self.settings):
            return None
        settings = replace(state.settled(self.settings), forward_context=host.forward_context)
        target = known_target(state, self.target, self.probe, self._told)
        return None if target is None else Wish.of_probe(model, self.probe, settings, [target], host)

    def _explained(
        self, model: nn.Module, moment: Moment, state: MonitorState, host: Host, explain: Explain, peers: Peers
    ) -> Observation[MonitorState]:
        settings = replace(state.settled(self.settings), forward_context=host.forward_context)
        state = self.outputs.settled(state, model, self.probe, settings, host, target=self.target)
        link = link_of(state, self.probe)
        state, target = pinned_target(state, self.target, model, self.probe, settings, host, samples=self._told)
        inputs = host.to_device(self.probe.inputs)
        state = with_arithmetic(state, model, inputs, settings, target, host, peers=peers)
        settings = state.settled(settings)
        wish = Wish.of_probe(model, self.probe, settings, [target], host)
        explanation = host.ranks.whole(explain(wish), self.probe.size)
        attributions = {name: self._shown(found.cpu()) for name, found in explanation.attributions[0].items()}
        warn_of_degenerate_maps(attributions, self.probe)
        state = state.comparable_with(attributions)
        self.outputs.doubt(state, link, explanation.logits, self.probe)
        predictions = link.predictions(explanation.logits, self.probe.labels, self.probe.multi_labels)
        found_in = localized(attributions, self._inputs, self.probe, self.appearance, self.localization)
        names = self.appearance.class_names
        scored = score(
            attributions, state.histories, self.probe, predictions, self.namespace, names, localized=found_in
        )
        snapshot = self._snapshot(model, moment, attributions, predictions, scored, explanation, link=link)
        snapshot = replace(snapshot, localized=found_in, explained=outlines_of(target, self._told))
        wrong, spatial = wrong_predictions(snapshot), self._inputs.shape[2:]
        frames = {
            name: self._frame(attribution, snapshot.moment, wrong).with_found(found_in.get(name), spatial)
            for name, attribution in attributions.items()
        }
        next_state = self._next_state(snapshot, state, scored, explanation, frames)
        next_state = replace(next_state, pins=pins_after(target, state.pins, explanation.logits))
        # Whoever monitors a drift looks for it after the first validation, which may be the first observation.
        asked = [f"{self.namespace}/{method.name}" for method in self.settings.methods]
        next_state = next_state.promising(f"{method}/{one}" for method in asked for one in DRIFTS)
        found = Observation(snapshot, next_state, self._pictures(snapshot, state, next_state, frames))
        if self.stream is None:
            return found
        showing, settings = partial(self._showing, model, host=host), next_state.settled(settings)
        explainer = ChunkExplainer(
            model, host, settings, self.target, link, state.others, showing, self.appearance.class_names
        )
        return self.stream.completed(
            found, Explained(self.probe, attributions, predictions, found_in), explainer, target
        )

    def _shown(self, attribution: Attribution) -> Attribution:
        """Return what is scored, drawn and kept of an attribution."""
        return attribution

    def _showing(self, model: nn.Module, chunk: ProbeBatch, host: Host) -> Callable[[Attribution], Attribution]:
        """Return what does so with other samples."""
        return self._shown

    def _scale(self, attribution: Attribution) -> Tensor:
        """Return what gets the full color in each map, ``[N]``."""
        return scale_of(attribution, self.appearance)

    def _frame(self, attribution: Attribution, moment: str, wrong: Tensor | None) -> Frame:
        """Return what the filmstrip keeps."""
        return frame_of(attribution, self.appearance, moment, wrong)

    def _snapshot(
        self,
        model: nn.Module,
        moment: Moment,
        attributions: dict[str, Attribution],
        predictions: Predictions,
        scored: Scored,
        explanation: Explanation,
        *,
        link: Link,
    ) -> Snapshot:
        return Snapshot(
            epoch=moment.epoch,
            step=moment.step,
            stage=moment.stage,
            attributions=attributions,
            predictions=predictions.classes,
            confidences=predictions.confidences,
            labels=self.probe.labels,
            ids=self.probe.ids,
            scores=scored.scores,
            sample_scores=scored.sample_scores,
            metadata={
                "model": type(model).__name__,
                "target": target_name(self.target, self.probe, link),
                "outputs": link.kind,
                "methods": self.settings.recorded_methods(),
                "target_layers": list(explanation.target_layers),
                "n_passes": explanation.n_passes,
                **explanation.facts,
                "probe": self.probe.fingerprint,
                "versions": versions(),
                **input_facts(self._inputs, self.probe, self.settings, self.appearance),
                **localization_facts(self.localization),
            },
            probe=self._view,
        )

    def _next_state(
        self,
        snapshot: Snapshot,
        state: MonitorState,
        scored: Scored,
        explanation: Explanation,
        frames: Mapping[str, Frame],
    ) -> MonitorState:
        histories = {
            name: state.histories.get(name, MethodHistory()).added(
                scored.ranks[name], self._scale(attribution), frames[name], attribution.values[0, 0].numel()
            )
            for name, attribution in snapshot.attributions.items()
        }
        # A method that failed this time may not the next.
        asked = {method.name for method in self.settings.methods} - set(histories)
        histories |= {name: one for name, one in state.histories.items() if name in asked}
        explained = next(iter(snapshot.attributions.values())).target
        return replace(
            state,
            target_layers=explanation.target_layers,
            pinned=explained if state.pinned is None else state.pinned,
            histories=histories,
        )

    def _pictures(
        self, snapshot: Snapshot, state: MonitorState, next_state: MonitorState, frames: Mapping[str, Frame]
    ) -> Mapping[str, Picture]:
        return Pictures(
            snapshot,
            images=self._shown_probe.for_panels,
            small_images=self._shown_probe.for_filmstrips,
            captions=self._names.captions(snapshot),
            scales={name: history.scale for name, history in next_state.histories.items() if history.scale is not None},
            frames={
                name: [*state.histories.get(name, MethodHistory()).frames.kept, frame] for name, frame in frames.items()
            },
            appearance=self.appearance,
            namespace=self.namespace,
            volumes=self._shown_probe.volumes,
            axis_names=self._shown_probe.axis_names,
        )

    @cached_property
    def _names(self) -> SampleNames:
        return SampleNames(self.probe, self.appearance.class_names)

    @property
    def _told(self) -> Samples:
        return told(self.probe, self.settings, self.appearance.class_names)

    @property
    def _inputs(self) -> Tensor:
        return self.settings.read_alone(self.probe.inputs).explained

    @cached_property
    def _shown_probe(self) -> ProbePictures:
        return ProbePictures(self._inputs, self.probe, self.settings.layout, self.appearance, self.namespace)

    @cached_property
    def _view(self) -> ProbeView:
        return self._shown_probe.view(self._names.classes())
