"""What may be fed to a model, and how its ReLUs go backward: values that compare by content.

Equal passes, hyperparameters included, run once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Baseline", "Noise", "Pass", "Path", "PathRule", "ReluRule", "TensorBaseline"]

ReluRule = Literal["standard", "guided", "deconvnet"]
PathRule = Literal["gauss_legendre", "midpoint", "trapezoid"]


@dataclass(frozen=True)
class TensorBaseline:
    """A baseline given as a tensor, compared and hashed by its content.

    Args:
        tensor: A number, ``[C, *spatial]`` (the same for every sample) or ``[N, C, *spatial]``.

    Example:
        >>> gray = TensorBaseline(torch.full((3, 32, 32), 0.5))
        >>> gray == TensorBaseline(torch.full((3, 32, 32), 0.5))
        True
    """

    tensor: Tensor = field(compare=False, repr=False)
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        content = self.tensor.detach().cpu().reshape(-1)
        digest = hashlib.sha256(content.view(torch.uint8).numpy().tobytes())
        digest.update(f"{content.dtype}{tuple(self.tensor.shape)}".encode())
        object.__setattr__(self, "digest", digest.hexdigest())


Baseline = Literal["zeros", "mean", "noise", "pad_token", "mask_token"] | TensorBaseline


@dataclass(frozen=True)
class Path:
    """Feed the straight line from each baseline to the input instead of the input alone.

    Args:
        n_steps: Number of points on the line.
        rule: Quadrature rule that places and weighs the points.
        baselines: Where the lines start; several are averaged.

    Example:
        >>> from saliency_callbacks.methods import IntegratedGradients
        >>> Pass(path=Path(n_steps=20)) in IntegratedGradients(n_steps=20).requires()
        True
    """

    n_steps: int = 50
    rule: PathRule = "gauss_legendre"
    baselines: tuple[Baseline, ...] = ("zeros",)


@dataclass(frozen=True)
class Noise:
    """Feed ``nt_samples`` noisy copies of the input instead of the input alone.

    Args:
        nt_samples: Number of noisy copies.
        stdevs: Standard deviation of the Gaussian noise, as a fraction of each sample's (max - min).

    Example:
        >>> from saliency_callbacks.methods import SmoothGrad
        >>> Pass(noise=Noise(nt_samples=20)) in SmoothGrad(nt_samples=20).requires()
        True
    """

    nt_samples: int = 50
    stdevs: float = 0.15


@dataclass(frozen=True)
class Pass:
    """What is fed to the model, and which rule the backward of its ReLUs follows.

    Without a ``path`` and without ``noise`` the input itself is fed (a *point* pass). With both, every
    noisy copy of the input is the end of its own path. Equal passes, hyperparameters included, run once.

    Example:
        >>> Pass(noise=Noise(nt_samples=50)) == Pass(noise=Noise())
        True
        >>> Pass(relu_rule="guided") == Pass()
        False
    """

    path: Path | None = None
    noise: Noise | None = None
    relu_rule: ReluRule = "standard"
