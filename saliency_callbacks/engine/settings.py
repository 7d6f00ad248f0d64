"""How a model is explained, whatever the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from torch import Tensor, nn

from saliency_callbacks.capture.axes import checked_layout
from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.isolation.arithmetic import UNCHANGED, Arithmetic
from saliency_callbacks.capture.isolation.context import quiescence
from saliency_callbacks.capture.isolation.full_precision import full_precision, undone, widened
from saliency_callbacks.capture.isolation.grad_mode import through_no_grad
from saliency_callbacks.capture.oom import BackOff
from saliency_callbacks.capture.text.inputs import TokenInputs
from saliency_callbacks.capture.text.settings import TokenSettings, read_ids
from saliency_callbacks.config.checks import checked_integer, checked_shared
from saliency_callbacks.config.recorded import recorded_settings
from saliency_callbacks.errors import InputError
from saliency_callbacks.targets.named import NamedTarget
from saliency_callbacks.targets.selectors import Target
from saliency_callbacks.types import AnyMethod

__all__ = ["Settings", "count_samples"]

_Found = TypeVar("_Found")


def _alone(is_open: Tensor) -> Tensor:
    return is_open


@dataclass(frozen=True)
class Settings:
    """How a model is explained, whatever the batch.

    Args:
        methods: What is computed.
        target_layers: ``"auto"``, a dotted name, a module of the model, or a list of these.
        reshape_transform: ``layer output -> [N, K, *spatial]``; ``None`` infers channels and tokens.
        output_fn: ``model output -> [N, classes]``.
        attribute_to: Position or key of the explained tensor, for tuple and dict inputs.
        shared: Keys or positions of what all samples share; ``None`` where that is not known.
        layout: Axes of the explained tensor, e.g. ``"NTCHW"``; ``None`` where that is not known.
        internal_batch_size: Rows that are run at once; ``None`` for all samples at once.
        seed: Seed of all noise, from 0 up to 2**63 - 1.
        forward_context: Opened around every forward, e.g. for autocast.
        samples: Which samples of the batch are run, where others are run elsewhere; all by default. What is found is
            about these alone; targets, and what a callable target is told of the samples, are about the whole batch.
        tokens: How text inputs are explained; ``None`` for images, signals and volumes.
        back_off: Runs fewer rows at once where the memory is not enough; ``None`` to raise what was raised.
        through_no_grad: Whether gradients are recorded through the model's own ``no_grad`` and inference-mode blocks.
        on_any_rank: Which samples ``[M]`` one process runs again → which all of them do, where every forward is a
            collective.
        full_precision: Whether what is float16 or bfloat16 (inputs, weights, autocast) is run in float32.
        arithmetic: In which type and memory format maps are computed, where ``full_precision`` is not asked for.
        disturbed: (explained inputs or embeddings ``[N, C, *spatial]``, which positions hold anything) → what is fed in
            their place; ``None`` for themselves.
        is_fast: Whether ``arithmetic`` is to be the fastest one that changes no map much; see
            :func:`~saliency_callbacks.engine.fastest.fastest`.
        leaves_out_failing: Whether a method that runs the model itself, and fails, is left out with a warning, where
            others are found.
    """

    methods: tuple[AnyMethod, ...]
    target_layers: Any = "auto"
    reshape_transform: Callable[[Tensor], Tensor] | None = None
    output_fn: Callable[[Any], Any] | None = None
    attribute_to: int | str | None = None
    shared: Sequence[int | str] | None = None
    layout: str | None = None
    internal_batch_size: int | None = None
    seed: int = 0
    forward_context: Callable[[], AbstractContextManager[Any]] = nullcontext
    samples: range | None = None
    tokens: TokenSettings | None = None
    back_off: BackOff | None = field(default=None, compare=False)
    on_any_rank: Callable[[Tensor], Tensor] = field(default=_alone, compare=False)
    full_precision: bool = False
    through_no_grad: bool = False
    arithmetic: Arithmetic = UNCHANGED
    is_fast: bool = False
    leaves_out_failing: bool = False
    disturbed: Callable[[Tensor, Tensor | None], Tensor] | None = None

    def __post_init__(self) -> None:
        if self.internal_batch_size is not None:
            expected = "a positive number of rows, or None for all samples at once"
            size = checked_integer(
                "internal_batch_size", self.internal_batch_size, 1, expected=expected, error=InputError
            )
            object.__setattr__(self, "internal_batch_size", size)
        expected = "an integer from 0 up to 2**63 - 1"
        seed = checked_integer("seed", self.seed, 0, 2**63 - 1, expected=expected, error=InputError)
        object.__setattr__(self, "seed", seed)
        object.__setattr__(self, "shared", checked_shared(self.shared))
        object.__setattr__(self, "layout", checked_layout(self.layout))

    def recorded_methods(self) -> dict[str, str]:
        """Return what a record of the run keeps of each method, by name."""
        return {method.name: recorded_settings(method) for method in self.methods}

    def samples_of(self, n_samples: int) -> range:
        """Return which of ``n_samples`` are run."""
        return range(n_samples) if self.samples is None else self.samples

    def rows_at_once(self, n_samples: int) -> int:
        """Return how many rows of a batch of ``n_samples`` are run at once."""
        return self.internal_batch_size or len(self.samples_of(n_samples))

    def backward_context(self) -> AbstractContextManager[Any]:
        """Return what is opened while gradients are taken."""
        return through_no_grad() if self.through_no_grad else nullcontext()

    @contextmanager
    def quiescent(self, model: nn.Module, *targets: Target | None) -> Iterator[Settings]:
        """Make it safe to run ``model``, in the precision that is asked for.

        Args:
            model: The model to be run.
            targets: Those whose scores are read meanwhile; some look into the model while it runs.

        Yields:
            The settings to run it with.
        """
        with ExitStack() as stack:
            running = stack.enter_context(self._quiescent(model))
            for target in targets:
                if isinstance(target, NamedTarget):
                    stack.enter_context(target.watching(model))
            yield running

    @contextmanager
    def _quiescent(self, model: nn.Module) -> Iterator[Settings]:
        forward_context = partial(_recording, self.forward_context) if self.through_no_grad else self.forward_context
        running = replace(self, forward_context=forward_context)
        with quiescence(model, seed=self.seed):
            if not self.full_precision:
                with self.arithmetic.applied(model, forward_context) as opened:
                    yield replace(running, forward_context=opened)
                return
            devices = frozenset(tensor.device.type for tensor in (*model.parameters(), *model.buffers()))
            with full_precision(model):
                yield replace(running, forward_context=partial(undone, forward_context, devices))

    def read(self, model: nn.Module, inputs: Any) -> ModelInputs:
        """Check a batch and find what is explained of it; ``model`` must be quiescent.

        Raises:
            ConfigurationError: If the batch cannot be explained.
        """
        fed = self.fed(inputs)
        batch = self.read_alone(fed)
        if self.tokens is not None:
            batch = TokenInputs.of_texts(model, batch, self.tokens, self.forward_context)
        return batch if self.disturbed is None else batch.disturbed(self.disturbed)

    def read_alone(self, inputs: Any) -> ModelInputs:
        """Check a batch and find what is explained of it, without the model: of text inputs the ids.

        Raises:
            ConfigurationError: If the batch cannot be explained.
        """
        if self.tokens is not None:
            return read_ids(inputs, self.attribute_to, shared=self.shared)
        return ModelInputs.of(inputs, self.attribute_to, shared=self.shared, layout=self.layout)

    def fed(self, inputs: Any) -> Any:
        """Return inputs in the precision that is asked for."""
        return widened(inputs) if self.full_precision else inputs

    def within_memory(self, inputs: Any, work: Callable[[Settings], _Found]) -> _Found:
        """Return ``work`` of these settings, or of those with fewer rows at once that do fit into the memory.

        Args:
            inputs: The batch.
            work: Leaves nothing behind when it raises.
        """
        if self.back_off is None:
            return work(self)
        asked = self.internal_batch_size
        return self.back_off.run(
            lambda rows: work(self if rows is None else replace(self, internal_batch_size=min(rows, asked or rows))),
            lambda: asked or count_samples(inputs, self),
        )


@contextmanager
def _recording(context: Callable[[], AbstractContextManager[Any]]) -> Iterator[None]:
    with context(), through_no_grad():
        yield


def count_samples(inputs: Any, settings: Settings) -> int:
    """Return the number of samples N of a batch.

    Raises:
        ConfigurationError: If it cannot be read.
    """
    return settings.read_alone(inputs).n_samples
