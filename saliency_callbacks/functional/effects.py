"""How much a change of the input moves the classes: margins, counterfactual effects, and how sure one can be of them.

Logits are ``[N, K]`` with K ≥ 2 classes; a single logit z is given as the two columns [0, z]. Samples never interact,
except in the scale of the effects and in the statistics over samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError, OutputError, TargetError
from saliency_callbacks.functional.precision import score_dtype, widen

__all__ = [
    "bootstrap_lower_bound",
    "class_contrast",
    "flip_rate",
    "flips",
    "margin",
    "margin_effects",
    "margins",
    "rule_of_three",
]


_MOST_DRAWN = 2**18
"""Values of the resamples that are held at a time, so that memory does not grow with the samples."""


def margin(logits: Tensor, classes: int | Tensor) -> Tensor:
    """Return how far one class is ahead of the best other one, m_c = z_c - max_{j≠c} z_j.

    Args:
        logits: ``[N, K]``.
        classes: The class c, one for all samples or one for each, ``int64 [N]``.

    Returns:
        ``[N]`` in logits, positive where c is the prediction; NaN for a sample with a NaN.

    Raises:
        OutputError: If there are fewer than two classes.
        TargetError: If a class does not exist.
        ConfigurationError: If there is not one class for each sample.

    Example:
        >>> margin(torch.tensor([[3.0, 1.0, 0.0], [0.0, 1.0, 4.0]]), 0)
        tensor([ 2., -4.])
    """
    _require_classes(logits)
    chosen = torch.as_tensor(classes, device=logits.device)
    if chosen.shape not in {(), logits.shape[:1]}:
        raise ConfigurationError(
            f"classes have shape {tuple(chosen.shape)}, but logits {tuple(logits.shape)}; give one class for all "
            f"samples, or {len(logits)}"
        )
    chosen = chosen.expand(len(logits))
    _require_known(chosen, logits.shape[1])
    return margins(logits).gather(1, chosen[:, None].long())[:, 0]


def margins(logits: Tensor) -> Tensor:
    """Return the margin m_c = z_c - max_{j≠c} z_j of every class c.

    Args:
        logits: ``[N, K]``.

    Returns:
        ``[N, K]`` in logits; NaN for a sample with a NaN. At most one class of a sample has a positive margin.

    Raises:
        OutputError: If there are fewer than two classes.

    Example:
        >>> margins(torch.tensor([[3.0, 1.0, 0.0]]))
        tensor([[ 2., -2., -3.]])
    """
    _require_classes(logits)
    scores = logits.to(score_dtype(logits))
    best, index = scores.topk(2, dim=1)
    is_best = torch.arange(scores.shape[1], device=scores.device) == index[:, :1]
    return scores - torch.where(is_best, best[:, 1:], best[:, :1])


def margin_effects(clean: Tensor, changed: Tensor) -> Tensor:
    """Return how far a change of the input moves every class, [m_c(changed) - m_c(clean)] / s.

    The scale s = mean_n std_c z_nc of the clean logits makes epochs and models comparable. The standard deviation over
    the K classes (that of a population, divided by K) is averaged over the samples, so that one sample with nearly
    equal logits does not outweigh all others; samples without a finite one are left out.

    Args:
        clean: Logits of the inputs as they are, ``[N, K]``.
        changed: Logits of the same inputs with the change, ``[N, K]``.

    Returns:
        ``[N, K]`` in standard deviations; 0 for no effect. NaN where it is not finite or s is 0.

    Raises:
        ConfigurationError: If the shapes differ.
        OutputError: If there are fewer than two classes.

    Example:
        >>> margin_effects(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 2.0]]))
        tensor([[ 1., -1.]])
    """
    _require_same_shape(clean, changed)
    moved = margins(changed) - margins(clean)
    effects = moved / _scale(clean).to(moved.dtype)
    return torch.where(effects.isfinite(), effects, torch.nan)


def class_contrast(effects: Tensor, suspect: int) -> Tensor:
    """Return how much more one class is moved than the others, e_c - median_{j≠c} e_j.

    A change of the whole input, such as its brightness, moves every class; the contrast tells whether it favors one.
    The median of an even number of classes is the mean of the middle two.

    Args:
        effects: Effect of every class, ``[N, K]``, see :func:`margin_effects`.
        suspect: The class c.

    Returns:
        ``[N]`` in the unit of ``effects``; NaN for a sample with a NaN.

    Raises:
        OutputError: If there are fewer than two classes.
        TargetError: If the class does not exist.

    Example:
        >>> class_contrast(torch.tensor([[3.0, 1.0, 0.0, -1.0], [2.0, 2.0, 2.0, 2.0]]), 0)
        tensor([3., 0.])
    """
    _require_classes(effects)
    _require_known(torch.as_tensor(suspect), effects.shape[1])
    others = torch.cat([effects[:, :suspect], effects[:, suspect + 1 :]], dim=1).sort(dim=1).values
    count = others.shape[1]
    contrast = effects[:, suspect] - (others[:, (count - 1) // 2] + others[:, count // 2]) / 2
    return contrast.masked_fill(effects.isnan().any(dim=1), torch.nan)


def flips(clean: Tensor, changed: Tensor, suspect: int) -> Tensor:
    """Tell which samples the change turns to the suspect class c, argmax z ≠ c before and = c after.

    Args:
        clean: Logits of the inputs as they are, ``[N, K]``.
        changed: Logits of the same inputs with the change, ``[N, K]``.
        suspect: The class c.

    Returns:
        Bool ``[N]``; False for a sample with a NaN.

    Raises:
        ConfigurationError: If the shapes differ.
        OutputError: If there are fewer than two classes.
        TargetError: If the class does not exist.

    Example:
        >>> flips(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([[2.0, 1.0], [2.0, 0.0]]), 0)
        tensor([ True, False])
    """
    _require_same_shape(clean, changed)
    _require_classes(clean)
    _require_known(torch.as_tensor(suspect), clean.shape[1])
    readable = ~(clean.isnan() | changed.isnan()).any(dim=1)
    return readable & (clean.argmax(dim=1) != suspect) & (changed.argmax(dim=1) == suspect)


def flip_rate(clean: Tensor, changed: Tensor, suspect: int) -> Tensor:
    """Return the share of all given samples that :func:`flips` names: a scalar in [0, 1], NaN for no samples.

    Raises:
        ConfigurationError: As :func:`flips`.

    Example:
        >>> flip_rate(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([[2.0, 1.0], [2.0, 0.0]]), 0)
        tensor(0.5000)
    """
    return flips(clean, changed, suspect).to(score_dtype(clean)).mean()


def bootstrap_lower_bound(values: Tensor, confidence: float = 0.95, n_bootstrap: int = 1000, seed: int = 0) -> Tensor:
    """Return a lower bound on the mean over samples: the (1 - confidence) quantile of bootstrapped means.

    Each of ``n_bootstrap`` resamples draws as many values as there are, with replacement (percentile bootstrap). The
    draws come from a generator of their own, so that global random state is left alone and a seed repeats them.

    Args:
        values: One value a sample, ``[N]``; those that are not finite are left out.
        confidence: How sure the bound is, in (0, 1).
        n_bootstrap: Number of resamples.
        seed: Decides the resamples.

    Returns:
        A scalar in the unit of ``values``; NaN for fewer than two finite values, which tell nothing about their spread.

    Raises:
        ConfigurationError: If ``confidence`` or ``n_bootstrap`` is out of its range.

    Reference:
        Efron 1979, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7(1).

    Example:
        >>> bootstrap_lower_bound(torch.tensor([1.0, 1.0, 1.0]))
        tensor(1.)
    """
    _require_confidence(confidence)
    if n_bootstrap < 1:
        raise ConfigurationError(f"n_bootstrap={n_bootstrap} is too small; give a positive number such as 1000")
    usable = widen(values[values.isfinite()])
    count = len(usable)
    if count < 2:
        return values.new_full((), torch.nan, dtype=score_dtype(values))
    generator = torch.Generator().manual_seed(seed)
    means = []
    for first in range(0, n_bootstrap, step := max(1, _MOST_DRAWN // count)):
        n_rows = min(step, n_bootstrap - first)
        chosen = torch.randint(count, (n_rows, count), generator=generator).to(usable.device)
        means.append(usable[chosen].mean(dim=1))
    return torch.cat(means).quantile(1 - confidence).to(score_dtype(values))


def rule_of_three(n: int, confidence: float = 0.95) -> float:
    """Return the upper bound on a rate after 0 of n events, 1 - (1 - confidence)^(1/n), about 3/n at 95%.

    Args:
        n: Number of samples.
        confidence: How sure the bound is, in (0, 1).

    Returns:
        A rate in (0, 1); 1 for no samples.

    Raises:
        ConfigurationError: If ``n`` is negative or ``confidence`` out of its range.

    Reference:
        Hanley and Lippman-Hand 1983, "If nothing goes wrong, is everything all right?", JAMA 249(13).

    Example:
        >>> round(rule_of_three(32), 2)
        0.09
    """
    _require_confidence(confidence)
    if n < 0:
        raise ConfigurationError(f"n={n} is negative; give the number of samples")
    return float(1 - (1 - confidence) ** (1 / n)) if n else 1.0


def _scale(logits: Tensor) -> Tensor:
    """Return the mean over samples of the standard deviation over classes, from the samples that have one."""
    spread = widen(logits).std(dim=1, unbiased=False)
    return spread[spread.isfinite()].mean()


def _require_classes(logits: Tensor) -> None:
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise OutputError(
            f"logits have shape {tuple(logits.shape)}; expected [N, K] with at least 2 classes. Give a single logit z "
            "as two columns: torch.cat([torch.zeros_like(z), z], dim=1)"
        )


def _require_known(classes: Tensor, count: int) -> None:
    unknown = classes[(classes < 0) | (classes >= count)]
    if unknown.numel():
        raise TargetError(
            f"class {int(unknown.flatten()[0])} does not exist; expected an index from 0 to {count - 1}, since there "
            f"are {count} logits"
        )


def _require_same_shape(clean: Tensor, changed: Tensor) -> None:
    if clean.shape != changed.shape:
        raise ConfigurationError(
            f"clean logits have shape {tuple(clean.shape)} but changed ones {tuple(changed.shape)}; give both for the "
            "same samples and classes"
        )


def _require_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ConfigurationError(f"confidence={confidence} is outside (0, 1); give a fraction such as 0.95")
