"""What happens when an alarm goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from saliency_callbacks.callbacks.cue.rule import AlarmRule
from saliency_callbacks.callbacks.cue.state import Evaluation
from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.config.dotted_paths import resolve_callable
from saliency_callbacks.errors import ConfigurationError, CueAlarmWarning, nearest_names

__all__ = ["Action", "act", "checked_actions", "describe_alarm"]

Action = str | Callable[..., Any]
_NAMED = ("warn", "log", "stop")


def checked_actions(actions: Action | Sequence[Action]) -> tuple[Action, ...]:
    """Return actions as a tuple, with dotted paths resolved.

    Raises:
        ConfigurationError: If one is neither known by name nor callable.
    """
    given = actions if isinstance(actions, Sequence) and not isinstance(actions, str) else (actions,)
    return tuple(_checked(action) for action in given)


def _checked(action: Any) -> Action:
    if isinstance(action, str) and action not in _NAMED and not {".", ":"} & set(action):
        raise ConfigurationError(
            f"on_alarm has {action!r}; {nearest_names(action, _NAMED)} Expected any of {list(_NAMED)}, a callable, or "
            "the dotted path of one"
        )
    if action is None:
        raise ConfigurationError(f"on_alarm has None; expected any of {list(_NAMED)}, or [] for none")
    return action if action in _NAMED else resolve_callable("on_alarm", action)  # type: ignore[return-value]


def describe_alarm(cue: str, suspect: str, evaluation: Evaluation, rule: AlarmRule) -> str:
    """Say in words what set the alarm off."""
    return (
        f"the model uses the cue {cue!r} as a sign of class {suspect}: put into samples of other classes, it raises "
        f"that class by {evaluation.mean:.2f} standard deviations of the logits ({evaluation.statistic}; lower bound "
        f"{evaluation.lower_bound:.2f} > {rule.threshold:g} in {rule.patience} evaluations in a row, the last in epoch "
        f"{evaluation.epoch}), and turns {evaluation.flip_rate:.0%} of the predictions to it"
    )


def act(actions: Sequence[Action], message: str, host: Host, callback: Any) -> None:
    """Do what was asked for: warn, end the training, or call a user's function with the callback and the message.

    Texts are logged with the observation itself; functions are called on rank zero. All ranks must call this. A
    function that fails is reported; the other actions are done and the training goes on, unless the callback has
    ``on_error="raise"``.
    """
    for action in actions:
        if action == "warn":
            # Every alarm is news.
            notices.warn(("alarm", message), message, CueAlarmWarning)
        elif action == "stop":
            host.stop()
        elif callable(action):
            with host.ranks.together():
                # Somebody who is told should be told once.
                if host.ranks.is_main:
                    _call(action, callback, message)


def _call(action: Callable[..., Any], callback: Any, message: str) -> None:
    try:
        action(callback, message)
    except Exception as error:
        if callback.on_error == "raise":
            raise
        name = getattr(action, "__qualname__", None) or repr(action)
        notices.warn(
            ("action", name),
            f"on_alarm={name} failed when the alarm went on ({type(error).__name__}: {error}); the training goes on. "
            "Use on_error='raise' to see where it comes from",
        )
