"""The layer of a model that embeds the ids of a text's tokens."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.layers.find import find_layers
from saliency_callbacks.capture.text.max_length import check_places, known_lengths
from saliency_callbacks.errors import InputError, LayerError

__all__ = ["EmbeddingLayer", "Layout", "embed", "find_embedding", "is_given", "receives"]

Layout = Literal["batch_first", "sequence_first"]


class EmbeddingLayer(NamedTuple):
    """The layer that embeds the ids.

    Args:
        name: Dotted name.
        module: The layer itself.
        layout: Whether it is given ``[N, T]`` or ``[T, N]``; ``None`` where the ids themselves will tell, or it is
            given both.
    """

    name: str
    module: nn.Module
    layout: Layout | None


def find_embedding(
    model: nn.Module,
    batch: ModelInputs,
    embedding: Any = "auto",
    forward_context: Callable[[], AbstractContextManager[Any]] = nullcontext,
    layout: Layout | None = None,
) -> EmbeddingLayer:
    """Return the layer that embeds the ids of ``batch``.

    ``"auto"`` runs the first text once: it is the one layer that is given its ids and returns a vector for each. Layers
    that are given other integers, such as positions or segments, are not meant. Of nested modules the innermost counts.

    Args:
        model: The model, quiescent.
        batch: The batch; its explained tensor are the ids ``[N, T]``.
        embedding: ``"auto"``, a dotted name, or a module of the model.
        forward_context: Opened around every forward, e.g. for autocast.
        layout: That of the layer, where it is known.

    Raises:
        LayerError: If there is no such layer, or several could be meant.
        InputError: If there are ids that it does not have.
    """
    if not (isinstance(embedding, str) and embedding == "auto"):
        found = find_layers(model, embedding)
        if len(found) > 1:
            raise LayerError(
                f"embedding={list(found)} names {len(found)} layers; expected only the one that takes the ids"
            )
        ((name, layer),) = found.items()
        _check_range(name, layer, batch.explained)
        if layout is None and _may_equal_transpose(batch.explained):
            layout = _traced(model, batch, forward_context).layout(name)
        return EmbeddingLayer(name, layer, layout)
    trace = _traced(model, batch, forward_context)
    layers = trace.innermost()
    if len(layers) != 1:
        raise LayerError(_why_not_one(model, layers, trace))
    name = layers[0]
    layer = model.get_submodule(name)
    _check_range(name, layer, batch.explained)
    return EmbeddingLayer(name, layer, trace.layout(name))


def receives(args: tuple[Any, ...], kwargs: dict[str, Any], ids: Tensor, layout: Layout | None = None) -> Layout | None:
    """Return how a layer that is called so was given ``ids [M, T]``; ``None`` if it was given something else.

    Args:
        args: What it is called with.
        kwargs: What it is called with by name.
        ids: The ids.
        layout: That of the layer, for ids that equal their transpose.
    """
    given = _first_tensor(args, kwargs)
    if given is None or given.is_floating_point() or given.is_complex() or given.ndim != 2:
        return None
    ways: list[tuple[Layout, Tensor]] = [("batch_first", ids), ("sequence_first", ids.T)]
    if layout == "sequence_first":
        ways.reverse()
    return next((way for way, form in ways if given.shape == form.shape and torch.equal(given.to(form), form)), None)


def is_given(args: tuple[Any, ...], kwargs: dict[str, Any], ids: Tensor) -> bool:
    """Return whether a layer that is called so was given ``ids`` themselves or a view of them, not a copy."""
    given = _first_tensor(args, kwargs)
    return given is not None and given.untyped_storage().data_ptr() == ids.untyped_storage().data_ptr()


def embed(name: str, layer: nn.Module, ids: Tensor) -> Tensor:
    """Return what ``layer`` embeds ``ids [N, T]`` as, ``[N, T, D]``.

    Raises:
        LayerError: If it returns anything else.
    """
    try:
        embedded = layer(ids)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        raise LayerError(
            f"layer {name!r} ({type(layer).__name__}) cannot be called with ids alone ({error}); expected a layer "
            "that takes ids and returns one vector per id, such as nn.Embedding. Name that layer with `embedding=`"
        ) from error
    if not isinstance(embedded, Tensor) or not embedded.is_floating_point() or embedded.shape[:-1] != ids.shape:
        shape = list(embedded.shape) if isinstance(embedded, Tensor) else type(embedded).__name__
        raise LayerError(
            f"layer {name!r} ({type(layer).__name__}) returned {shape} for ids {list(ids.shape)}; expected one vector "
            f"per token, {[*ids.shape, 'D']}{_advice(layer)}"
        )
    return embedded


def _first_tensor(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    return next((value for value in chain(args, kwargs.values()) if isinstance(value, Tensor)), None)


def _may_equal_transpose(ids: Tensor) -> bool:
    """Return whether rows of ``ids``, in any number and order, may make a matrix that equals its transpose.

    Its first text then consists of the first tokens of all text inputs; hardly any does.
    """
    return ids.shape[1] > 1 and bool(torch.isin(ids, ids[:, 0]).all(dim=1).any())


@dataclass
class _Trace:
    """What happened to the ids in one forward.

    Args:
        ids: The ids.
        embedding: Layers that were given the ids and returned a vector for each.
        exact: Those that were given the very tensor, or a view of it, not one that happens to be equal.
        others: Name → what other layers made of the ids.
        given: Name → shape of the integers that an embedding layer was given instead.
        layouts: Name → how a layer was given the ids; of a single token that says nothing.
    """

    ids: Tensor
    embedding: list[str] = field(default_factory=list)
    exact: list[str] = field(default_factory=list)
    others: dict[str, str] = field(default_factory=dict)
    given: dict[str, list[int]] = field(default_factory=dict)
    layouts: dict[str, set[Layout]] = field(default_factory=dict)

    def layout(self, name: str) -> Layout | None:
        """Return how a layer was given the ids; ``None`` where that is not known, or it was given them both ways."""
        found = self.layouts.get(name, set())
        return next(iter(found)) if len(found) == 1 else None

    def innermost(self) -> list[str]:
        """Return the layers that are meant: of equal integers, those that are the ids themselves come first."""
        names = list(dict.fromkeys(self.embedding))
        inner = [name for name in names if not any(other.startswith(f"{name}.") for other in names)]
        return [name for name in inner if name in self.exact] or inner


def _traced(model: nn.Module, batch: ModelInputs, forward_context: Callable[[], AbstractContextManager[Any]]) -> _Trace:
    first = torch.arange(1, device=batch.explained.device)
    ids = batch.explained.index_select(0, first)
    trace = _Trace(ids)
    with ExitStack() as stack:
        for name, module in model.named_modules():
            # TorchScript runs no hooks.
            if name and not isinstance(module, torch.jit.ScriptModule):
                check = module.register_forward_pre_hook(partial(_check_ids_of, name, ids), with_kwargs=True)
                note = module.register_forward_hook(partial(_note, trace, name), with_kwargs=True)
                stack.callback(check.remove)
                stack.callback(note.remove)
        stack.enter_context(torch.no_grad())
        stack.enter_context(forward_context())
        with known_lengths(model, ids):
            batch.call(model, ids, first)
    return trace


def _check_ids_of(name: str, ids: Tensor, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    # Before the lookup: on an accelerator an id out of range ends the whole process.
    if not isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return
    if receives(args, kwargs, ids):
        _check_range(name, module, ids)
    elif type(module).forward is nn.Embedding.forward:
        check_places(name, module, _first_tensor(args, kwargs), ids.shape[1])


def _note(
    trace: _Trace,
    name: str,
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    output: Any,
) -> None:
    layout = receives(args, kwargs, trace.ids)
    if layout is None:
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and args and isinstance(args[0], Tensor):
            trace.given[name] = list(args[0].shape)
        return
    if trace.ids.numel() > 1:
        trace.layouts.setdefault(name, set()).add(layout)
    shape = trace.ids.shape if layout == "batch_first" else trace.ids.T.shape
    if isinstance(output, Tensor) and output.is_floating_point() and output.shape[:-1] == shape:
        trace.embedding.append(name)
        if is_given(args, kwargs, trace.ids):
            trace.exact.append(name)
    else:
        made = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
        trace.others[name] = f"{name} ({type(module).__name__}) returned {made}{_advice(module)}"


def _check_range(name: str, layer: nn.Module, ids: Tensor) -> None:
    size = getattr(layer, "num_embeddings", None)
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or (isinstance(size, int) and high >= size):
        wrong = low if low < 0 else high
        raise InputError(
            f"the text inputs have the id {wrong}, but embedding layer {name!r} has {size} (0 to {(size or 0) - 1}); "
            "expected ids from the model's vocabulary. Check that the tokenizer belongs to the model"
        )


def _advice(layer: nn.Module) -> str:
    if isinstance(layer, nn.EmbeddingBag):
        return ". nn.EmbeddingBag adds up the tokens inside; use nn.Embedding and sum over the tokens instead"
    return ""


def _why_not_one(model: nn.Module, layers: list[str], trace: _Trace) -> str:
    if layers:
        return (
            f"{len(layers)} layers of {type(model).__name__} are given the ids of the text inputs: {layers}. Name the "
            "one to explain with `embedding=`"
        )
    message = (
        f"no layer of {type(model).__name__} was given the ids of the text inputs and returned one vector per token"
    )
    # Modules around the layer are given the ids, too; what these return says nothing.
    innermost = [name for name in trace.others if not any(other.startswith(f"{name}.") for other in trace.others)]
    if innermost:
        message += ": " + "; ".join(trace.others[name] for name in innermost)
    elif trace.given:
        message += ": " + "; ".join(f"{name} was given {shape}" for name, shape in trace.given.items())
    return message + (
        ". Expected an embedding layer that takes the ids as they were given; name the tensor of ids with "
        "`attribute_to=`, or leave `embedding=` out for images"
    )
