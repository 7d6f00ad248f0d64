"""The routes: which request is answered with what."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from http import HTTPStatus
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs

from saliency_callbacks.dashboard.answers import Answer, RequestError, StartResponse, respond, wrap_json
from saliency_callbacks.dashboard.found_runs import FoundRun
from saliency_callbacks.dashboard.library import Library
from saliency_callbacks.dashboard.origins import check_method, check_origin

__all__ = ["App"]

_log = logging.getLogger(__name__)
_MOST_RUNS = 2

Query = Mapping[str, list[str]]


class App:
    """What answers the page's requests; one WSGI application for each route.

    Args:
        library: The runs.
    """

    def __init__(self, library: Library) -> None:
        self.library = library

    @cached_property
    def routes(self) -> dict[str, Callable[[Query], Answer]]:
        """The name of each route, and what answers it."""
        return {
            "page.html": lambda _: _text(_page, "text/html"),
            "body.html": lambda _: _text(_body, "text/html"),
            "page.css": lambda _: _text(_style, "text/css"),
            "page.js": lambda _: _text(_script, "text/javascript"),
            "index.js": lambda _: _text(partial(_asset, "index.js"), "text/javascript"),
            "runs.json": lambda _: wrap_json(self.library.overview()),
            "run.json": self._run,
            "map.json": self._map,
            "slice.json": self._slice,
            "picture": self._picture,
        }

    def serve(self, route: str, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request for one of the routes; whatever goes wrong is told, and never raised."""
        try:
            check_method(environ)
            check_origin(environ)
            query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
            if route not in self.routes:
                raise RequestError(HTTPStatus.NOT_FOUND, f"there is no page {route!r}")
            return respond(self.routes[route](query), environ, start_response)
        except RequestError as error:
            return respond(error.answer(), environ, start_response)
        except Exception as error:
            _log.exception("%s could not be answered", route)
            internal = RequestError(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: {error}")
            return respond(internal.answer(), environ, start_response)

    @cached_property
    def _views(self) -> Any:
        from saliency_callbacks.dashboard.views import Views  # noqa: PLC0415 - TensorBoard's start need not wait for it

        return Views()

    def _run(self, query: Query) -> Answer:
        answer: Answer = self._views.run(self._runs(query.get("run", [])))
        return answer

    def _map(self, query: Query) -> Answer:
        step = _integer(query, "step")
        runs = self._runs([_one(query, "run"), *query.get("beside", [])])
        moment = step, _one(query, "stage")
        where = _place(query) if "slice" in query else None
        answer: Answer = self._views.map(runs, _one(query, "monitor"), moment, _one(query, "method"), where)
        return answer

    def _slice(self, query: Query) -> Answer:
        run = self.library.run(_one(query, "run"))
        answer: Answer = self._views.slice(run, _one(query, "monitor"), _place(query))
        return answer

    def _picture(self, query: Query) -> Answer:
        run, archive = self.library.run(_one(query, "run")), _one(query, "archive")
        if "drawing" in query:
            answer: Answer = self._views.drawing(run, archive, _one(query, "drawing"))
        else:
            answer = self._views.picture(run, archive, _one(query, "file"))
        return answer

    def _runs(self, names: Sequence[str]) -> list[FoundRun]:
        if not 1 <= len(names) <= _MOST_RUNS:
            raise RequestError(HTTPStatus.BAD_REQUEST, f"{len(names)} runs were given; expected one or two")
        return [self.library.run(name) for name in names]


def _one(query: Query, name: str) -> str:
    given = query.get(name, [])
    if len(given) != 1:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"{name} was given {len(given)} times; expected once")
    return given[0]


def _place(query: Query) -> tuple[int, int]:
    """Return the axis and the slice that are named."""
    return _integer(query, "axis"), _integer(query, "slice")


def _integer(query: Query, name: str) -> int:
    given = _one(query, name)
    try:
        return int(given)
    except ValueError as error:  # also of numbers with thousands of digits
        raise RequestError(
            HTTPStatus.BAD_REQUEST, f"{name}={given[:20]!r} is not a number; expected an integer, from 0 up"
        ) from error


def _text(make: Callable[[], str], kind: str) -> Answer:
    return Answer(lambda: make().encode(), f"{kind}; charset=utf-8")


def _page() -> str:
    return _asset("page.html.j2").replace("{{ body }}", _body())


def _body() -> str:
    from saliency_callbacks.report.page import markup  # noqa: PLC0415

    return markup()


def _style() -> str:
    from saliency_callbacks.report.page import style  # noqa: PLC0415

    return style()


def _script() -> str:
    from saliency_callbacks.report.page import script  # noqa: PLC0415

    return script()


def _asset(name: str) -> str:
    return (files("saliency_callbacks.dashboard") / "assets" / name).read_text("utf-8")
