"""What is measured and shown beside the test that an alarm rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from saliency_callbacks.callbacks.runtime.settings import set_field
from saliency_callbacks.config.checks import checked_choice, checked_flag, checked_integer
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.types import AnyMethod

__all__ = ["Confirmation"]


@dataclass(frozen=True)
class Confirmation:
    """What confirms an alarm to a person: maps without and with the cue, its removal, and accuracy by class.

    Args:
        method: The map of the panel, of mass and lift: a name or a method object; ``auto`` is ``gradient``, for text
            inputs ``input_x_gradient``. For text inputs ``None`` leaves the maps out.
        target_layers: Layers for class activation maps: ``"auto"``, a dotted name, a module, or a list of these.
        panel_size: How many samples the panel shows.
        removal: Also inpaint the region of the probe's masks, with ``local_mean`` or ``noise``, in samples with the
            cue. By default nothing is removed.
        groups_at_fit_end: Whether to measure accuracy by class on the validation set when the training ends.
        groups_every_n_epochs: Epochs between two such measurements during the training; by default there are none.

    Raises:
        ConfigurationError: If a value is not one of those described.

    Example:
        >>> Confirmation(method="grad_cam", groups_every_n_epochs=5).panel_size
        8
    """

    method: str | AnyMethod | None = "auto"
    target_layers: Any = "auto"
    panel_size: int = 8
    removal: Literal["local_mean", "noise"] | None = None
    groups_at_fit_end: bool = True
    groups_every_n_epochs: int | None = None

    def __post_init__(self) -> None:
        set_field(self, "method", plain(self.method))
        set_field(self, "target_layers", plain(self.target_layers))
        set_field(self, "panel_size", checked_integer("panel_size", self.panel_size, 1))
        checked_flag("groups_at_fit_end", self.groups_at_fit_end)
        if self.removal is not None:
            checked_choice("removal", self.removal, ("local_mean", "noise"))
        if self.groups_every_n_epochs is not None:
            every = checked_integer("groups_every_n_epochs", self.groups_every_n_epochs, 1)
            set_field(self, "groups_every_n_epochs", every)
