"""Reading class scores from whatever a model returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from saliency_callbacks.config.nested import describe
from saliency_callbacks.errors import OutputError
from saliency_callbacks.targets.suggestion import suggested_target

__all__ = ["as_two_classes", "read_logits"]


def as_two_classes(logits: Tensor) -> Tensor:
    """Return logits ``[N, classes, …]`` in which a single one z of each position is two classes, -z and z.

    Example:
        >>> as_two_classes(torch.tensor([[2.0]]))
        tensor([[-2.,  2.]])
    """
    return logits if logits.shape[1] > 1 else torch.cat([-logits, logits], dim=1)


def read_logits(output: Any, output_fn: Callable[[Any], Any] | None = None) -> Tensor:
    """Return the class scores ``[N, classes]`` of a model output.

    Without ``output_fn``: the output itself, its ``.logits``, its ``"logits"`` entry, or the only tensor of rank two
    in a tuple or dict. A single score for each sample, ``[N]``, is read as one class.

    Args:
        output: What the model returned.
        output_fn: ``output -> [N, classes]``.

    Raises:
        OutputError: If no ``[N, classes]`` tensor is found.
    """
    if output_fn is not None:
        output = output_fn(output)
    logits = _find(output)
    if logits is None or not logits.is_floating_point():
        source = "output_fn returned" if output_fn is not None else "the model returned"
        raise OutputError(
            f"{source} {describe(output)}; expected class scores [N, classes]. {suggested_target(output)}Give "
            f"`output_fn=` (output -> [N, classes]){_example(output)}, or a callable `target` (output -> score [N])"
        )
    return logits


def _example(output: Any) -> str:
    """Return an ``output_fn`` for scores of every pixel ``[N, classes, *spatial]``, where the output has them."""
    entries: Any = output.items() if isinstance(output, Mapping) else ()
    parts = [("", output), *((f"[{key!r}]", value) for key, value in entries)]
    if isinstance(output, tuple | list):
        parts.extend((f"[{place}]", value) for place, value in enumerate(output))
    dense = [(path, part) for path, part in parts if isinstance(part, Tensor) and part.ndim > 2]
    if not dense:
        return ""
    path, part = dense[0]
    dims = ", ".join(map(str, range(2, part.ndim))) + ("," if part.ndim == 3 else "")
    return (
        f", for the mean score of each class over all positions `lambda output: output{path}.mean(dim=({dims}))`, in "
        "a callback ModelReading(output_fn=…)"
    )


def _find(output: Any) -> Tensor | None:
    if isinstance(output, Tensor):
        return output.unsqueeze(1) if output.ndim == 1 else output if output.ndim == 2 else None
    named = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(named, Tensor):
        return _find(named)
    items = output.values() if isinstance(output, Mapping) else output if isinstance(output, (tuple, list)) else ()
    matrices = [item for item in items if isinstance(item, Tensor) and item.ndim == 2]
    return matrices[0] if len(matrices) == 1 else None
