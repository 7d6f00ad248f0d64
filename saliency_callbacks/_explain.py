"""Explain a model without Lightning."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, overload

from torch import Tensor, nn

from saliency_callbacks.capture.text.settings import TokenSettings
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import DegenerateMapWarning, TargetError
from saliency_callbacks.methods.resolution import resolve_methods
from saliency_callbacks.scores.degeneracy import describe_degenerate
from saliency_callbacks.targets.selectors import Target
from saliency_callbacks.types import Attribution

__all__ = ["explain"]


@overload
def explain(
    model: nn.Module,
    inputs: Any,
    *,
    methods: Any = ...,
    target: Target = ...,
    targets: None = None,
    target_layers: Any = ...,
    reshape_transform: Callable[[Tensor], Tensor] | None = ...,
    output_fn: Callable[[Any], Any] | None = ...,
    attribute_to: int | str | None = ...,
    shared: Sequence[int | str] | None = ...,
    layout: str | None = ...,
    embedding: Any = ...,
    tokenizer: Any = ...,
    internal_batch_size: int | None = ...,
    seed: int = ...,
) -> dict[str, Attribution]: ...


@overload
def explain(
    model: nn.Module,
    inputs: Any,
    *,
    methods: Any = ...,
    target: Target = ...,
    targets: Sequence[Target],
    target_layers: Any = ...,
    reshape_transform: Callable[[Tensor], Tensor] | None = ...,
    output_fn: Callable[[Any], Any] | None = ...,
    attribute_to: int | str | None = ...,
    shared: Sequence[int | str] | None = ...,
    layout: str | None = ...,
    embedding: Any = ...,
    tokenizer: Any = ...,
    internal_batch_size: int | None = ...,
    seed: int = ...,
) -> list[dict[str, Attribution]]: ...


def explain(
    model: nn.Module,
    inputs: Any,
    *,
    methods: Any = ("gradient", "grad_cam"),
    target: Target = "predicted",
    targets: Sequence[Target] | None = None,
    target_layers: Any = "auto",
    reshape_transform: Callable[[Tensor], Tensor] | None = None,
    output_fn: Callable[[Any], Any] | None = None,
    attribute_to: int | str | None = None,
    shared: Sequence[int | str] | None = None,
    layout: str | None = None,
    embedding: Any = None,
    tokenizer: Any = None,
    internal_batch_size: int | None = None,
    seed: int = 0,
) -> dict[str, Attribution] | list[dict[str, Attribution]]:
    """Explain a batch by one or more methods, each distinct pass run once.

    The model is left unchanged, byte for byte: parameters, buffers, plain attributes, ``.grad``, modes, hooks and
    random states, also when an exception interrupts the work. Only parameters that the forward pass itself rewrites
    (through ``.data``, or as ``nn.Embedding(max_norm=…)`` does) are not restored.

    Args:
        model: Any module. It is run in evaluation mode.
        inputs: A tensor ``[N, C, *spatial]`` with 1 to 3 spatial dimensions, or a tuple or dict of tensors. A tensor
            that is not explained and whose first size is N is taken to have one row per sample, unless the model then
            gives a sample different scores than in the whole batch, see ``shared``. With ``embedding``, text inputs:
            token ids ``[N, T]``, alone or in a tuple or dict with masks and everything else that the model takes.
        methods: Names (see :data:`saliency_callbacks.methods.BUILT_IN`) or method objects.
        target: The explained score: a class index, a tensor of class indices ``[N]``, ``"predicted"``, a target of
            :mod:`saliency_callbacks.targets`, or a callable ``output -> [N]``. Class scores are logits, not
            probabilities.
        targets: Several targets per sample, from one forward pass; replaces ``target``.
        target_layers: ``"auto"`` (the last layer with a spatial map and a non-zero gradient), a dotted name, a module,
            or a list of these.
        reshape_transform: ``layer output -> [N, K, *spatial]``, for layers whose layout cannot be inferred.
        output_fn: ``model output -> [N, classes]``, for outputs from which class scores cannot be read directly.
        attribute_to: Position or key of the explained tensor, for tuple and dict inputs.
        shared: Keys or positions of the inputs that all samples share, such as one prompt per class; nested ones are
            joined by dots, ``"text.input_ids"``. They are passed whole, however many rows are run at once. By default
            found by running two samples and the whole batch once, if there are other tensors with N rows.
        layout: Axes of the explained tensor, one letter each: ``"NTCHW"`` for videos with their frames before the
            channels, ``"NCTHW"`` or ``"NCDHW"`` for channels first. By default the channels come second; for five
            dimensions, the model's first convolution decides. ``values`` always have the channels second.
        embedding: For text inputs: the layer that takes the ids, as a dotted name or a module, or ``"auto"`` to find
            it. Gradients are taken at its output, so that ``values`` are ``[N, D, T]`` and maps ``[N, T]``. ``None``
            for everything except text.
        tokenizer: Identifies padding and special tokens, which are left out when maps are scaled. A tokenizer of
            Hugging Face or of ``tokenizers``, a list of tokens, a dictionary between tokens and ids, a function ids →
            tokens, an object with ``pad_token_id``, ``mask_token_id`` or ``all_special_ids``, or the dotted path of one
            of these. Without one, padding is what the attention mask says, or else the layer's ``padding_idx``.
        internal_batch_size: Rows that are run at once; sets the peak memory. ``None`` for as many as there are samples.
        seed: Seed of all noise.

    Returns:
        Method name → attribution; with ``targets`` a list of these, one for each target.

    Raises:
        ConfigurationError: If a method, layer, target, input or output cannot be used; see
            :mod:`saliency_callbacks.errors`.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3, bias=False))
        >>> attribution = explain(model, torch.ones(1, 1, 2, 2), methods="gradient", target=2)["gradient"]
        >>> torch.equal(attribution.values.flatten(), model[1].weight[2])
        True
    """
    settings = Settings(
        methods=resolve_methods(methods),
        target_layers=target_layers,
        reshape_transform=reshape_transform,
        output_fn=output_fn,
        attribute_to=attribute_to,
        shared=shared,
        layout=layout,
        internal_batch_size=internal_batch_size,
        seed=seed,
        tokens=TokenSettings.where_given(embedding, tokenizer),
    )
    found = run_engine(model, inputs, settings, [target] if targets is None else _several(targets))
    for attributions in found.attributions:
        _warn_of_degenerate_maps(attributions.values())
    explained = [Explained(attributions) for attributions in found.attributions]
    return explained[0] if targets is None else list[dict[str, Attribution]](explained)


class Explained(dict[str, Attribution]):
    """Attributions by method; a notebook shows their heatmaps."""

    def _repr_html_(self) -> str:
        # Drawing needs Matplotlib, which explaining does not.
        from saliency_callbacks._html import attributions_html  # noqa: PLC0415

        return attributions_html(self)


def _several(targets: Any) -> list[Target]:
    if isinstance(targets, Tensor):
        return list(targets.reshape(-1)) if targets.ndim < 2 else list(targets)
    if isinstance(targets, Sequence) and not isinstance(targets, str):
        return list(targets)
    raise TargetError(
        f"targets={targets!r} is of type {type(targets).__name__}; expected a list of targets. For one target per "
        "sample use `target=`"
    )


def _warn_of_degenerate_maps(attributions: Iterable[Attribution]) -> None:
    for attribution in attributions:
        message = describe_degenerate(attribution)
        if message:
            warnings.warn(message, DegenerateMapWarning, stacklevel=3)
