"""What another library is given as the model: class scores of the explained tensor alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self, override

from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.text.inputs import TokenInputs
from saliency_callbacks.targets.named import Columns, NamedTarget
from saliency_callbacks.targets.selectors import Labels, Target, counts_rows, sample_logits, selector

__all__ = ["ExplainedModel"]


class ExplainedModel(nn.Module):
    """A module around the real one, whose layers are found in it as ``model.…``.

    It takes rows ``[M, C, *spatial]`` and returns class scores ``[M, K]``, or what a target makes of them, ``[M, P]``;
    or the explained score ``[M, 1]``, where the target is a callable that has to know which sample a row is of.

    Args:
        model: The real model, quiescent.
        batch: What is explained.
        target: The explained score.
        is_class: Whether it is that of a class.
        output_fn: ``model output -> [N, classes]``.
        forward_context: Opened around every forward.

    Attributes:
        samples: The samples that are explained now.
        n_rows: Rows that were run so far. Under ``torch.func.vmap`` those of one slice: torch hides the others.
        n_rows_back: Rows that a gradient was taken of so far.
        columns: Which of the returned scores is explained of each sample, ``[N]``; ``None`` where that is its class.
    """

    def __init__(
        self,
        model: nn.Module,
        batch: ModelInputs,
        target: Target,
        *,
        is_class: bool,
        output_fn: Callable[[Any], Any] | None,
        forward_context: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        super().__init__()
        self.model = model
        self.n_rows = self.n_rows_back = 0
        self.samples = torch.arange(batch.n_samples, device=batch.explained.device)
        self.training = False
        # As the library may look for a gradient in a part of the model where no weight asks for one.
        self._starts_graph = not all(parameter.requires_grad for parameter in model.parameters())
        self._batch = batch
        self._forward_context = forward_context
        columns = target.columns() if isinstance(target, NamedTarget) else None
        self.columns = None if columns is None else columns.of_samples.to(batch.explained.device)
        if columns is not None:
            self._scores = _column_scores(columns, output_fn)
        elif is_class:
            self._scores = _class_scores(target, output_fn)
        else:
            self._scores = _one_score(target, batch.n_samples, output_fn)
        is_known = is_class or columns is not None or counts_rows(target)
        # What a row is fed with, or compared with, hangs on its sample; a target that is not told of samples aside.
        self.tells_samples_apart = isinstance(batch, TokenInputs) or bool(batch.undeclared) or not is_known

    @override
    def forward(self, rows: Tensor) -> Tensor:
        """Run the real model on ``rows``, and return their scores."""
        self.n_rows += len(rows)
        if self._starts_graph and torch.is_grad_enabled() and not rows.requires_grad:
            rows = rows.detach().requires_grad_()
        samples = self.samples[torch.arange(len(rows), device=self.samples.device) % len(self.samples)]
        with self._forward_context():
            # A copy: the model may work in place on what it is fed.
            output = self._batch.call(self.model, self._batch.copied(rows), samples)
        scores = self._scores(output, samples)
        # A parameter that is returned as it is would keep the hook.
        if scores.grad_fn is not None:
            scores.register_hook(partial(self._count_back, len(rows)))
        return scores

    def _count_back(self, n_rows: int, gradient: Tensor) -> None:
        self.n_rows_back += n_rows

    @override
    def train(self, mode: bool = True) -> Self:
        """Leave the modules alone where they are asked to be in the mode that they are in: it may have effects."""
        return super().train(mode) if mode != self.training else self


def _class_scores(target: Target, output_fn: Callable[[Any], Any] | None) -> Callable[[Any, Tensor], Tensor]:
    def read(output: Any, samples: Tensor) -> Tensor:
        logits = sample_logits(output, output_fn, samples)
        # As labels of a single logit z are explained, by -z and z.
        return torch.cat([-logits, logits], dim=1) if isinstance(target, Labels) and logits.shape[1] == 1 else logits

    return read


def _column_scores(columns: Columns, output_fn: Callable[[Any], Any] | None) -> Callable[[Any, Tensor], Tensor]:
    return lambda output, samples: columns.of_output(output if output_fn is None else output_fn(output))


def _one_score(
    target: Target, n_samples: int, output_fn: Callable[[Any], Any] | None
) -> Callable[[Any, Tensor], Tensor]:
    select = selector(target, n_samples, output_fn)
    return lambda output, samples: select(output, samples)[0].unsqueeze(1)
