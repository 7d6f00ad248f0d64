"""What torch cannot do with some models, said with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.utils.checkpoint import CheckpointError

from saliency_callbacks.errors import ObservationError

__all__ = ["known_failures"]

# What torch raises has no types of its own, but for `CheckpointError`.
_INFERENCE = "inference tensor"
_REENTRANT = "checkpoint is incompatible with .grad()"
_WITHOUT_BACKWARD = ("is not implemented", "must implement either the backward", "trying to differentiate twice")
_OVERWRITTEN = "modified by an inplace operation"


@contextmanager
def known_failures(model: nn.Module) -> Iterator[None]:
    """Turn what torch raises while ``model`` is explained into an error that says what to change.

    Args:
        model: The model that is explained inside.

    Raises:
        ObservationError: If the model keeps tensors made under inference mode, checkpoints its activations in a way
            that what was asked for cannot be computed with, or has an operation that no gradient can be taken of.
    """
    try:
        yield
    except ObservationError:
        raise
    except CheckpointError as error:
        # The backward rules hold while the model runs forward, not while checkpointing runs a part of it again.
        raise ObservationError(
            f"{type(model).__name__} does not compute the same values twice under activation checkpointing, so no "
            "gradient can be taken. Leave out guided_backprop, deconvnet and guided_grad_cam, which change what ReLUs "
            "keep for the backward, or checkpoint in training mode only (`if self.training`)"
        ) from error
    except RuntimeError as error:
        message = str(error).lower()
        if _INFERENCE in message:
            raise ObservationError(
                f"{type(model).__name__} keeps a tensor that was made under inference mode (a cache filled during "
                "validation, or weights loaded there), so no gradient can be taken. Use "
                "`Trainer(inference_mode=False)`, or create that tensor outside `torch.inference_mode()`"
            ) from error
        if _REENTRANT in message:
            raise ObservationError(
                f"{type(model).__name__} checkpoints its activations with `use_reentrant=True`, for which torch takes "
                "gradients of all parameters or none. Use `checkpoint(…, use_reentrant=False)`, or checkpoint in "
                "training mode only (`if self.training`)"
            ) from error
        if _is_without_backward(message):
            raise ObservationError(
                f"{type(model).__name__} has an operation without a gradient ({error}). Implement its backward pass, "
                "or choose class activation maps at target layers above it"
            ) from error
        raise


def _is_without_backward(message: str) -> bool:
    is_missing = "derivative" in message or "backward" in message or "vjp" in message
    return _OVERWRITTEN in message or (is_missing and any(part in message for part in _WITHOUT_BACKWARD))
