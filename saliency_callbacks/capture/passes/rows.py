"""The rows that a pass feeds to the model, generated chunk by chunk.

The rows of a pass are ordered by noise draw, baseline, step on the path, and sample. Each chunk is built
from its row numbers alone, so neither its content nor the peak memory depends on how many rows there are.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from saliency_callbacks.errors import MethodError
from saliency_callbacks.functional.counted import filled
from saliency_callbacks.functional.gradients import noise_scale, quadrature
from saliency_callbacks.types import Baseline, Noise, Pass, TensorBaseline

__all__ = ["Rows", "Sampler"]

_BLOCK = 16


@dataclass(frozen=True, eq=False)
class Rows:
    """A chunk of what is fed.

    Args:
        inputs: ``[M, C, *spatial]``.
        samples: The sample each row belongs to, ``[M]``.
        weights: Weight of each row in the average over its sample's rows, ``[M]``; sums to 1 over a pass.
        displacement: end - start of each row's path, ``[M, C, *spatial]``; ``None`` without a path.
    """

    inputs: Tensor
    samples: Tensor
    weights: Tensor
    displacement: Tensor | None


class Sampler:
    """Generate the rows of one pass over a batch.

    The noise of a draw is the same for every sample of the batch (scaled by each sample's own range), for
    every chunk size and at every epoch: a sample's map does not depend on its neighbors, and sampling noise
    is never mistaken for drift.

    Args:
        inputs: The explained input, ``[N, C, *spatial]``.
        pass_: What is fed.
        seed: Seed of the noise.
        samples: Numbers of those of the N that are fed; all by default. Baselines are made of all.
        start: Baseline → ``[N, C, *spatial]``, for the baselines that only some inputs have.
        positions: Where there is noise, bool ``[N, *spatial]``; a sample's range is that of these positions, and the
            noise of a position does not depend on how many there are after it. ``None`` for everywhere.
    """

    def __init__(
        self,
        inputs: Tensor,
        pass_: Pass,
        seed: int,
        *,
        samples: Tensor | None = None,
        start: Callable[[str], Tensor] | None = None,
        positions: Tensor | None = None,
    ) -> None:
        self.inputs = inputs
        self.pass_ = pass_
        self.seed = seed
        self.samples = torch.arange(len(inputs), device=inputs.device) if samples is None else samples
        self.positions = positions
        self._named_start = start
        self.n_draws = pass_.noise.nt_samples if pass_.noise else 1
        self.starts = [self._start(baseline) for baseline in pass_.path.baselines] if pass_.path else []

    @property
    def n_rows(self) -> int:
        """Number of rows of the whole pass."""
        return self.n_draws * max(1, len(self.starts)) * len(self._nodes) * len(self.samples)

    def chunks(self, size: int) -> Iterator[Rows]:
        """Yield all rows in chunks of at most ``size``."""
        for begin in range(0, self.n_rows, size):
            yield self._rows(range(begin, min(begin + size, self.n_rows)))

    def ends(self, size: int) -> Iterator[Rows]:
        """Yield the ends of all paths: each noisy copy of the input, weighted for their mean."""
        noise = Pass(noise=self.pass_.noise)
        endpoint = Sampler(self.inputs, noise, self.seed, samples=self.samples, positions=self.positions)
        return endpoint.chunks(size)

    def beginnings(self, size: int) -> Iterator[Rows]:
        """Yield the starts of all paths: every baseline, weighted for their mean."""
        for start in self.starts:
            for samples in self.samples.split(size):
                weights = self._weights.new_full((len(samples),), 1 / len(self.starts))
                yield Rows(start.expand_as(self.inputs).index_select(0, samples), samples, weights, None)

    def _rows(self, numbers: range) -> Rows:
        n_samples, n_steps, n_starts = len(self.samples), len(self._nodes), max(1, len(self.starts))
        number = torch.arange(numbers.start, numbers.stop, device=self.inputs.device)
        samples = self.samples[number % n_samples]
        step = number // n_samples % n_steps
        path = number // (n_samples * n_steps) % n_starts
        draw = number // (n_samples * n_steps * n_starts)
        ends = self._ends(samples, draw)
        weights = self._weights[step] / (self.n_draws * n_starts)
        if not self.starts:
            return Rows(ends, samples, weights, None)
        start = self._starts_of(path, samples)
        displacement = ends.sub_(start)
        node = self._nodes[step].reshape(-1, *[1] * (ends.ndim - 1))
        # In the nodes' precision, which half-precision inputs do not have.
        inputs = torch.addcmul(start.to(node), node, displacement.to(node)).to(ends)
        return Rows(inputs, samples, weights, displacement)

    def _starts_of(self, path: Tensor, samples: Tensor) -> Tensor:
        if len(self.starts) == 1:
            start = self.starts[0]
            return start if start.shape[0] == 1 else _selected(start, samples)
        starts = torch.empty((len(samples), *self.inputs.shape[1:]), dtype=self.inputs.dtype, device=path.device)
        for index in path.unique().tolist():
            of_path = path == index
            starts[of_path] = self.starts[index].expand_as(self.inputs)[samples[of_path]]
        return starts

    def _ends(self, samples: Tensor, draw: Tensor) -> Tensor:
        ends = _selected(self.inputs, samples)
        if self.pass_.noise is None:
            return ends
        first, last = int(draw[0]), int(draw[-1])
        noise = torch.stack([self._noise(self.pass_.noise, number) for number in range(first, last + 1)])
        scale = self._scale[samples].reshape(-1, *[1] * (ends.ndim - 1))
        if self.positions is not None:
            scale = scale * self.positions[samples].unsqueeze(1)
        return ends.addcmul_(scale, noise if first == last else noise[draw - first])

    def _noise(self, noise: Noise, number: int) -> Tensor:
        copy = noise.first + number
        if not noise.antithetic:
            return self._random(f"noise/{copy}", normal=True)
        drawn = self._random(f"noise/{copy // 2}", normal=True)
        return -drawn if copy % 2 else drawn

    def _start(self, baseline: Baseline) -> Tensor:
        inputs = self.inputs
        if baseline == "zeros":
            return torch.zeros_like(inputs[:1])
        if baseline == "mean":
            return inputs.mean(dim=0, keepdim=True)
        if baseline == "noise":
            low = self._ranging.flatten(1).amin(dim=1).reshape(-1, *[1] * (inputs.ndim - 1))
            high = self._ranging.flatten(1).amax(dim=1).reshape(-1, *[1] * (inputs.ndim - 1))
            return low + (high - low) * self._random("baseline", normal=False)
        if isinstance(baseline, TensorBaseline):
            return self._fitted(baseline.tensor)
        if baseline in ("pad_token", "mask_token") and self._named_start is not None:
            return self._named_start(baseline)
        raise MethodError(
            f"baseline {baseline!r} is unknown; expected 'zeros', 'mean', 'noise', a tensor, or a list of these"
        )

    def _fitted(self, tensor: Tensor) -> Tensor:
        tensor = tensor.to(self.inputs)
        if tensor.ndim == 0:
            tensor = tensor.expand(self.inputs.shape[1:])
        if tensor.ndim == self.inputs.ndim - 1:
            tensor = tensor.unsqueeze(0)
        if tensor.shape[1:] != self.inputs.shape[1:] or tensor.shape[0] not in (1, self.inputs.shape[0]):
            raise MethodError(
                f"a baseline tensor has shape {list(tensor.shape)}; expected {list(self.inputs.shape[1:])} (the same "
                f"for every sample) or {list(self.inputs.shape)}"
            )
        return tensor

    def _random(self, purpose: str, *, normal: bool) -> Tensor:
        # Drawn on the CPU, so that a seed means the same numbers on every device.
        digest = hashlib.sha256(f"{self.seed}/{purpose}".encode()).digest()
        generator = torch.Generator("cpu").manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        draw = torch.randn if normal else torch.rand
        shape = self.inputs.shape[1:]
        if self.positions is None:
            return draw(shape, generator=generator, device="cpu").to(self.inputs)
        # Position by position. Torch draws in blocks of 16 numbers, so that full ones are the same however many follow.
        width = -(-shape[0] // _BLOCK) * _BLOCK
        by_place = draw((math.prod(shape[1:]), width), generator=generator, device="cpu")
        return by_place[:, : shape[0]].T.reshape(shape).to(self.inputs)

    @property
    def _ranging(self) -> Tensor:
        """Return what a sample's range is taken of."""
        return self.inputs if self.positions is None else filled(self.inputs, self.positions.unsqueeze(1))

    @cached_property
    def _scale(self) -> Tensor:
        return noise_scale(self._ranging, self.pass_.noise.stdevs if self.pass_.noise else 0.0)

    @cached_property
    def _quadrature(self) -> tuple[Tensor, Tensor]:
        # Rounded to half precision, the weights would not sum to 1.
        dtype = torch.promote_types(self.inputs.dtype, torch.float32)
        path = self.pass_.path
        if path is None:
            return self.inputs.new_zeros(1, dtype=dtype), self.inputs.new_ones(1, dtype=dtype)
        nodes, weights = quadrature(path.n_steps, path.rule)
        return nodes.to(self.inputs.device, dtype), weights.to(self.inputs.device, dtype)

    @property
    def _nodes(self) -> Tensor:
        return self._quadrature[0]

    @property
    def _weights(self) -> Tensor:
        return self._quadrature[1]


def _selected(tensor: Tensor, samples: Tensor) -> Tensor:
    """Return rows of ``tensor [N, C, ...]`` laid out as it is itself: channels last stay last in memory."""
    if tensor.ndim != 3 or tensor.is_contiguous():
        return tensor.index_select(0, samples)
    return tensor.mT.index_select(0, samples).mT
