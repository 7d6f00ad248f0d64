"""On which side of the patch tokens a model puts its own: class and register tokens in front, others behind."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from torch.autograd.graph import Node

from saliency_callbacks.capture.layers.dataflow import is_kind
from saliency_callbacks.capture.layers.trace import Trace

__all__ = ["ExtraTokens"]


class _Joined(NamedTuple):
    """Lengths of what is joined before and behind something of the explained input; ``None`` where not known."""

    before: list[int | None]
    behind: list[int | None]


class ExtraTokens:
    """Tokens that are no patches: no function of the explained input, where they are joined to its patches.

    Args:
        trace: The forward.
    """

    def __init__(self, trace: Trace) -> None:
        self._positioned = trace.positioned
        joined = {node: self._joined(node) for node in trace.flow.nodes if is_kind(node, ("Cat",))}
        self._joins = {node: join for node, join in joined.items() if join.before or join.behind}

    def leading(self, node: Node, n_extra: int) -> int | None:
        """Return how many of ``n_extra`` tokens that are no patches come in front of them.

        Args:
            node: A sequence with ``n_extra`` more tokens than patches.
            n_extra: How many.

        Returns:
            The number; ``None`` where tokens were put on both sides and their numbers are not known.
        """
        if not any(join.behind for join in self._joins.values()):
            return n_extra
        joins = self._nearest(node, n_extra)
        before = [size for join in joins for size in join.before]
        if not any(join.behind for join in joins):
            return n_extra
        known = [size for size in before if size is not None]
        return sum(known) if len(known) == len(before) else None

    def _nearest(self, node: Node, n_extra: int) -> Sequence[_Joined]:
        """Return the joins on the way to ``node``, the last one first, until they account for all extra tokens."""
        found: list[_Joined] = []
        n_left = n_extra
        waiting, seen = deque([node]), {node}
        while waiting and n_left > 0:
            current = waiting.popleft()
            if current in self._joins:
                found.append(self._joins[current])
                n_left -= sum(size or 0 for side in found[-1] for size in side)
            for function, _ in current.next_functions:
                if function is not None and function in self._positioned and function not in seen:
                    seen.add(function)
                    waiting.append(function)
        return found

    def _joined(self, cat: Node) -> _Joined:
        positioned = [
            position for position, (function, _) in enumerate(cat.next_functions) if function in self._positioned
        ]
        if not positioned:
            return _Joined([], [])
        sizes = [_size(cat, function, number) for function, number in cat.next_functions]
        return _Joined(sizes[: positioned[0]], sizes[positioned[-1] + 1 :])


def _size(cat: Node, source: Node | None, number: int) -> int | None:
    """Return the length of what is joined, which torch does not tell of frozen tokens."""
    metadata = getattr(source, "_input_metadata", None)
    if metadata is None or source is None:
        return None
    shape = metadata[number].shape
    dim = cat._saved_dim  # type: ignore[attr-defined] # noqa: SLF001
    return int(shape[dim - 2**64 if dim >= 2**63 else dim])
