"""What the page shows of runs, and the maps it then asks for."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from saliency_callbacks.dashboard.answers import RequestError
from saliency_callbacks.dashboard.found_runs import FoundRun
from saliency_callbacks.dashboard.links import Links
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.report.comparison import check_comparable
from saliency_callbacks.report.payload import payload_of
from saliency_callbacks.report.run_contents import Contents, read_contents
from saliency_callbacks.report.runs import RunDirectory, read_archives
from saliency_callbacks.report.sprites import LONGEST_SIDES, Quality, encode_text, shared_scales, sprite
from saliency_callbacks.report.stored_pictures import embedded_picture

__all__ = ["payload", "picture_of", "sprite_of"]

_QUALITY = Quality(LONGEST_SIDES[0], lossless=False)


def _contents(run: FoundRun) -> Contents:
    archives, notes = read_archives(run.directory, run.archives)
    if not any(archive.observations for archive in archives):
        raise RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, " ".join(notes) or "nothing was observed yet")
    return read_contents(RunDirectory(run.directory, run.id, archives, notes), 1e9)


def payload(runs: Sequence[FoundRun]) -> dict[str, Any]:
    """Return the data of the page for one run, or two side by side.

    Raises:
        RequestError: If nothing can be read, or two runs cannot be compared.
    """
    contents = [_contents(run) for run in runs]
    try:
        check_comparable(contents)
    except ConfigurationError as error:
        raise RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
    links = Links(
        {
            archive.directory: (run.id, archive.name)
            for run, content in zip(runs, contents, strict=True)
            for archive in content.run.archives
        }
    )
    found = payload_of(contents, links)
    return {**found, "versions": [run.state()[0] for run in runs]}


def sprite_of(run: FoundRun, monitor: str, step: int, stage: str, method: str) -> dict[str, Any]:
    """Return one method's maps of one observation.

    Raises:
        RequestError: If there are none.
    """
    for found in _contents(run).monitors:
        for one in found.observations:
            if (found.archive.name, one.entry["step"], one.entry["stage"]) == (monitor, step, stage):
                maps = one.maps.get(method)
                if maps is None:
                    break
                if found.probe.images is None:
                    return encode_text(maps)
                return sprite(maps, shared_scales(found.observations, method), _QUALITY)
    raise RequestError(HTTPStatus.NOT_FOUND, f"the {method} map of step {step} is not kept")


def picture_of(run: FoundRun, archive: str, file: str) -> bytes:
    """Return a picture that a callback drew and its DiskSink kept, as a WebP.

    Raises:
        RequestError: If there is none.
    """
    archives, _ = read_archives(run.directory, run.archives)
    for one in archives:
        listed = (path for entry in one.observations for path in entry["pictures"].values())
        if one.name == archive and file in listed:
            found = embedded_picture(one.directory, file)
            if found is not None:
                return base64.b64decode(found["data"])
    raise RequestError(HTTPStatus.NOT_FOUND, f"the picture {file!r} of {archive} is not kept")
