"""On which side of the patch tokens a model puts its own: class and register tokens in front, others behind."""

from __future__ import annotations

from collections import deque

from torch.autograd.graph import Node

from saliency_callbacks.capture.layers.dataflow import is_kind
from saliency_callbacks.capture.layers.trace import Trace

__all__ = ["leading_tokens"]


def leading_tokens(trace: Trace, node: Node, n_extra: int) -> int | None:
    """Return how many of ``n_extra`` tokens that are no patches come in front of them.

    Tokens of the model's own are no function of the explained input where they are joined to its patches.

    Args:
        trace: The forward.
        node: A sequence with ``n_extra`` more tokens than patches.
        n_extra: How many.

    Returns:
        The number; ``None`` where tokens were put on both sides and their numbers are not known.
    """
    before: list[int | None] = []
    behind: list[int | None] = []
    waiting, seen = deque([node]), {node}
    while waiting and _total(before, behind) < n_extra:
        current = waiting.popleft()
        inputs = current.next_functions
        positioned = [position for position, (function, _) in enumerate(inputs) if function in trace.positioned]
        if is_kind(current, ("Cat",)) and 0 < len(positioned) < len(inputs):
            sizes = [_size(current, *source) for source in inputs]
            before += sizes[: positioned[0]]
            behind += sizes[positioned[-1] + 1 :]
        for position in positioned:
            function = inputs[position][0]
            if function is not None and function not in seen:
                seen.add(function)
                waiting.append(function)
    if not behind:
        return n_extra
    if not before:
        return 0
    known = [size for size in before if size is not None]
    return sum(known) if len(known) == len(before) else None


def _total(before: list[int | None], behind: list[int | None]) -> int:
    return sum(size or 0 for size in (*before, *behind))


def _size(cat: Node, source: Node | None, number: int) -> int | None:
    """Return the length of what is joined, which torch does not tell of frozen tokens."""
    metadata = getattr(source, "_input_metadata", None)
    if metadata is None or source is None:
        return None
    shape = metadata[number].shape
    dim = cat._saved_dim  # type: ignore[attr-defined] # noqa: SLF001
    return int(shape[dim - 2**64 if dim >= 2**63 else dim])
