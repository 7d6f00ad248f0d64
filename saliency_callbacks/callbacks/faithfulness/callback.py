"""The callback that tells how much of the explained score the maps of a method account for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from torch import nn
from typing_extensions import override

from saliency_callbacks.callbacks.base import ObservingCallback
from saliency_callbacks.callbacks.faithfulness.pictures import curves
from saliency_callbacks.callbacks.faithfulness.record import FaithfulnessRecord, tell_of_undefined
from saliency_callbacks.callbacks.faithfulness.settings import Perturbation
from saliency_callbacks.callbacks.faithfulness.trial import Trial
from saliency_callbacks.callbacks.fast_precision import with_arithmetic
from saliency_callbacks.callbacks.outputs import check_target, known_target, link_of, pinned_target, told
from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.arguments import OnError, checked_target
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.observation import Moment, Observation
from saliency_callbacks.callbacks.runtime.preconditions import check_labels, check_layers
from saliency_callbacks.callbacks.runtime.settings import Compute, ModelReading, Storage, engine_settings, settings_of
from saliency_callbacks.callbacks.runtime.state import PinnedState
from saliency_callbacks.callbacks.shared_pass.wish import Wish
from saliency_callbacks.callbacks.streaming.tested import freeze_tested
from saliency_callbacks.engine.settled import settled_tokens
from saliency_callbacks.engine.wants import union
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.scores.faithfulness import FaithfulnessResult
from saliency_callbacks.targets.resolution import pins_after, target_name
from saliency_callbacks.targets.similarity import SimilarityTarget
from saliency_callbacks.types import AnyMethod, Sink

__all__ = ["FaithfulnessTest"]


class FaithfulnessTest(ObservingCallback[PinnedState]):
    """Remove what a map shows first, and show only that, to see how much of the explained score it accounts for.

    *Deletion* replaces the positions where a map is largest, *insertion* all others, each by in-painting from the
    surroundings and by a blurred copy; of text inputs by mask or padding tokens. Whatever the score is (a logit, any
    function of the output), what is measured is the share of its change that is left between the sample as it is and
    one with everything replaced. The *gain* compares that with a random order: that of the same map somewhere else.

    Logged, with ``{method}`` as in ``methods``:

    ==========================================  ==========================================================
    ``faithfulness/{method}/deletion_gain``     in [-1, 1]: 0 is no better than a random order, 1 if the
                                                first share that is removed holds all the evidence
    ``faithfulness/{method}/insertion_gain``    in [-1, 1]: 0 is no better than a random order, 1 if the
                                                first share that is shown is as good as all
    ``faithfulness/{method}/stability``         rank correlation with the maps of the samples with a little
                                                noise, by magnitude; 1 is unchanged
    ``…/{score}_lower``, ``…/{score}_upper``    95% interval of the mean over the samples (Student's t), of two or
                                                more samples
    ``…/deletion_gain_{replacement}``           with one replacement alone, e.g. ``blurred``; the same for
                                                the insertion
    ``…/undefined``                             share of the samples without a gain: their score hardly
                                                changes, or their map is constant or not finite
    ``…/n_forwards``                            how often the probe was run for the method
    ``faithfulness/{method}/curves``            picture: what is left of the evidence, beside a random order
    ``faithfulness/summary``                    text, at the end of fit: a table of all methods
    ==========================================  ==========================================================

    A high gain does not show that a map is right, and methods should not be ranked by it: see the page on
    faithfulness in the documentation.

    With the default settings, a test takes 12 forwards of the probe for each method, 8 in its order and 4 in the random
    one, and 3 for all methods together, besides the explanation, which is shared with the other callbacks of the
    Trainer. ``Perturbation(n_noisy=1)`` adds one explanation of all methods together; multi-pass methods make it
    expensive.

    Args:
        methods: Names or method objects.
        probe: What is tested: a :class:`~saliency_callbacks.probe.probe.Probe`, or the number of samples to take from
            the validation data. With more than ``Probe(shown=64)``, those that are shown are tested.
        target: The explained score: ``"label"``, ``"initial_prediction"`` (both stay the same over time),
            ``"predicted"``, a class index, a target of :mod:`saliency_callbacks.targets`, or a callable ``output ->
            [N]``. By default the label if the probe has labels, else the initial prediction.
        target_layers: Layers for class activation maps: ``"auto"``, a dotted name, a module, or a list of these.
        tokenizer: For text inputs: a tokenizer of Hugging Face or of ``tokenizers``, a list of tokens, a dictionary
            between tokens and ids, a function ids → tokens, or the dotted path of one of these. It has to have a mask
            or padding token.
        perturbation: What is done to the samples: ``Perturbation(shares, replacements, noise, n_noisy)``.
        every_n_epochs: Epochs between two tests.
        reading: How the model is read: ``ModelReading(module, output_fn, attribute_to, shared, layout,
            outputs, reshape_transform, embedding)``; for text inputs, the embedding layer.
        compute: What a test may cost: ``Compute(internal_batch_size, precision, max_seconds_per_observation,
            shard_probe, seed)``. Scores are those of the model as it is trained, in any precision of the maps.
        storage: What is kept on disk: ``Storage(save_maps, keep_maps, directory)``.
        sinks: Additional outputs besides the run's loggers: objects with ``write(snapshot, pictures)``.
        on_error: ``"warn"`` skips a failed test, ``"raise"`` stops the training, as an invalid configuration does.
        namespace: First part of every tag and name of the directory; must differ between the tests of a Trainer.

    Attributes:
        result: The last test; ``None`` before the first.

    Raises:
        ConfigurationError: If an argument cannot be used.

    Reference:
        Petsiuk et al. 2018, arXiv 1806.07421 (deletion and insertion); Rong et al. 2022, arXiv 2202.00449
        (in-painting); Yeh et al. 2019, arXiv 1901.09392 (sensitivity to noise).

    Example:
        >>> from saliency_callbacks import FaithfulnessTest, Perturbation
        >>> test = FaithfulnessTest(["gradient", "grad_cam"], every_n_epochs=5, perturbation=Perturbation(n_noisy=0))
        >>> # trainer = L.Trainer(callbacks=[test])
    """

    state_type = PinnedState
    save_pictures = True
    kinds: ClassVar[Mapping[str, type]] = {
        "perturbation": Perturbation,
        "reading": ModelReading,
        "compute": Compute,
        "storage": Storage,
    }

    def __init__(
        self,
        methods: str | AnyMethod | Sequence[str | AnyMethod] = ("gradient", "grad_cam"),
        probe: Probe | int = 16,
        target: int | str | Callable[..., Any] | None = None,
        *,
        target_layers: Any = "auto",
        tokenizer: Any = None,
        perturbation: Perturbation = Perturbation(),
        every_n_epochs: int = 1,
        reading: ModelReading = ModelReading(),
        compute: Compute = Compute(),
        storage: Storage = Storage(),
        sinks: Sequence[Sink] = (),
        on_error: OnError = "warn",
        namespace: str = "faithfulness",
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
        self.target = checked_target(target)
        self.perturbation = settings_of(Perturbation, "perturbation", perturbation)
        self.settings = engine_settings(
            methods, self.reading, self.compute, on_error, target_layers=target_layers, tokenizer=tokenizer
        )
        self.result: FaithfulnessResult | None = None
        self._tested_step: int | None = None
        self._explained_facts: Mapping[str, Any] = {}

    @override
    def _check_model(self, model: nn.Module) -> None:
        check_layers(model, self.settings)

    @override
    def _freeze(self, host: Host) -> ProbeBatch | None:
        tested = freeze_tested(host, self.probe, self.state.indices, self.reading, self.namespace)
        return tested or super()._freeze(host)

    @override
    def _accept_probe(self, probe: ProbeBatch, host: Host) -> None:
        check_labels(probe, self.target)
        check_target(self.target, told(probe, self.settings))
        self.result = None

    @override
    def _observe(self, model: nn.Module, moment: Moment, host: Host) -> Observation[PinnedState]:
        result, state = self._test(model, moment, host)
        tell_of_undefined(result, self.namespace)
        snapshot = self._record(model, moment, result, state).tested(self._probe)
        return Observation(snapshot, state, curves(result, self.namespace, snapshot.moment))

    @override
    def _summarize(self, model: nn.Module, moment: Moment, host: Host) -> Observation[PinnedState] | None:
        """Say what was found in one table."""
        if self.result is None and not self._is_resumed:
            return None
        result, state = self.result, self.state
        if result is None or host.global_step != self._tested_step:
            notices.tell(
                f"{self.namespace}: the weights have changed since the last test, so the maps are tested again"
            )
            result, state = self._test(model, moment, host)
        return Observation(self._record(model, moment, result, state).summarized(), self.state)

    @override
    def _wish(self, model: nn.Module, host: Host) -> Wish | None:
        state, probe = self.state, self._probe
        if not state.is_settled_for(self.settings):
            return None
        settings = replace(state.settled(self.settings), forward_context=host.forward_context)
        target = known_target(state, self.target, probe, told(probe, settings))
        return None if target is None else Wish.of_probe(model, probe, settings, [target], host)

    def _test(self, model: nn.Module, moment: Moment, host: Host) -> tuple[FaithfulnessResult, PinnedState]:
        ranks, probe = host.ranks, self._probe
        inputs = host.to_device(probe.inputs)
        settings = replace(self.state.settled(self.settings), forward_context=host.forward_context)
        with ranks.together():
            # As a monitor of text inputs finds them, so that both want the same.
            self._settled = replace(self._settled, tokens=settled_tokens(model, inputs, settings))
        settings = replace(settings, tokens=self._settled.tokens)
        state = self._outputs.settled(self.state, model, probe, settings, host, target=self.target)
        state, target = pinned_target(state, self.target, model, probe, settings, host, samples=told(probe, settings))
        if isinstance(target, SimilarityTarget) and target.is_open and target.view is None:
            state = replace(state, pins=pins_after(target, {}, ranks.logits(model, inputs, settings)))
        state = with_arithmetic(state, model, inputs, settings, target, host, peers=self._peers(host))
        settings = state.settled(settings)
        explanation = self._explained(Wish.of_probe(model, probe, settings, [target], host), moment, host)
        trial = Trial(
            model=model,
            inputs=inputs,
            n_samples=probe.size,
            settings=ranks.settings(settings, probe.size),
            target=target,
            perturbation=self.perturbation,
            ranks=ranks,
            explanation=explanation,
        )
        self.result, self._tested_step, self._explained_facts = trial.run(), host.global_step, explanation.facts
        pinned = self.result.target if state.pinned is None else state.pinned
        return self.result, replace(state, target_layers=self.result.target_layers, pinned=pinned)

    def _record(
        self, model: nn.Module, moment: Moment, result: FaithfulnessResult, state: PinnedState
    ) -> FaithfulnessRecord:
        link = link_of(state, self._probe)
        facts = {
            "model": type(model).__name__,
            "target": target_name(self.target, self._probe, link),
            "outputs": link.kind,
            "methods": self.settings.recorded_methods(),
            "probe": self._probe.fingerprint,
            "noise": self.perturbation.noise,
            "n_noisy": self.perturbation.n_noisy,
            "n_passes": (1 + self.perturbation.n_noisy) * len(union(self.settings.methods)),
            **self._explained_facts,
        }
        return FaithfulnessRecord(moment, self.namespace, result, facts)
