"""The autograd graph of one forward, read as the way of the data from the explained input to the score.

Module names say nothing certain about a model, and shapes little: a picture of 8×8 patches and 64 queries look alike.
How they came about tells them apart, and the autograd graph has it all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, cached_property

from torch import Tensor
from torch.autograd.graph import Node, get_gradient_edge

__all__ = [
    "BATCHED_PRODUCTS",
    "Dataflow",
    "is_kind",
    "is_product_of_activations",
    "keeps_positions",
    "mixes_channels",
    "node_of",
    "picks",
]

Passes = Callable[[Node, int], bool]
"""``(node, which of its inputs)`` → whether a path may go through there."""

# Matrix products, and where their left factor is among their inputs; the right one comes next.
_PRODUCTS = {"Addmm": 1, "Baddbmm": 1, "Addbmm": 1, "Bmm": 0, "Mm": 0}
BATCHED_PRODUCTS = ("Bmm", "Baddbmm")
_ATTENTION = ("ScaledDotProduct", "ScaledDotProductAttention")
_MIXING = (*_PRODUCTS, "Linear", "MkldnnLinear", "Mv", "Convolution", *_ATTENTION)
_REARRANGING = (
    "AsStrided",
    "Col2Im",
    "Im2Col",
    "Permute",
    "ReshapeAlias",
    "Select",
    "Squeeze",
    "Swapaxes",
    "T",
    "Transpose",
    "Unfold",
    "UnsafeView",
    "Unsqueeze",
    "View",
)
_PICKING = ("Gather", "Index", "IndexSelect", "Sort", "Take", "TakeAlongDim", "Topk")


class Dataflow:
    """The graph below a score, or any other tensor of it.

    Args:
        score: What is explained, one number as a rule.
    """

    def __init__(self, score: Tensor) -> None:
        self.nodes = _ordered(score.grad_fn)
        """Every node after all that use its result; the score's own comes first."""

    def reaching(self, sources: Iterable[Node], passes: Passes = lambda node, position: True) -> set[Node]:
        """Return the nodes that have a path to one of ``sources``, themselves among them."""
        reaching = set(sources)
        for node in reversed(self.nodes):
            if node not in reaching and any(
                function in reaching and passes(node, position)
                for position, (function, _) in enumerate(node.next_functions)
            ):
                reaching.add(node)
        return reaching

    def inside_attention(self, dependent: set[Node]) -> set[Node]:
        """Return queries, keys, values and attention weights: from the products of an attention to the projections.

        What an attention reads is normalized and projected; the walk back from a product of two activations ends with
        the projection. What ends in several is a residual stream that is multiplied as it is, and stays outside.

        Args:
            dependent: Nodes that depend on the explained input; all others are weights.
        """
        waiting = [
            factor
            for node in self.nodes
            if is_product_of_activations(node, dependent) and _is_attention(node, dependent)
            for factor in _factors(node, dependent)
        ]
        inside: set[Node] = set()
        seen: set[Node] = set()
        while waiting:
            start = waiting.pop()
            if start not in seen:
                seen.add(start)
                region = _Region(start, dependent)
                waiting += region.further
                if region.n_projections == 1 or region.has_product:
                    inside |= region.nodes
        return inside

    def leads_in_place(self, node: Node, known: set[Node]) -> bool:
        """Whether layers of space alone lead from a node of ``known`` to ``node``."""
        waiting, seen = [node], {node}
        while waiting:
            current = waiting.pop()
            if current in known:
                return True
            if _keeps_places(current):
                inputs = {function for function, _ in current.next_functions if function is not None} - seen
                seen |= inputs
                waiting += inputs
        return False

    @cached_property
    def users(self) -> dict[Node, list[tuple[Node, int]]]:
        """Node → the nodes that use its result, and as which of their inputs."""
        users: dict[Node, list[tuple[Node, int]]] = {}
        for node in self.nodes:
            for position, (function, _) in enumerate(node.next_functions):
                if function is not None:
                    users.setdefault(function, []).append((node, position))
        return users


