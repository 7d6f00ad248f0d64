"""The callback that shows which words a model of texts looks at while it trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import nn
from typing_extensions import override

from saliency_callbacks.callbacks.base import ObservingCallback, OnError
from saliency_callbacks.callbacks.runtime import lightning as host
from saliency_callbacks.callbacks.runtime.arguments import checked_choice, checked_number, checked_target
from saliency_callbacks.callbacks.runtime.observation import Moment, Observation, Surroundings
from saliency_callbacks.callbacks.runtime.preconditions import check_labels, check_layers, check_runs
from saliency_callbacks.callbacks.runtime.settings import Precision, checked_settings
from saliency_callbacks.callbacks.saliency.appearance import Appearance, ColorScale
from saliency_callbacks.callbacks.saliency.attempt import attempt
from saliency_callbacks.callbacks.saliency.report import checked_report, write_report
from saliency_callbacks.callbacks.saliency.state import MonitorState
from saliency_callbacks.callbacks.text.explain_probe import TokenLook, TokenObserver
from saliency_callbacks.callbacks.text.probe import texts_of, with_texts
from saliency_callbacks.capture.oom import is_out_of_memory
from saliency_callbacks.config.dotted_paths import resolve_callable, resolve_object
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.errors import SaliencyError
from saliency_callbacks.functional.words import WordReduction
from saliency_callbacks.methods.integrated import IntegratedGradients
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.sinks.disk.retention import KeepMaps
from saliency_callbacks.text.token_texts import TokenTexts, WordFunction
from saliency_callbacks.types import Method, Sink

__all__ = ["TokenSaliencyMonitor"]

_BASELINES = ("pad_token", "mask_token", "zeros")


class TokenSaliencyMonitor(ObservingCallback[MonitorState]):
    """Explain a fixed probe of texts at every validation epoch, and log which words count and how that evolves.

    Gradients are taken at the output of the layer that embeds the ids, which is found by itself, in any model that has
    one: recurrent, convolutional, a transformer of Hugging Face. Masks and all other inputs are fed as they are.
    Sub-words are merged into words. Padding is left out; special tokens are shown apart, and are not scored.

    Logged, with ``{method}`` as in ``methods``:

    ====================================  ================================================================
    ``tokens/{method}``                   picture, and text or HTML: every text, a colour behind each word
    ``tokens/{method}/filmstrip``         picture: one row a word, one column an observation
    ``tokens/{method}/bars``              picture: the scores of one text
    ``tokens/{method}/top_tokens``        text: the words that speak most for each explained class
    ``tokens/{method}/drift_previous``    1 - Spearman with the previous scores; 0 same, 1 unrelated
    ``tokens/{method}/drift_initial``     the same with the scores before training; in [0, 2]
    ``tokens/{method}/entropy``           0 a single word, 1 spread evenly
    ``tokens/{method}/gini``              0 spread evenly, towards 1 concentrated
    ``tokens/probe_accuracy``             accuracy on the probe, in [0, 1]
    ``tokens/probe_confidence``           mean probability of the predicted class, in [0, 1]
    ====================================  ================================================================

    Scalars are means over the texts that have a score, and can be monitored by ``EarlyStopping`` and
    ``ModelCheckpoint``. The scores of all words are kept as safetensors in the run's directory.

    Args:
        methods: Names or method objects: ``gradient_norm`` ‖∂f/∂e‖, ``input_x_gradient`` e·∂f/∂e, with its sign,
            ``integrated_gradients``, ``smooth_grad`` and others of :data:`saliency_callbacks.methods.BUILT_IN`.
        probe: What is explained; a number is the number of texts. Batches are ``(ids, labels)`` or dictionaries with
            ``"input_ids"``, see :func:`~saliency_callbacks.probe.unpack.unpack_batch`.
        tokenizer: A tokenizer of Hugging Face or of ``tokenizers``, a list of tokens, a dictionary between tokens and
            ids, a function ids → tokens, or the dotted path of one of these; see
            :func:`~saliency_callbacks.text.token_texts.token_texts`. Without one, ids are shown as numbers, and special
            tokens are not known.
        embedding: The layer that takes the ids: a dotted name, a module, or ``"auto"``.
        target: As for :class:`SaliencyMonitor`.
        baseline: Where ``integrated_gradients`` begins where it is given by name: every word replaced by padding
            (``"pad_token"``) or by the ``"mask_token"``, or ``"zeros"``.
        merge: How the scores of a word's tokens become one: their ``"sum"``, or the ``"max"`` by magnitude.
        words: A function that tells the words in place of the tokenizer, or its dotted path: from the tokens of one
            text to the number of each one's word, ``None`` for none; see
            :func:`~saliency_callbacks.text.token_texts.token_texts`.
        color_scale: ``shared`` over the epochs for each text, or ``per_map``.
        bars: Position of the text whose scores are drawn as bars; ``None`` for none.
        top: How many top tokens of each class; 0 for no table.
        font: Path of a font for words in scripts that DejaVu Sans lacks.
        output_fn: As for :class:`SaliencyMonitor`.
        attribute_to: Position or key of the ids, for tuple and dict inputs.
        module: As for :class:`SaliencyMonitor`.
        internal_batch_size: As for :class:`SaliencyMonitor`.
        precision: As for :class:`SaliencyMonitor`.
        every_n_epochs: Epochs between two observations.
        class_names: Names of the classes; by default the dataset's.
        save_maps: Whether to keep the scores of all words on disk.
        keep_maps, max_seconds_per_observation: As for :class:`SaliencyMonitor`.
        report: As for :class:`SaliencyMonitor`.
        sinks: As for :class:`SaliencyMonitor`.
        on_error: As for :class:`SaliencyMonitor`.
        namespace: First part of every tag and name of the directory.
        seed: Seed of all noise.
        shard_probe: As for :class:`SaliencyMonitor`.

    Raises:
        ConfigurationError: If an argument cannot be used.
    """

    def __init__(
        self,
        methods: str | Method | Sequence[str | Method] = ("gradient_norm", "input_x_gradient", "integrated_gradients"),
        probe: Probe | int = 16,
        tokenizer: Any = None,
        target: int | str | Callable[..., Any] | None = None,
        *,
        embedding: Any = "auto",
        baseline: str = "pad_token",
        merge: WordReduction = "sum",
        words: str | WordFunction | None = None,
        color_scale: ColorScale = "shared",
        bars: int | None = 0,
        top: int = 10,
        font: str | None = None,
        output_fn: str | Callable[..., Any] | None = None,
        attribute_to: int | str | None = None,
        module: str | None = None,
        internal_batch_size: int | None = None,
        precision: Precision = "trainer",
        every_n_epochs: int = 1,
        class_names: Sequence[str] | None = None,
        save_maps: bool = True,
        keep_maps: KeepMaps = "all",
        max_seconds_per_observation: float | None = None,
        report: bool = False,
        sinks: Sequence[Sink] = (),
        on_error: OnError = "warn",
        namespace: str = "tokens",
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
        self.tokenizer = resolve_object("tokenizer", plain(tokenizer))
        self.words = resolve_callable("words", words)
        self.class_names: Sequence[str] | None = plain(class_names)
        self.report = checked_report(report, save_maps=save_maps)
        self.settings = checked_settings(
            _from_baseline(plain(methods), checked_choice("baseline", baseline, _BASELINES)),
            target_layers="auto",
            reshape_transform=None,
            output_fn=output_fn,
            attribute_to=attribute_to,
            internal_batch_size=internal_batch_size,
            precision=precision,
            seed=seed,
            embedding="auto" if embedding is None else embedding,
            tokenizer=self.tokenizer,
        )
        self.look = TokenLook(
            merge=checked_choice("merge", merge, ("sum", "max")),
            signed=frozenset(method.name for method in self.settings.methods if _has_sign(method)),
            shared_scale=checked_choice("color_scale", color_scale, ("shared", "per_map")) == "shared",
            bars=None if bars is None else checked_number("bars", bars, least=0),
            top=checked_number("top", top, least=0),
            font=font,
        )
        self._texts: TokenTexts | None = None
        self._observer: TokenObserver | None = None

    @override
    def teardown(self, trainer: host.Trainer, pl_module: host.LightningModule, stage: str) -> None:
        """Wait until everything is written, and make a report of it."""
        super().teardown(trainer, pl_module, stage)
        if self.report and stage == "fit" and self._has_trained and self._outlets is not None:
            write_report(trainer, self._outlets.run_directory, self.on_error)

    @override
    def _new_state(self) -> MonitorState:
        return MonitorState()

    @override
    def _check_model(self, model: nn.Module) -> None:
        assert self.settings.tokens is not None, "made for texts"
        check_layers(model, self.settings.tokens.embedding)

    @override
    def _accept_probe(self, probe: ProbeBatch) -> None:
        check_labels(probe, self.target)
        self._texts = None if self.tokenizer is None else texts_of(probe, self.settings, self.tokenizer, self.words)
        self._observer = None

    @override
    def _observe(self, model: nn.Module, moment: Moment, surroundings: Surroundings) -> Observation[MonitorState]:
        if self._observer is None:
            self._observer = self._made_for(model, surroundings)
        observation, _ = attempt(self._observer, model, moment, self.state, surroundings, may_simplify=False)
        return observation

    def _made_for(self, model: nn.Module, surroundings: Surroundings) -> TokenObserver:
        inputs = surroundings.to_device(self._probe.inputs)
        settings = replace(self.settings, forward_context=surroundings.forward_context)
        try:
            settings, texts = with_texts(model, inputs, self._probe, settings, self._texts, self.words)
        except SaliencyError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            check_runs(model, inputs, settings, surroundings.forward_context)
            raise
        return TokenObserver(
            settings=settings,
            target=self.target,
            probe=self._probe,
            appearance=Appearance(),
            namespace=self.namespace,
            class_names=self.class_names,
            texts=texts,
            look=self.look,
        )


def _from_baseline(methods: Any, baseline: str) -> Any:
    """Return methods in which integrated gradients by name begin at ``baseline``."""
    given = methods if isinstance(methods, Sequence) and not isinstance(methods, str) else [methods]
    named = {
        "integrated_gradients": IntegratedGradients(baselines=baseline),
        "smooth_integrated_gradients": IntegratedGradients(baselines=baseline, nt_samples=10),
    }
    return [named.get(method, method) if isinstance(method, str) else method for method in given]


def _has_sign(method: Method) -> bool:
    return getattr(method, "reduction", "sum") == "sum"
