"""Search for shortcuts after the fact: the training images of a configuration, and the network of one checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saliency_callbacks.callbacks.base import ObservingCallback
from saliency_callbacks.callbacks.discovery.callback import ShortcutDiscovery
from saliency_callbacks.callbacks.runtime.settings import Storage
from saliency_callbacks.discovery.suspicion import Suspicion
from saliency_callbacks.replay.checkpoints import Checkpoint
from saliency_callbacks.replay.configuration import Run
from saliency_callbacks.replay.driver import replay
from saliency_callbacks.report.runs import read_run
from saliency_callbacks.report.shortcuts.lists import ShortcutList, lists_of
from saliency_callbacks.sinks.disk.atomic import replace_file

__all__ = ["LIST_NAME", "Searched", "search_for_shortcuts"]

LIST_NAME = "shortcuts.md"
"""Name of the list as Markdown."""


@dataclass(frozen=True)
class Searched:
    """What a search found, and where it lies.

    Args:
        suspicions: What was found, the most credible first.
        directory: Where the list, the pictures and the logs are.
        pictures: The pictures, in the order of the list.
    """

    suspicions: tuple[Suspicion, ...]
    directory: Path
    pictures: tuple[Path, ...]


def search_for_shortcuts(run: Run, checkpoint: Checkpoint) -> Searched:
    """Search once, as a :class:`~saliency_callbacks.ShortcutDiscovery` would in the training.

    The run's directory gets what that would write, and in addition the list as Markdown and each picture under a name
    that begins with its rank.

    Args:
        run: The configured training. Its own ``ShortcutDiscovery`` is taken, if it has one, else one with the defaults;
            where that keeps its files is of no account.
        checkpoint: The weights.

    Raises:
        ConfigurationError: If the checkpoint is not one of the model, or the search cannot work with model and data.
    """
    discovery = _discovery_of(run)
    others = [one for one in run.trainer.callbacks if not isinstance(one, ObservingCallback)]  # type: ignore[attr-defined]
    run.trainer.callbacks = [*others, discovery]  # type: ignore[attr-defined]
    replay(run.trainer, run.module, [checkpoint], datamodule=run.datamodule)
    (found,) = lists_of(read_run(run.directory).archives)
    return Searched(discovery.suspicions, run.directory, tuple(_written(found, run.directory)))


def _discovery_of(run: Run) -> ShortcutDiscovery:
    own = (one for one in run.trainer.callbacks if isinstance(one, ShortcutDiscovery))  # type: ignore[attr-defined]
    discovery = next(own, None) or ShortcutDiscovery()
    # A search must not write into the training that it looks at.
    discovery.storage = Storage()
    # Nothing is left where its only evaluation is skipped.
    discovery.on_error = "raise"
    return discovery


def _written(found: ShortcutList, directory: Path) -> Sequence[Path]:
    """Write the list and copy the pictures to where a person looks first; return the pictures."""
    replace_file(directory / LIST_NAME, f"# Suspected shortcuts\n\n{found.table.markdown()}\n".encode())
    copies = []
    for rank, (key, tag) in enumerate(found.picture_tags.items(), start=1):
        if tag in found.entry["pictures"]:
            copies.append(directory / f"{rank}-{key}.png")
            shutil.copyfile(found.archive.directory / found.entry["pictures"][tag], copies[-1])
    return copies
