"""The callback that tells whether the maps of a method depend on what the model has learned."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from torch import nn
from typing_extensions import override

from saliency_callbacks.callbacks.base import ObservingCallback, OnError
from saliency_callbacks.callbacks.runtime import lightning as host
from saliency_callbacks.callbacks.runtime.arguments import checked_choice, checked_target, is_auto
from saliency_callbacks.callbacks.runtime.observation import Moment, Observation, Surroundings
from saliency_callbacks.callbacks.runtime.preconditions import check_labels, check_layers
from saliency_callbacks.callbacks.runtime.settings import Precision, checked_settings
from saliency_callbacks.callbacks.runtime.state import PinnedState
from saliency_callbacks.errors import DegenerateMapWarning, SaliencyWarning
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.randomization.result import RandomizationResult
from saliency_callbacks.randomization.run import check_draws, check_redraw, run_test, with_primary
from saliency_callbacks.randomization.scores import sample_scores, scores
from saliency_callbacks.randomization.steps import Layerwise, Order, check_order
from saliency_callbacks.sinks.disk.retention import KeepMaps
from saliency_callbacks.targets.resolution import resolve_target
from saliency_callbacks.types import Method, Picture, Sink, Snapshot

__all__ = ["RandomizationTest"]


class RandomizationTest(ObservingCallback[PinnedState]):
    """Compare the maps of the model with those of random copies of it, at every validation epoch.

    A map that looks the same with random weights shows the picture, not the model. The random copies differ from the
    model in its weights alone: inputs, explained classes and target layers are the same, and the model itself is back
    byte for byte before the training goes on.

    Logged, with ``{method}`` as in ``methods``; similarities are signed Spearman correlations in [-1, 1]:

    ======================================  ==============================================================
    ``randomization/{method}/similarity``   s: the model's maps and those of random copies; near 0 is good
    ``randomization/{method}/floor``        s₀: the maps of two random copies; above 0.3 the maps do not
                                            come from the weights, whatever s is
    ``randomization/{method}/calibrated``   (s - s₀) / (s₁ - s₀); s₁ is 1, or for methods that draw noise
                                            the similarity of two seeds; NaN if s₁ - s₀ < 0.2
    ``randomization/{method}/drift``        1 - s
    ``randomization/{method}/random_logit`` the maps of the explained and of another class; near 1 is bad
    ``…/similarity_std``, ``…/floor_std``   standard deviation over the draws (also that of the drift), and their pairs
    ``…/calibrated_std``                    standard deviation over the draws
    ``…/{name}``, ``…/{name}_floor``        the same by the other ``similarities``, e.g. ``abs_spearman``; with ``_std``
    ``randomization/{method}/cascade``      picture, at the end of fit: similarity after each layer
    ``randomization/cascade``               the same, all methods in one
    ``randomization/verdicts``              text, at the end of fit: a table with a verdict in words
    ======================================  ==============================================================

    It is a test that a method passes or not, never a ranking: pure noise would come first.

    Args:
        methods: Names or method objects; all share the passes of each state.
        probe: What is explained; a number is the number of samples.
        target: As for :class:`SaliencyMonitor`.
        order: What is randomized at an epoch: ``full`` all weights at once, or layer by layer ``top_down``,
            ``bottom_up`` or ``independent``, of which the last step, or the mean over the layers, is logged.
        n_draws: How many random copies, one after the other; at least 2. An observation costs ``n_draws + 1`` times the
            passes of its methods.
        every_n_epochs: Epochs between two tests.
        cascade_at_fit_end: Whether to randomize layer by layer when the training ends.
        cascade_order: ``top_down`` from the scores down to the input, ``bottom_up``, or ``independent``.
        cascade_draws: How many times the cascade is drawn; at least 2. It costs as many explanations for each layer.
        randomize: ``reinitialize``, ``permute``, or a callable or dotted path of one; see
            :func:`~saliency_callbacks.randomization_test`.
        similarities: Names of :data:`saliency_callbacks.scores.SIMILARITIES`; ``spearman`` is always computed.
        random_logit: Whether to compare the maps of the explained and of another class, too; one more backward.
        target_layers: As for :class:`SaliencyMonitor`.
        reshape_transform: As for :class:`SaliencyMonitor`.
        output_fn: As for :class:`SaliencyMonitor`.
        attribute_to: As for :class:`SaliencyMonitor`.
        embedding: For texts: as for :class:`TokenSaliencyMonitor`; what is compared is one number a token.
        tokenizer: As for :class:`TokenSaliencyMonitor`; padding and special tokens are then not compared.
        module: As for :class:`SaliencyMonitor`.
        internal_batch_size: As for :class:`SaliencyMonitor`.
        precision: As for :class:`SaliencyMonitor`; the weights are drawn in their own.
        save_maps: Whether to keep scores, texts and figures on disk.
        keep_maps, max_seconds_per_observation: As for :class:`SaliencyMonitor`.
        sinks: As for :class:`SaliencyMonitor`.
        on_error: As for :class:`SaliencyMonitor`.
        namespace: First part of every tag and name of the directory.
        seed: Seed of the draws and of all noise: the same random copies at every epoch.
        shard_probe: As for :class:`SaliencyMonitor`.

    Attributes:
        result: The last test; ``None`` before the first.
        cascade: The cascade at the end of fit.

    Raises:
        ConfigurationError: If an argument cannot be used.

    Reference:
        Adebayo et al. 2018, arXiv 1810.03292; Binder et al. 2023, arXiv 2211.12486 (why it is no ranking).
    """

    save_pictures = True

    def __init__(
        self,
        methods: str | Method | Sequence[str | Method] = ("gradient", "grad_cam"),
        probe: Probe | int = 16,
        target: int | str | Callable[..., Any] | None = None,
        *,
        order: Order = "full",
        n_draws: int = 5,
        every_n_epochs: int = 1,
        cascade_at_fit_end: bool = True,
        cascade_order: Layerwise = "top_down",
        cascade_draws: int = 3,
        randomize: str | Callable[..., Any] = "reinitialize",
        similarities: str | Sequence[str] = ("spearman", "abs_spearman"),
        random_logit: bool = True,
        target_layers: Any = "auto",
        reshape_transform: str | Callable[..., Any] | None = None,
        output_fn: str | Callable[..., Any] | None = None,
        attribute_to: int | str | None = None,
        embedding: Any = None,
        tokenizer: Any = None,
        module: str | None = None,
        internal_batch_size: int | None = None,
        precision: Precision = "trainer",
        save_maps: bool = True,
        keep_maps: KeepMaps = "all",
        max_seconds_per_observation: float | None = None,
        sinks: Sequence[Sink] = (),
        on_error: OnError = "warn",
        namespace: str = "randomization",
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
        self.order: Order = check_order(order)
        self.n_draws = check_draws(n_draws)
        self.cascade_at_fit_end = cascade_at_fit_end
        self.cascade_order: Order = checked_choice("cascade_order", cascade_order, get_args(Layerwise))
        self.cascade_draws = check_draws(cascade_draws, "cascade_draws")
        self.redraw = check_redraw(randomize)
        self.similarities = with_primary(similarities)
        self.random_logit = random_logit
        self.settings = checked_settings(
            methods,
            target_layers=target_layers,
            reshape_transform=reshape_transform,
            output_fn=output_fn,
            attribute_to=attribute_to,
            internal_batch_size=internal_batch_size,
            precision=precision,
            seed=seed,
            embedding=embedding,
            tokenizer=tokenizer,
        )
        self.result: RandomizationResult | None = None
        self.cascade: RandomizationResult | None = None
        self._tested_step: int | None = None

    @override
    def _new_state(self) -> PinnedState:
        return PinnedState()

    @override
    def _check_model(self, model: nn.Module) -> None:
        check_layers(model, self.settings.target_layers)

    @override
    def _accept_probe(self, probe: ProbeBatch) -> None:
        check_labels(probe, self.target)
        self.result = self.cascade = None

    @override
    def _observe(self, model: nn.Module, moment: Moment, surroundings: Surroundings) -> Observation[PinnedState]:
        result, state = self._test(model, surroundings)
        for method in result.methods:
            if not math.isfinite(result.similarity(method).mean):
                host.rank_zero_warn(
                    f"{self.namespace}: {method} {result.verdicts[method]}", category=DegenerateMapWarning
                )
        found = Snapshot(
            epoch=moment.epoch,
            step=moment.step,
            stage=moment.stage,
            attributions={},
            labels=self._probe.labels,
            ids=self._probe.ids,
            scores=scores(result, self.namespace),
            sample_scores=sample_scores(result, self.namespace),
            metadata=self._facts(model, result),
        )
        return Observation(found, state)

    @override
    def _last_word(
        self, model: nn.Module, moment: Moment, surroundings: Surroundings
    ) -> Observation[PinnedState] | None:
        """Randomize layer by layer, and say what was found."""
        if self.result is None and not self._is_resumed:
            return None
        if self.result is None or surroundings.trainer.global_step != self._tested_step:
            host.rank_zero_info(
                f"{self.namespace}: the weights have changed since the last test, so they are tested now"
            )
            self._test(model, surroundings)
        assert self.result is not None, "tested above"
        for method, words in self.result.verdicts.items():
            host.rank_zero_info(f"{self.namespace}: {method} {words}")
        texts = {f"{self.namespace}/verdicts": self.result.table()}
        pictures: Mapping[str, Picture] = {}
        if self.cascade_at_fit_end:
            try:
                self.cascade, pictures = self._cascade(model, surroundings)
                texts[f"{self.namespace}/cascade"] = self.cascade.steps_table()
            except Exception as error:
                if self.on_error == "raise":
                    raise
                host.rank_zero_warn(
                    f"the cascade is left out ({type(error).__name__}: {error}); the verdicts do not rest on it",
                    category=SaliencyWarning,
                )
        last = Snapshot(
            epoch=moment.epoch,
            step=moment.step,
            stage=moment.stage,
            attributions={},
            scores=scores(self.result, self.namespace),
            sample_scores=sample_scores(self.result, self.namespace),
            metadata=self._facts(model, self.result),
            texts=texts,
        )
        return Observation(last, self.state, pictures)

    def _cascade(
        self, model: nn.Module, surroundings: Surroundings
    ) -> tuple[RandomizationResult, Mapping[str, Picture]]:
        cascade, _ = self._run(model, surroundings, self.cascade_order, self.cascade_draws, random_logit=False)
        pictures = {f"{self.namespace}/{name}/cascade": cascade.plot(methods=[name]) for name in cascade.methods}
        return cascade, {f"{self.namespace}/cascade": cascade.plot(), **pictures}

    def _test(self, model: nn.Module, surroundings: Surroundings) -> tuple[RandomizationResult, PinnedState]:
        self.result, state = self._run(model, surroundings, self.order, self.n_draws, random_logit=self.random_logit)
        self._tested_step = surroundings.trainer.global_step
        return self.result, state

    def _run(
        self, model: nn.Module, surroundings: Surroundings, order: Order, n_draws: int, *, random_logit: bool
    ) -> tuple[RandomizationResult, PinnedState]:
        layers = list(self.state.target_layers) if is_auto(self.settings.target_layers) else []
        settings = replace(
            self.settings,
            target_layers=layers or self.settings.target_layers,
            forward_context=surroundings.forward_context,
        )
        target = resolve_target(self.target, self._probe, self.state.pinned)
        ranks, n_samples = surroundings.ranks, self._probe.size
        settings = ranks.settings(settings, n_samples)
        with ranks.together():
            result = run_test(
                model,
                surroundings.to_device(self._probe.inputs),
                settings,
                target,
                order=order,
                n_draws=n_draws,
                redraw=self.redraw,
                similarities=self.similarities,
                random_logit=random_logit,
            )
        result = result.mapped(ranks.all_samples(settings, n_samples))
        pinned = result.target if self.state.pinned is None else self.state.pinned
        return result, replace(self.state, target_layers=result.target_layers, pinned=pinned)

    def _facts(self, model: nn.Module, result: RandomizationResult) -> Mapping[str, Any]:
        return {
            "model": type(model).__name__,
            "methods": {method.name: repr(method) for method in self.settings.methods},
            "target_layers": list(result.target_layers),
            "probe": self._probe.fingerprint,
            "order": result.order,
            "n_draws": result.n_draws,
            "n_passes": result.n_states * len({one for method in self.settings.methods for one in method.requires()}),
            "not_randomized": list(result.unchanged),
            "verdicts": dict(result.verdicts),
        }
