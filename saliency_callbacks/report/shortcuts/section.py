"""The discovered shortcuts of a run: the ranked list with its pictures, and what a person can do about each."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from saliency_callbacks.config.wording import capitalized, counted
from saliency_callbacks.discovery.words import HONEST_WORDS
from saliency_callbacks.report.monitors import moment_of
from saliency_callbacks.report.pictures.stored_pictures import MOST_BYTES, ReadPicture
from saliency_callbacks.report.runs import Archive, RunDirectory
from saliency_callbacks.report.shortcuts.lists import ShortcutList, lists_of

__all__ = ["shortcut_headlines", "shortcuts_of"]

_CUE = """\
import torch
from saliency_callbacks import CueAlarm, ShortcutDiscovery

discovery = ShortcutDiscovery(namespace={namespace!r})
checkpoint = torch.load("last.ckpt", weights_only=True)  # of this run
discovery.load_state_dict(checkpoint["callbacks"][discovery.state_key])
found = next(one for one in discovery.suspicions if one.name == {key!r})
alarm = CueAlarm(found.to_cue(), suspect_class=found.class_index)
"""


def shortcuts_of(run: RunDirectory, picture: ReadPicture) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what the page shows of each list, and notes on pictures that are left out.

    Args:
        run: What the run left.
        picture: Returns what stands for a picture, such as its ``data``.

    Returns:
        For each list ``tag``, ``moment``, ``note``, ``words`` and ``items``; each of these has ``key``, ``title``,
        ``used``, ``dismissed``, ``short``, ``facts`` as names and values, ``picture`` (base64 of a WebP, or ``None``),
        ``url`` where the picture is at an address, ``alt``, ``dismiss``, a shell command, and ``cue``, lines of Python.
    """
    notes: list[str] = []
    sections = []
    left = MOST_BYTES
    for one in lists_of(run.archives):
        items, dismissed = [], one.dismissed()
        for row in one.rows:
            shown = _picture(one, row["key"], picture, notes)
            size = len(shown.get("data", ""))
            if size > left:
                notes.append(f"The image of {row['key']} was left out to keep the file small.")
                shown, size = {}, 0
            left -= size
            items.append(_item(one, row, shown, run.directory, is_dismissed=row["key"] in dismissed))
        note = one.table.note or ""
        words = "" if HONEST_WORDS in note else HONEST_WORDS
        # What was dismissed is not to be looked at again, but can be.
        items.sort(key=lambda item: item["dismissed"])
        sections.append({"tag": one.tag, "moment": moment_of(one.entry), "note": note, "words": words, "items": items})
    return sections, notes


def shortcut_headlines(archive: Archive) -> Iterator[tuple[str, str, str, int]]:
    """Yield level, title, text and step of what is to be said first about shortcuts.

    Args:
        archive: One directory of the run.
    """
    for one in lists_of([archive]):
        dismissed = one.dismissed()
        rows = [row for row in one.rows if row["key"] not in dismissed]
        used, unclear = ([row for row in rows if row["used"] == answer] for answer in ("yes", "unclear"))
        step = one.entry["step"]
        if used:
            what = "a suspected shortcut" if len(used) == 1 else f"{len(used)} suspected shortcuts"
            text = (
                f"{_sentence(used[0])} Look at the pictures: only a person can tell a shortcut from the object itself."
            )
            yield "caution", f"The model uses {what}", text, step
        elif rows:
            use = "unclear whether the model uses it" if unclear else "not used"
            title = f"{counted(len(rows), 'cue')} suspected in the data, {use}"
            yield "plain", title, _sentence(rows[0]), step
        else:
            text = (
                "No cue that the search looks for is far more frequent in one class than in the others. This does "
                "not rule out a shortcut."
            )
            yield "plain", "No shortcut was found", text, step


def _item(
    one: ShortcutList, row: dict[str, str], shown: dict[str, str], run: Path, *, is_dismissed: bool
) -> dict[str, Any]:
    undo = ["--undo"] if is_dismissed else []
    first_seen = [["first seen", f"epoch {row['first_seen']}"]] if row["first_seen"] else []
    return {
        "key": row["key"],
        "title": f"Class {row['class']}: {row['what']}",
        "used": row["used"] == "yes",
        "dismissed": is_dismissed,
        "short": f"{row['share']} vs. {row['share_elsewhere']} elsewhere · effect {row['effect']} sd",
        "facts": [
            ["kind", row["kind"]],
            ["share in the class", row["share"]],
            ["elsewhere", _elsewhere(row)],
            ["counts", row["counts"]],
            ["p-value", row["p_value"]],
            ["effect", f"{row['effect']} sd (lower bound {row['lower_bound']})"],
            ["control", row["control"]],
            *first_seen,
        ],
        "picture": shown.get("data"),
        **{key: address for key, address in shown.items() if key == "url"},
        "alt": _sentence(row),
        "dismiss": shlex.join(["saliency-callbacks", "dismiss", str(run), row["key"], *undo]),
        "cue": _CUE.format(namespace=one.tag.rpartition("/")[0], key=row["key"]),
    }


def _sentence(row: dict[str, str]) -> str:
    use = f"inserted into other classes, it shifts them towards {row['class']} by {row['effect']} standard deviations"
    return (
        f"{capitalized(row['what'])}: in {row['share']} of class {row['class']} and in "
        f"{_elsewhere(row)}; {use} (control {row['control']})."
    )


def _elsewhere(row: dict[str, str]) -> str:
    # By the count: a share of 0% may be a rounded one.
    is_nowhere = row["counts"].rpartition(", ")[2].startswith("0 of ")
    at_most = f"at most {row['share_elsewhere']} of any other class ({row['elsewhere']})"
    return "no other class" if is_nowhere else at_most


def _picture(one: ShortcutList, key: str, picture: ReadPicture, notes: list[str]) -> dict[str, str]:
    """Return what stands for the newest picture of a suspicion."""
    tag = one.picture_tags[key]
    for entry in reversed(one.archive.observations):
        if tag in entry["pictures"]:
            found = picture(one.archive.directory, entry["pictures"][tag])
            if found is None:
                notes.append(f"The image of {key} cannot be read.")
            return found or {}
    return {}
