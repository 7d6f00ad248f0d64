"""What is written below the pictures of thousands of samples: of a class, and of the mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from saliency_callbacks.rendering.grid import Caption

__all__ = ["class_captions", "mistake_captions"]

ClassName = Callable[[int], str]


def class_captions(class_name: ClassName, indices: Sequence[int], counts: Sequence[int]) -> list[Caption]:
    """Return the name of each class, and how many maps there are of it.

    Args:
        class_name: Returns the name of a class, in letters that can be drawn.
        indices: The classes; a negative one stands for all together.
        counts: Maps of each.

    Example:
        >>> class_captions(str, [-1, 3], [12, 5])[0]
        Caption(title='all', detail='12 maps', wrong=None)
    """
    return [
        Caption("all" if index < 0 else class_name(index), f"{count} maps")
        for index, count in zip(indices, counts, strict=True)
    ]


def mistake_captions(
    class_name: ClassName,
    labels: Sequence[int],
    predictions: Sequence[int],
    confidences: Sequence[float],
    positions: Sequence[int],
) -> list[Caption]:
    """Return what each wrongly classified sample is, and what it is taken for.

    Args:
        class_name: Returns the name of a class, in letters that can be drawn.
        labels: Class of each sample.
        predictions: Class that is predicted.
        confidences: How sure the model is, in [0, 1].
        positions: Where the sample is in the dataset.

    Example:
        >>> mistake_captions(["cat", "dog"].__getitem__, [0], [1], [0.934], [7])[0].detail
        '✕ dog · 93% · #7'
    """
    return [
        Caption(class_name(label), f"✕ {class_name(predicted)} · {confidence:.0%} · #{position}", wrong=True)
        for label, predicted, confidence, position in zip(labels, predictions, confidences, positions, strict=True)
    ]
