"""Discovered shortcuts of a run: what the page shows of them, and how a person dismisses one."""

from saliency_callbacks.report.shortcuts.lists import ShortcutList, lists_of
from saliency_callbacks.report.shortcuts.section import shortcut_headlines, shortcuts_of

__all__ = ["ShortcutList", "lists_of", "shortcut_headlines", "shortcuts_of"]
