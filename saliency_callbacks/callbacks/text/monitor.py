"""The callback that shows which words a model looks at while it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from torch import nn
from typing_extensions import override

from saliency_callbacks.callbacks.base import ObservingCallback
from saliency_callbacks.callbacks.outputs import check_target, told
from saliency_callbacks.callbacks.runtime.appearance import Appearance
from saliency_callbacks.callbacks.runtime.arguments import OnError, checked_target
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.observation import Moment, Observation
from saliency_callbacks.callbacks.runtime.preconditions import check_labels, check_methods
from saliency_callbacks.callbacks.runtime.settings import Compute, ModelReading, Storage, engine_settings, settings_of
from saliency_callbacks.callbacks.saliency.report import checked_report, write_report
from saliency_callbacks.callbacks.saliency.state import MonitorState
from saliency_callbacks.callbacks.saliency.streaming.capacity import text_footprint
from saliency_callbacks.callbacks.saliency.streaming.probe import StreamedProbe
from saliency_callbacks.callbacks.shared_pass.wish import Wish
from saliency_callbacks.callbacks.streaming.capacity import Footprints
from saliency_callbacks.callbacks.text.appearance import TextAppearance
from saliency_callbacks.callbacks.text.explain_probe import TextExplainer
from saliency_callbacks.callbacks.text.probe import texts_of
from saliency_callbacks.config.dotted_paths import resolve_callable, resolve_object
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.methods.integrated import IntegratedGradients
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.text.token_texts import WordFunction
from saliency_callbacks.types import AnyMethod, Sink

__all__ = ["TokenSaliencyMonitor"]


class TokenSaliencyMonitor(ObservingCallback[MonitorState]):
    """Explain a fixed probe of text inputs at every validation epoch, and log which words matter and how that evolves.

    Gradients are taken at the output of the layer that embeds the token ids, which is found in any model that has one:
    recurrent, convolutional, a transformer of Hugging Face. Masks and all other inputs are passed through unchanged.
    Subwords are merged into words. Padding is left out; special tokens are shown separately and not scored.

    Logged, with ``{method}`` as in ``methods``:

    ====================================  ====================================================================
    ``tokens/{method}``                   picture, and text or HTML: every text input, a color behind each word
    ``tokens/{method}/filmstrip``         picture: one row per word, one column per observation
    ``tokens/{method}/bars``              picture: the scores of one text input
    ``tokens/{method}/top_tokens``        text: the words with the most evidence for each explained class
    ``tokens/classes``                    table: mean and quantiles of every score by class (*)
    ``tokens/{method}/drift_previous``    1 - Spearman with the previous scores; 0: same, 1: unrelated
    ``tokens/{method}/drift_initial``     the same with the scores before training; in [0, 2]
    ``tokens/{method}/entropy``           0: a single word, 1: spread evenly
    ``tokens/{method}/gini``              0: spread evenly, towards 1: concentrated
    ``tokens/probe_accuracy``             accuracy on the probe, in [0, 1]
    ``tokens/probe_confidence``           mean probability of the predicted class, in [0, 1]
    ====================================  ====================================================================

    (*) Of a probe with more than ``Probe(shown=64)`` samples. The others are read, explained and scored a few at a
    time: scores are means over all samples, but drift and the top tokens are those of the shown ones.

    Scalars are means over the text inputs that have a score, and can be monitored by ``EarlyStopping`` and
    ``ModelCheckpoint``. The scores of all words are kept as safetensors in the run's directory.

    Args:
        methods: Names or method objects: ``gradient_norm`` ‖∂f/∂e‖, ``input_x_gradient`` e·∂f/∂e, with its sign,
            ``integrated_gradients``, ``smooth_grad`` and others of :data:`saliency_callbacks.methods.BUILT_IN`. By
            name, integrated gradients start from a text in which every word is replaced by padding; another baseline is
            ``IntegratedGradients(baselines="mask_token")`` or ``"zeros"``.
        probe: What is explained: a :class:`~saliency_callbacks.probe.probe.Probe`, or the number of samples to take
            from the validation data. Batches are ``(ids, labels)`` or dictionaries with ``"input_ids"``, see
            :func:`~saliency_callbacks.probe.unpack.unpack_batch`.
        tokenizer: A tokenizer of Hugging Face or of ``tokenizers``, a list of tokens, a dictionary between tokens and
            ids, a function ids → tokens, or the dotted path of one of these; see
            :func:`~saliency_callbacks.text.token_texts.token_texts`. Without one, ids are shown as numbers, and special
            tokens are not known.
        target: The explained score: ``"label"``, ``"initial_prediction"`` (both stay the same over time),
            ``"predicted"``, a class index, a target of :mod:`saliency_callbacks.targets`, or a callable ``output ->
            [N]``. By default the label if the probe has labels, else the initial prediction.
        words: A function that defines words in place of the tokenizer, or its dotted path: from the tokens of one text
            input to the word index of each, ``None`` for tokens without a word; see
            :func:`~saliency_callbacks.text.token_texts.token_texts`.
        every_n_epochs: Epochs between two observations.
        reading: How the model is read: ``ModelReading(module, output_fn, attribute_to, shared, outputs,
            embedding)``; the embedding layer is found by default.
        compute: What an observation may cost: ``Compute(internal_batch_size, precision, max_seconds_per_observation,
            shard_probe, seed)``.
        appearance: How text inputs are shown: ``TextAppearance(merge, color_scale, bars, top, font, class_names)``.
        storage: What is kept on disk: ``Storage(save_maps, keep_maps, directory)``.
        report: Whether to make one HTML file, ``report.html`` in the run's directory, of all that the run's callbacks
            kept on disk, when fit ends without an exception. Needs ``storage.save_maps``.
        sinks: Additional outputs besides the run's loggers: objects with ``write(snapshot, pictures)``.
        on_error: ``"warn"`` skips a failed observation, ``"raise"`` stops the training. An invalid configuration always
            raises, before the first training step.
        namespace: First part of every tag and name of the directory; must differ between the monitors of a Trainer.

    Raises:
        ConfigurationError: If an argument cannot be used.

    Example:
        >>> from saliency_callbacks import TextAppearance, TokenSaliencyMonitor
        >>> vocabulary = ["[PAD]", "a", "dull", "film"]
        >>> monitor = TokenSaliencyMonitor(tokenizer=vocabulary, appearance=TextAppearance(top=5))
        >>> # trainer = L.Trainer(callbacks=[monitor])
    """

    state_type = MonitorState
    kinds: ClassVar[Mapping[str, type]] = {
        "reading": ModelReading,
        "compute": Compute,
        "appearance": TextAppearance,
        "storage": Storage,
    }
    renamed: ClassVar[Mapping[str, str]] = {"baseline": "methods=[IntegratedGradients(baselines=…)]"}

    def __init__(
        self,
        methods: str | AnyMethod | Sequence[str | AnyMethod] = (
            "gradient_norm",
            "input_x_gradient",
            "integrated_gradients",
        ),
        probe: Probe | int = 16,
        tokenizer: Any = None,
        target: int | str | Callable[..., Any] | None = None,
        *,
        words: str | WordFunction | None = None,
        every_n_epochs: int = 1,
        reading: ModelReading = ModelReading(),
        compute: Compute = Compute(),
        appearance: TextAppearance = TextAppearance(),
        storage: Storage = Storage(),
        report: bool = False,
        sinks: Sequence[Sink] = (),
        on_error: OnError = "warn",
        namespace: str = "tokens",
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
        if self.reading.reshape_transform is not None:
            raise ConfigurationError(
                "reading.reshape_transform is for class activation maps of images; expected None, because text inputs "
                "are explained at the layer that embeds their tokens. Leave it out, or name that layer with "
                "`embedding`"
            )
        if self.reading.layout is not None:
            raise ConfigurationError(
                f"reading.layout={self.reading.layout!r} is for images, signals and volumes; expected None, because "
                "text inputs are ids [N, T]. Leave it out"
            )
        self.target = checked_target(target)
        given = self.reading.tokenizer if tokenizer is None else tokenizer
        self.tokenizer = resolve_object("tokenizer", plain(given))
        self.words = resolve_callable("words", words)
        self.appearance = settings_of(TextAppearance, "appearance", appearance)
        self.report = checked_report(report, save_maps=self.storage.save_maps)
        embedding = "auto" if self.reading.embedding is None else self.reading.embedding
        self.settings = engine_settings(
            _from_padding(plain(methods)),
            replace(self.reading, embedding=embedding),
            self.compute,
            on_error,
            tokenizer=self.tokenizer,
        )
        self._explainer: TextExplainer | None = None

    @override
    def _on_closed(self, host: Host) -> None:
        if self.report and self._writer is not None:
            write_report(host, self._writer, f"{self.identity}/report", self.on_error)

    @override
    def _check_model(self, model: nn.Module) -> None:
        check_methods(model, self.settings)

    @override
    def _footprint(self, host: Host) -> Footprints:
        return partial(text_footprint, n_methods=len(self.settings.methods))

    @override
    def _accept_probe(self, probe: ProbeBatch, host: Host) -> None:
        check_labels(probe, self.target)
        check_target(self.target, told(probe, self.settings, self.appearance.class_names))
        look = Appearance(class_names=self.appearance.class_names)
        stream = None if self._others is None else StreamedProbe(self._others, look, self.namespace)
        texts = None if self.tokenizer is None else texts_of(probe, self.settings, self.tokenizer, self.words)
        self._explainer = TextExplainer(
            self.settings,
            self.target,
            probe,
            look,
            self.namespace,
            outputs=self._outputs,
            stream=stream,
            look=self.appearance,
            texts=texts,
            tokenizer=self.tokenizer,
            words=self.words,
        )

    @override
    def _observe(self, model: nn.Module, moment: Moment, host: Host) -> Observation[MonitorState]:
        assert self._explainer is not None, "made when the probe was accepted"
        explain = partial(self._explained, moment=moment, host=host)
        return self._explainer.observe(model, moment, self.state, host, explain, self._peers(host))

    @override
    def _wish(self, model: nn.Module, host: Host) -> Wish | None:
        return None if self._explainer is None else self._explainer.wish(model, self.state, host)


def _from_padding(methods: Any) -> Any:
    """Return methods in which integrated gradients by name begin at padding."""
    given = methods if isinstance(methods, Sequence) and not isinstance(methods, str) else [methods]
    named = {
        "integrated_gradients": IntegratedGradients(baselines="pad_token"),
        "smooth_integrated_gradients": IntegratedGradients(baselines="pad_token", nt_samples=10),
    }
    return [named.get(method, method) if isinstance(method, str) else method for method in given]
