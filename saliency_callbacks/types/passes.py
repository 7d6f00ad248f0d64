"""What may be fed to a model, and how its ReLUs go backward: values that compare by content.

Equal passes, hyperparameters included, run once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from saliency_callbacks.errors import MethodError

__all__ = ["Baseline", "Noise", "Pass", "Path", "PathRule", "ReluRule", "TensorBaseline", "Until"]

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
class Until:
    """Go on, sample by sample, until an error is small: a sample that is done is not run again.

    Args:
        tolerance: The largest error that is accepted. Of a path it is that of completeness,
            |Σ attributions - (f(x) - f(x′))| / |f(x) - f(x′)|; of noise the standard error of the mean gradient, and
            of the mean squared one, each relative to that mean (Euclidean norms over the map).
        at_most: The most points on a path, or noisy copies, that a sample is run with, whatever is left of the error.

    Example:
        >>> Path(17, "trapezoid", until=Until(0.05, at_most=129)) == Path(17, "trapezoid")
        False
    """

    tolerance: float
    at_most: int


@dataclass(frozen=True)
class Path:
    """Feed the straight line from each baseline to the input instead of the input alone.

    Args:
        n_steps: Number of points on the line.
        rule: Quadrature rule that places and weighs the points.
        baselines: Where the lines start; several are averaged.
        until: Halve the distance of the points of the ``trapezoid`` rule, beginning with ``n_steps``, as often as it
            takes; ``None`` for exactly ``n_steps`` points.

    Raises:
        MethodError: If ``until`` is given with another rule, whose points are not nested.

    Example:
        >>> from saliency_callbacks.methods import IntegratedGradients
        >>> Pass(path=Path(n_steps=20)) in IntegratedGradients(n_steps=20).requires()
        True
    """

    n_steps: int = 50
    rule: PathRule = "gauss_legendre"
    baselines: tuple[Baseline, ...] = ("zeros",)
    until: Until | None = None

    def __post_init__(self) -> None:
        if self.until is not None and self.rule != "trapezoid":
            raise MethodError(
                f"a path has until={self.until} with rule={self.rule!r}; expected rule='trapezoid', whose points are "
                "reused when the step is halved"
            )


@dataclass(frozen=True)
class Noise:
    """Feed ``nt_samples`` noisy copies of the input instead of the input alone.

    Args:
        nt_samples: Number of noisy copies.
        stdevs: Standard deviation of the Gaussian noise, as a fraction of each sample's (max - min).
        antithetic: Whether every second copy has the opposite noise of the one before it.
        first: How many copies of the same noise come before these.
        until: Take ``nt_samples`` more, as often as it takes; ``None`` for exactly ``nt_samples`` copies.

    Example:
        >>> from saliency_callbacks.methods import SmoothGrad
        >>> Pass(noise=Noise(nt_samples=20)) in SmoothGrad(nt_samples=20).requires()
        True
    """

    nt_samples: int = 50
    stdevs: float = 0.15
    antithetic: bool = False
    first: int = 0
    until: Until | None = None


@dataclass(frozen=True)
class Pass:
    """What is fed to the model, and which rule the backward of its ReLUs follows.

    Without a ``path`` and without ``noise`` the input itself is fed (a *point* pass). With both, every
    noisy copy of the input is the end of its own path. Equal passes, hyperparameters included, run once.

    Raises:
        MethodError: If both path and noise go on until an error is small.

    Example:
        >>> Pass(noise=Noise(nt_samples=50)) == Pass(noise=Noise())
        True
        >>> Pass(relu_rule="guided") == Pass()
        False
    """

    path: Path | None = None
    noise: Noise | None = None
    relu_rule: ReluRule = "standard"

    def __post_init__(self) -> None:
        path, noise = self.path, self.noise
        if path is not None and path.until is not None and noise is not None and noise.until is not None:
            raise MethodError(
                "both path and noise of a pass have until=…; expected only one of them, because one error decides "
                "when to stop. Give the other a fixed number"
            )