class _Region:
    """What leads to a factor of an attention's product, back to the projections.

    Args:
        start: The factor.
        dependent: Nodes that depend on the explained input.
    """

    def __init__(self, start: Node, dependent: set[Node]) -> None:
        self.nodes: set[Node] = set()
        self.n_projections = 0
        self.has_product = False
        self.further: list[Node] = []
        is_weighted = False
        waiting = [start]
        while waiting:
            node = waiting.pop()
            if node in self.nodes:
                continue
            self.nodes.add(node)
            is_weighted |= is_kind(node, ("Softmax",))
            # Learned queries meet the keys before a softmax, too.
            if is_product_of_activations(node, dependent) or (is_weighted and is_kind(node, BATCHED_PRODUCTS)):
                self.has_product = True
                self.further += _factors(node, dependent)
            elif mixes_channels(node):
                self.n_projections += 1
            elif is_kind(node, ("Cat", "Stack")):
                self.further += _inputs(node, dependent)
            else:
                waiting += _inputs(node, dependent)


def node_of(tensor: Tensor) -> Node:
    """Return the node that a gradient with respect to ``tensor`` arrives at."""
    return get_gradient_edge(tensor).node


def mixes_channels(node: Node) -> bool:
    """Whether a step weighs channels with each other: a projection or a convolution, though not one of each channel."""
    if not is_kind(node, _MIXING):
        return False
    weight = getattr(node, "_saved_weight", None)
    return not (isinstance(weight, Tensor) and weight.shape[1] == 1 and node._saved_groups == weight.shape[0])  # type: ignore[attr-defined] # noqa: SLF001


def _keeps_places(node: Node) -> bool:
    """Whether a step leaves the places of a map where they are: it neither reshapes nor multiplies."""
    return not is_kind(node, _REARRANGING) and not is_kind(node, _PICKING) and not _is_product(node)


def keeps_positions(node: Node, position: int) -> bool:
    """Whether the positions of a result are those of this input: in a product, those of the left factor are.

    So the output of an attention has the positions of its queries, whatever its keys and values are.
    """
    if is_kind(node, _ATTENTION):
        return position == 0
    left = next((left for name, left in _PRODUCTS.items() if is_kind(node, (name,))), None)
    return left is None or position <= left


def picks(node: Node) -> bool:
    """Whether a step picks or reorders positions by index."""
    return is_kind(node, _PICKING)


def _ordered(root: Node | None) -> list[Node]:
    after: list[Node] = []
    seen: set[Node] = set()
    waiting: list[tuple[Node, bool]] = [] if root is None else [(root, False)]
    while waiting:
        node, is_done = waiting.pop()
        if is_done:
            after.append(node)
        elif node not in seen:
            seen.add(node)
            waiting.append((node, True))
            waiting += [(function, False) for function, _ in node.next_functions if function is not None]
    return after[::-1]


def is_kind(node: Node, names: Iterable[str]) -> bool:
    """Whether a step is one of some operations, by the names that torch gives their backward without ``Backward0``."""
    return _kind(node.name()) in names


@cache
def _kind(name: str) -> str:
    # "AddmmBackward0" is kind "Addmm"; the scaled products of attention differ by device, and are one.
    kind = name.rpartition("Backward")[0]
    return "ScaledDotProduct" if kind.startswith("ScaledDotProduct") else kind


def _is_product(node: Node) -> bool:
    return is_kind(node, (*_PRODUCTS, "Mv", "Linear", "MkldnnLinear", *_ATTENTION))


def _inputs(node: Node, dependent: set[Node]) -> list[Node]:
    return [function for function, _ in node.next_functions if function in dependent]


def _factors(node: Node, dependent: set[Node]) -> list[Node]:
    first = 1 if is_kind(node, ("Baddbmm",)) else 0
    return [function for function, _ in node.next_functions[first:] if function in dependent]


def is_product_of_activations(node: Node, dependent: set[Node]) -> bool:
    """Whether a step multiplies two things that depend on the input, or is an attention of them."""
    if is_kind(node, _ATTENTION):
        return node in dependent
    return is_kind(node, BATCHED_PRODUCTS) and len(_factors(node, dependent)) == 2


def _is_attention(node: Node, dependent: set[Node]) -> bool:
    """Whether one factor is itself made of a product or of weights that sum to one, or was until one projection ago."""
    if is_kind(node, _ATTENTION):
        return True
    seen: set[Node] = set()
    waiting = [(factor, 1) for factor in _factors(node, dependent)]
    while waiting:
        found, n_left = waiting.pop()
        if found in seen:
            continue
        seen.add(found)
        if is_kind(found, ("Softmax", *BATCHED_PRODUCTS, *_ATTENTION)):
            return True
        n_left -= mixes_channels(found)
        if n_left >= 0:
            waiting += [(function, n_left) for function in _inputs(found, dependent)]
    return False
