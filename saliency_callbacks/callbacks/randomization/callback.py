"""The callback that tells whether the maps of a method depend on what the model has learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from torch import nn
from typing_extensions import override

from saliency_callbacks.callbacks.base import ObservingCallback
from saliency_callbacks.callbacks.fast_precision import with_arithmetic
from saliency_callbacks.callbacks.outputs import check_target, known_target, pinned_target, told
from saliency_callbacks.callbacks.randomization.keeping import CopyKeeping
from saliency_callbacks.callbacks.randomization.pace import Pace, describe_cascade, describe_left_out, shown
from saliency_callbacks.callbacks.randomization.record import TestRecord, warn_of_untold_verdicts
from saliency_callbacks.callbacks.randomization.settings import Cascade, Draws
from saliency_callbacks.callbacks.randomization.state import CopiesState
from saliency_callbacks.callbacks.randomization.trial import Trial, run_layerwise, wish_for
from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.arguments import OnError, checked_target
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.observation import Moment, Observation
from saliency_callbacks.callbacks.runtime.preconditions import check_labels, check_layers
from saliency_callbacks.callbacks.runtime.settings import Compute, ModelReading, Storage, engine_settings, settings_of
from saliency_callbacks.callbacks.shared_pass.wish import Wish
from saliency_callbacks.callbacks.streaming.tested import freeze_tested
from saliency_callbacks.engine.settled import settled_tokens
from saliency_callbacks.engine.wants import union
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.randomization.result import RandomizationResult
from saliency_callbacks.randomization.run import check_redraw, with_primary
from saliency_callbacks.randomization.states import weight_layers
from saliency_callbacks.targets.resolution import pins_after
from saliency_callbacks.targets.similarity import SimilarityTarget
from saliency_callbacks.types import AnyMethod, Picture, Sink

__all__ = ["RandomizationTest"]


class RandomizationTest(ObservingCallback[CopiesState]):
    """Compare the maps of the model with those of random copies of it, at every validation epoch.

    A map that looks the same with random weights shows the input, not the model. The random copies differ from the
    model only in their weights: inputs, explained classes and target layers are the same, and the model itself is
    restored byte for byte before training continues.

    Logged, with ``{method}`` as in ``methods``; similarities are signed Spearman correlations in [-1, 1]:

    ======================================  ==============================================================
    ``randomization/{method}/similarity``   s: the model's maps and those of random copies; near 0 is good
    ``randomization/{method}/floor``        s₀: the maps of two random copies; above 0.3 the maps do not
                                            come from the weights, whatever s is
    ``randomization/{method}/calibrated``   (s - s₀) / (s₁ - s₀); s₁ is 1, or for methods that draw noise
                                            the similarity of two seeds; NaN if s₁ - s₀ < 0.2
    ``randomization/{method}/drift``        1 - s
    ``randomization/{method}/random_logit`` the maps of the explained class and of another; near 1 is bad
    ``…/{score}_std``                       standard deviation over the draws; of the floor, over their pairs
    ``…/{name}``, ``…/{name}_floor``        the same by the other ``similarities``, e.g. ``abs_spearman``; with ``_std``
    ``randomization/cascade``               picture, at the end of fit: similarity after each layer
    ``randomization/verdicts``              text, at the end of fit: a table with a verdict in words
    ======================================  ==============================================================

    Methods pass or fail this test; it does not rank them: pure noise would come first.

    Args:
        methods: Names or method objects; all share the passes of each state; other callbacks, of the trained one, too.
        probe: What is explained: a :class:`~saliency_callbacks.probe.probe.Probe`, or the number of samples to take
            from the validation data. With more than ``Probe(shown=64)``, those that are shown are tested.
        target: The explained score: ``"label"``, ``"initial_prediction"`` (both stay the same over time),
            ``"predicted"``, a class index, a target of :mod:`saliency_callbacks.targets`, or a callable ``output ->
            [N]``. By default the label if the probe has labels, else the initial prediction.
        target_layers: Layers for class activation maps: ``"auto"``, a dotted name, a module, or a list of these.
        tokenizer: For text inputs: a tokenizer of Hugging Face or of ``tokenizers``, a list of tokens, a dictionary
            between tokens and ids, a function ids → tokens, or the dotted path of one of these. One number per token is
            then compared, without padding and special tokens.
        draws: The random copies, and how maps are compared: ``Draws(n_draws, order, randomize, similarities,
            random_logit, max_mib)``. The same copies are drawn at every epoch, and with ``n_draws="auto"`` more at
            later epochs if needed. Each is explained only once if copies do not depend on the trained weights.
        cascade: The layer-by-layer randomization at the end of fit: ``Cascade(at_fit_end, order, n_draws,
            max_seconds)``. Its cost is announced with the first test.
        every_n_epochs: Epochs between two tests.
        reading: How the model is read: ``ModelReading(module, output_fn, attribute_to, shared, layout,
            outputs, reshape_transform, embedding)``; for text inputs, the embedding layer.
        compute: What a test may cost: ``Compute(internal_batch_size, precision, max_seconds_per_observation,
            shard_probe, seed)``. Weights are drawn in their own precision, by the seed.
        storage: What is kept on disk: ``Storage(save_maps, keep_maps, directory)``.
        sinks: Additional outputs besides the run's loggers: objects with ``write(snapshot, pictures)``.
        on_error: ``"warn"`` skips a failed test, ``"raise"`` stops the training, as an invalid configuration does.
        namespace: First part of every tag and name of the directory; must differ between the tests of a Trainer.

    Attributes:
        result: The last test; ``None`` before the first.
        cascade: The cascade at the end of fit.

    Raises:
        ConfigurationError: If an argument cannot be used.

    Reference:
        Adebayo et al. 2018, arXiv 1810.03292; Binder et al. 2023, arXiv 2211.12486 (why it is no ranking).

    Example:
        >>> from saliency_callbacks import Draws, RandomizationTest
        >>> test = RandomizationTest(["gradient", "grad_cam"], draws=Draws(n_draws=10), every_n_epochs=5)
        >>> # trainer = L.Trainer(callbacks=[test])
    """

    state_type = CopiesState
    save_pictures = True
    kinds: ClassVar[Mapping[str, type]] = {
        "draws": Draws,
        "cascade": Cascade,
        "reading": ModelReading,
        "compute": Compute,
        "storage": Storage,
    }
    renamed: ClassVar[Mapping[str, str]] = {
        "cascade_at_fit_end": "cascade=Cascade(at_fit_end=…)",
        "cascade_order": "cascade=Cascade(order=…)",
        "cascade_draws": "cascade=Cascade(n_draws=…)",
    }

    def __init__(
        self,
        methods: str | AnyMethod | Sequence[str | AnyMethod] = ("gradient", "grad_cam"),
        probe: Probe | int = 16,
        target: int | str | Callable[..., Any] | None = None,
        *,
        target_layers: Any = "auto",
        tokenizer: Any = None,
        draws: Draws = Draws(),
        cascade: Cascade = Cascade(),
        every_n_epochs: int = 1,
        reading: ModelReading = ModelReading(),
        compute: Compute = Compute(),
        storage: Storage = Storage(),
        sinks: Sequence[Sink] = (),
        on_error: OnError = "warn",
        namespace: str = "randomization",
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
        self.draws = settings_of(Draws, "draws", draws)
        # What it finds is `cascade`.
        self.cascade_settings = settings_of(Cascade, "cascade", cascade)
        self.redraw = check_redraw(self.draws.randomize)
        self.similarities = with_primary(self.draws.similarities)
        self.settings = engine_settings(
            methods, self.reading, self.compute, on_error, target_layers=target_layers, tokenizer=tokenizer
        )
        self.result: RandomizationResult | None = None
        self.cascade: RandomizationResult | None = None
        self._tested_step: int | None = None
        self._n_explained, self._is_announced = 0, False
        self._keeping = CopyKeeping(self.draws, self.namespace)

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
        self.result = self.cascade = None
        self._is_announced = False
        self._keeping = CopyKeeping(self.draws, self.namespace)

    @override
    def _observe(self, model: nn.Module, moment: Moment, host: Host) -> Observation[CopiesState]:
        pace = Pace()
        result, state = self._test(model, moment, host, pace)
        if self.cascade_settings.at_fit_end and moment.stage != "validate" and not self._is_announced:
            self._is_announced = True
            settings = replace(self.settings, forward_context=host.forward_context)
            n_layers = len(weight_layers(model, host.to_device(self._probe.inputs), settings))
            notices.tell(f"{self.namespace}: {describe_cascade(self.cascade_settings, pace, n_layers)}")
        warn_of_untold_verdicts(result, self.namespace)
        return Observation(self._record(model, moment, result).tested(self._probe), state)

    @override
    def _summarize(self, model: nn.Module, moment: Moment, host: Host) -> Observation[CopiesState] | None:
        """Randomize layer by layer, and say what was found."""
        if self.result is None and not self._is_resumed:
            return None
        if self.result is None or host.global_step != self._tested_step:
            notices.tell(
                f"{self.namespace}: the weights have changed since the last test, so the maps are tested once more"
            )
            self._test(model, moment, host, Pace())
        assert self.result is not None, "tested above"
        for method, words in self.result.verdicts.items():
            notices.tell(f"{self.namespace}: {method} {words}")
        tables = {f"{self.namespace}/verdicts": self.result.verdict_table}
        pictures: Mapping[str, Picture] = {}
        if self.cascade_settings.at_fit_end:
            try:
                self.cascade, pictures = self._randomize_layerwise(model, host)
                tables[f"{self.namespace}/cascade"] = self.cascade.cascade_table
            except Exception as error:
                if self.on_error == "raise":
                    raise
                notices.warn(
                    ("no cascade", self.namespace),
                    f"the cascade is skipped ({type(error).__name__}: {error}); the verdicts do not depend on it",
                )
        return Observation(self._record(model, moment, self.result).summarized(tables), self.state, pictures)

    def _randomize_layerwise(self, model: nn.Module, host: Host) -> tuple[RandomizationResult, Mapping[str, Picture]]:
        settings = self.cascade_settings
        pace = Pace(settings.max_seconds)
        with shown(pace, f"{self.namespace}: cascade", host) as note:
            cascade, _ = self._run(model, host, lambda trial: run_layerwise(trial, settings, pace), note)
        if cascade.left_out:
            notices.tell(f"{self.namespace}: {describe_left_out(cascade, pace)}")
        return cascade, {f"{self.namespace}/cascade": cascade.plot()}

    def _test(
        self, model: nn.Module, moment: Moment, host: Host, pace: Pace
    ) -> tuple[RandomizationResult, CopiesState]:
        keeping, n_copies = self._keeping, self.state.n_copies
        self.result, state = self._run(
            model, host, lambda trial: keeping.test(trial, self.target, n_copies), pace.note, moment
        )
        self._tested_step, self._n_explained = host.global_step, pace.n_states
        return self.result, replace(state, n_copies=keeping.n_copies)

    @override
    def _wish(self, model: nn.Module, host: Host) -> Wish | None:
        state, probe = self.state, self._probe
        if not state.is_settled_for(self.settings):
            return None
        settings = replace(state.settled(self.settings), forward_context=host.forward_context)
        target = known_target(state, self.target, probe, told(probe, settings))
        return wish_for(model, probe, settings, target, host, random_logit=self.draws.random_logit)

    def _run(
        self,
        model: nn.Module,
        host: Host,
        test: Callable[[Trial], RandomizationResult],
        progress: Callable[[int, int], None],
        moment: Moment | None = None,
    ) -> tuple[RandomizationResult, CopiesState]:
        """Test the model now; of a ``moment`` it is explained together with what other callbacks want of it."""
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
        wish = wish_for(model, probe, settings, target, host, random_logit=self.draws.random_logit)
        trial = Trial(
            model=model,
            inputs=inputs,
            inputs_name=probe.identity,
            n_samples=probe.size,
            settings=ranks.settings(settings, probe.size),
            target=target,
            similarities=self.similarities,
            redraw=self.redraw,
            ranks=ranks,
            progress=progress,
            explanation=None if wish is None or moment is None else self._explained(wish, moment, host),
        )
        result = test(trial)
        pinned = result.target if state.pinned is None else state.pinned
        return result, replace(state, target_layers=result.target_layers, pinned=pinned)

    def _record(self, model: nn.Module, moment: Moment, result: RandomizationResult) -> TestRecord:
        facts = {
            "model": type(model).__name__,
            "methods": self.settings.recorded_methods(),
            "probe": self._probe.fingerprint,
            "n_passes": self._n_explained * len(union(self.settings.methods)),
        }
        return TestRecord(moment, self.namespace, result, facts)
