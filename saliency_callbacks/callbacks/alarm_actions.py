"""What happens when an alarm goes on, whichever callback sounds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.config.dotted_paths import resolve_callable
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.errors import ConfigurationError, SaliencyWarning, nearest_names

__all__ = ["Action", "act", "checked_actions"]

Action = str | Callable[..., Any]
_NAMED = ("warn", "log", "stop")


def checked_actions(argument: str, actions: Action | Sequence[Action]) -> tuple[Action, ...]:
    """Return actions as a tuple, with dotted paths resolved.

    Args:
        argument: Name of the argument, for messages.
        actions: One action, or several.

    Raises:
        ConfigurationError: If one is neither known by name nor callable.
    """
    actions = plain(actions)
    given = actions if isinstance(actions, Sequence) and not isinstance(actions, str) else (actions,)
    return tuple(_checked(argument, action) for action in given)


def _checked(argument: str, action: Any) -> Action:
    if isinstance(action, str) and action not in _NAMED and not {".", ":"} & set(action):
        raise ConfigurationError(
            f"{argument} has the unknown action {action!r}; {nearest_names(action, _NAMED)} Expected any of "
            f"{list(_NAMED)}, a callable, or the dotted path of one"
        )
    if action is None:
        raise ConfigurationError(f"{argument} has None; expected any of {list(_NAMED)}, or [] for no action")
    return action if action in _NAMED else resolve_callable(argument, action)  # type: ignore[return-value]


def act(
    argument: str,
    actions: Sequence[Action],
    message: str,
    host: Host,
    callback: Any,
    category: type[SaliencyWarning] = SaliencyWarning,
) -> None:
    """Do what was asked for: warn, end the training, or call a user's function with the callback and the message.

    Texts are logged with the observation itself; functions are called on rank zero. All ranks must call this. A
    function that fails is reported; the other actions are done and the training goes on, unless the callback has
    ``on_error="raise"``.

    Args:
        argument: Name of the argument that asks for it, for messages.
        actions: What was asked for.
        message: Why the alarm went on.
        host: The run.
        callback: Who sounds it.
        category: Type of the warning.
    """
    for action in actions:
        if action == "warn":
            # Every alarm is news.
            notices.warn(("alarm", message), message, category)
        elif action == "stop":
            host.stop()
        elif callable(action):
            with host.ranks.together():
                # Somebody who is told should be told once.
                if host.ranks.is_main:
                    _call(argument, action, callback, message)


def _call(argument: str, action: Callable[..., Any], callback: Any, message: str) -> None:
    try:
        action(callback, message)
    except Exception as error:
        if callback.on_error == "raise":
            raise
        name = getattr(action, "__qualname__", None) or repr(action)
        notices.warn(
            ("action", name),
            f"{argument}={name} failed when the alarm fired ({type(error).__name__}: {error}); training continues. "
            "Use on_error='raise' for the full traceback",
        )
