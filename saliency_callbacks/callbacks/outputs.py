"""What the outputs of a model are: settled at the first observation, and the same for as long as the training runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from torch import Tensor, nn

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.state import PinnedState, RunState
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import RankError, TargetError
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.dataset_state import preserved
from saliency_callbacks.probe.labels.classes import dataset_labels
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.probe.stream import is_map_style
from saliency_callbacks.targets.identity import target_identity
from saliency_callbacks.targets.link import Kind, Link
from saliency_callbacks.targets.named import NamedTarget, Samples
from saliency_callbacks.targets.recognition import ClassCount, Declared, recognize
from saliency_callbacks.targets.resolution import (
    class_target,
    explains_labels,
    given_target,
    resolve_target,
    samples_of,
)
from saliency_callbacks.targets.selectors import Target

__all__ = ["OutputReading", "check_target", "count_classes", "known_target", "link_of", "pinned_target", "told"]

_State = TypeVar("_State", bound=RunState)
_Pinned = TypeVar("_Pinned", bound=PinnedState)

_DOUBTED = 2
_DECLARED_KINDS: Mapping[str, tuple[Kind, ...]] = {
    "logits": ("logits", "label_logits"),
    "probabilities": ("softmax", "sigmoid"),
    "embeddings": ("embeddings",),
}
_BETTER = (
    "Accuracy, confidence and effects take this into account. Logits give better explanations, because the gradient "
    "of a probability vanishes where the model is confident: let `forward` return logits, name the submodule that "
    "does with reading=ModelReading(module=…), or select them from the output with reading=ModelReading(output_fn=…)"
)


@dataclass(frozen=True)
class OutputReading:
    """How the outputs of a run's model are read.

    Args:
        declared: What a person says that they are.
        count: How many classes the data has; ``None`` where it does not tell.
    """

    declared: Declared = "auto"
    count: ClassCount | None = None

    def settled(
        self,
        state: _State,
        model: nn.Module,
        probe: ProbeBatch,
        settings: Settings,
        host: Host,
        *,
        target: Any = None,
        of_classes: str | None = None,
    ) -> _State:
        """Return the state in which it is known what the outputs are; say so once where they are no logits.

        All ranks must call it.

        Args:
            state: The state before an observation.
            model: The explained module.
            probe: The frozen probe.
            settings: How it is run.
            host: The run.
            target: The callback's ``target``.
            of_classes: What else is about classes, so that nothing can be done without.

        Raises:
            OutputError: If the outputs are not what they are declared to be.
            TargetError: If there are no classes, but something is about them.
        """
        of_classes = class_target(target) if of_classes is None else of_classes
        if state.outputs is not None and state.outputs in _DECLARED_KINDS.get(self.declared, (state.outputs,)):
            _check_classes(state.outputs, of_classes)
            return state
        if state.outputs is not None:
            # A person has said otherwise since; maps of other scores do not compare.
            state = replace(state.restarted(), outputs=None)
        try:
            found = host.ranks.outputs(model, host.to_device(probe.inputs), settings)
        except RankError:
            raise
        except Exception:
            # What comes next fails as well, and says more of it.
            return state
        if found.values is None:
            # A callable target reads what class scores cannot be found in.
            return replace(state, outputs="logits")
        has_labels = probe.labels is not None or probe.multi_labels is not None
        if found.values.shape[1] == 1 and not has_labels and self.declared == "auto":
            # One number of samples without classes is a regression, whatever its range.
            return replace(state, outputs="logits")
        recognized = recognize(
            found.values,
            are_probabilities=found.are_probabilities,
            declared=self.declared,
            # To explain a label that has no output is an error of its own.
            labels=None if explains_labels(target) else probe.labels,
            is_multi_label=probe.multi_labels is not None,
            count=self.count,
        )
        kind = host.ranks.from_zero(recognized.kind)
        _check_classes(kind, of_classes, recognized.reason)
        # What one callback of a run has said, the others need not repeat.
        if not any(_outputs_of(other) == kind for other in host.callbacks):
            _tell(kind, recognized.reason, type(model).__name__)
        return replace(state, outputs=kind)

    def doubt(self, state: RunState, link: Link, outputs: Tensor | None, probe: ProbeBatch) -> None:
        """Say once, when the model has trained a little, that what is read as logits may be probabilities after all.

        Those that a function of the model's own makes are not recognized.

        Args:
            state: The state before an observation.
            link: How outputs are read.
            outputs: Those of this observation, ``[N, K]``.
            probe: The frozen probe.
        """
        is_time = state.n_observations == _DOUBTED and self.declared == "auto"
        if not is_time or outputs is None or link.kind not in ("logits", "label_logits"):
            return
        has_labels = probe.labels is not None or probe.multi_labels is not None
        varies = bool((outputs.amax(dim=0) > outputs.amin(dim=0)).any())
        if has_labels and varies and bool(((outputs >= 0) & (outputs <= 1)).all()):
            notices.tell(
                "all outputs of the model lie in [0, 1] but are read as logits; if they are probabilities, declare "
                "them with reading=ModelReading(outputs='probabilities')"
            )


def link_of(state: RunState, probe: ProbeBatch) -> Link:
    """Return how the outputs are read, once that is settled."""
    kind: Kind = "logits" if state.outputs is None else state.outputs
    return Link(kind, is_multi_label=probe.multi_labels is not None)


def told(probe: ProbeBatch, settings: Settings, names: Sequence[str] | None = None) -> Samples:
    """Return what a target with names is told of a probe.

    Args:
        probe: The frozen probe.
        settings: How it is run.
        names: Names of the classes; the probe's own by default.
    """
    return samples_of(probe, settings.read_alone(probe.inputs).explained.shape[2:], names)


def check_target(given: Any, samples: Samples) -> None:
    """Raise a TargetError if a target with names does not fit the samples."""
    if isinstance(given, NamedTarget):
        given.of(samples)


def known_target(state: PinnedState, given: Any, probe: ProbeBatch, samples: Samples) -> Target | None:
    """Return what is explained after ``state``; ``None`` where the model has to be run to know that."""
    state = _for_target(state, given, probe)
    target = resolve_target(given, probe, state.pinned, link_of(state, probe), state.pins, samples)
    return None if isinstance(target, NamedTarget) and target.needs_pins else target


def pinned_target(
    state: _Pinned,
    given: Any,
    model: nn.Module,
    probe: ProbeBatch,
    settings: Settings,
    host: Host,
    *,
    samples: Samples,
) -> tuple[_Pinned, Target]:
    """Return the state and the target of an observation; what the target has to look up first is kept in the state.

    All ranks must call it: the tokenizer of a prompt may fail on one of them alone.

    Args:
        state: The state before the observation.
        given: The callback's ``target``.
        model: The explained module.
        probe: The frozen probe.
        settings: How it is run.
        host: The run.
        samples: What the target is told of the probe.
    """
    state = _for_target(state, given, probe)
    with host.ranks.together():
        target = resolve_target(given, probe, state.pinned, link_of(state, probe), state.pins, samples)
    if not isinstance(target, NamedTarget):
        return state, target
    if target.needs_pins:
        target = target.pinned(host.ranks.pins(model, host.to_device(probe.inputs), settings, target))
    return replace(state, pins={**state.pins, **target.kept}), target


def _for_target(state: _Pinned, given: Any, probe: ProbeBatch) -> _Pinned:
    """Return the state of a target; what belongs to another one, of a run that goes on, is dropped, and that is told.

    A checkpoint of an earlier version does not say whose it is, and is taken to be of this one.
    """
    asked = given_target(given, probe, link_of(state, probe))
    if not isinstance(asked, NamedTarget):
        return state
    identity = target_identity(asked)
    if state.target not in (None, identity):
        notices.warn(
            "other target",
            f"the target {asked!r} differs from that of the checkpoint. What that one had pinned is another question's "
            "answer, and maps of different targets cannot be compared, so pins, drift, color scales and filmstrips "
            "start anew",
        )
        state = state.restarted()
    return replace(state, target=identity)


def count_classes(host: Host, probe: Probe, frozen: ProbeBatch) -> ClassCount | None:
    """Return how many classes the data has; ``None`` where it does not tell.

    Args:
        host: The run.
        probe: Where the samples come from.
        frozen: The samples.
    """
    if frozen.multi_labels is not None:
        return ClassCount(frozen.multi_labels.shape[1])
    labels, names = frozen.labels, frozen.class_names or ()
    # Names of fewer classes than there are labels leave some out.
    if names and (labels is None or int(labels.max()) < len(names)):
        return ClassCount(len(names))
    if probe.is_fixed or labels is None:
        return None
    found = _all_labels(host, probe)
    if found is None and not _shows_all_classes(host, probe, labels):
        return None
    labels = labels if found is None else found
    n_classes = int(labels.max()) + 1 if len(labels) else 0
    # A few samples tell no more than that each of their classes is there twice: rare ones may be missing.
    n_labels = len(labels) if found is not None else min(len(labels), 2 * n_classes)
    return ClassCount(n_classes, n_labels) if n_classes > 1 else None


def _check_classes(kind: Kind, of_classes: str | None, reason: str | None = None) -> None:
    if kind == "embeddings" and of_classes is not None:
        because = "declared as such" if reason is None else reason
        raise TargetError(
            f"{of_classes} is about classes, but the model's outputs are embeddings ({because}); expected class "
            "scores. If they are class scores, declare them with reading=ModelReading(outputs='logits'), or name the "
            "submodule that returns class scores with ModelReading(module=…). Embeddings are explained with "
            "target=SimilarityTarget() of saliency_callbacks.targets"
        )


def _all_labels(host: Host, probe: Probe) -> Tensor | None:
    dataset: Any = getattr(host.dataloader(probe.source, probe.dataloader_idx), "dataset", None)
    with preserved(dataset):
        return dataset_labels(dataset)


def _shows_all_classes(host: Host, probe: Probe, labels: Tensor) -> bool:
    """Whether a probe that was drawn class by class, not of the first items of a stream, has most classes twice."""
    loader = host.dataloader(probe.source, probe.dataloader_idx)
    is_drawn = probe.stratify and probe.indices is None and is_map_style(getattr(loader, "dataset", None))
    return is_drawn and 2 * len(labels.unique()) <= len(labels)


def _outputs_of(callback: Any) -> Kind | None:
    state = getattr(callback, "state", None)
    return state.outputs if isinstance(state, RunState) else None


def _tell(kind: Kind, reason: str | None, model: str) -> None:
    if kind in ("softmax", "sigmoid"):
        notices.warn("probabilities", f"{model} returns probabilities ({kind}). {_BETTER}")
    elif reason is not None:
        notices.warn(
            "embeddings",
            f"{reason}: the outputs are taken to be embeddings, not class scores, so nothing is explained or scored "
            "by class. By default, the similarity to each sample's first embedding is explained "
            "(target=SimilarityTarget() of saliency_callbacks.targets). If they are class scores, declare them with "
            "reading=ModelReading(outputs='logits')",
        )
