"""The tab "Saliency" of TensorBoard.

TensorBoard imports this when it starts, so nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

from tensorboard.plugins import base_plugin

from saliency_callbacks.dashboard.activity import Activity
from saliency_callbacks.dashboard.logdirs import LogDirectory, parse_logdir, parse_logdir_spec

__all__ = ["SaliencyPlugin"]

_ROUTES = (
    "page.html", "body.html", "page.css", "page.js", "index.js", "runs.json", "run.json", "map.json",
    "slice.json", "picture",
)  # fmt: skip


class SaliencyPlugin(base_plugin.TBPlugin):  # type: ignore[misc, unused-ignore]
    """Shows the runs below TensorBoard's logdir.

    Args:
        context: TensorBoard's, with the logdir.
    """

    plugin_name = "saliency"

    def __init__(self, context: Any) -> None:
        self._directories = _directories(context)

    def get_plugin_apps(self) -> dict[str, Callable[..., Any]]:
        """Return a WSGI application for each route."""
        return {f"/{route}": partial(self._serve, route) for route in _ROUTES}

    def is_active(self) -> bool:
        """Return whether there is a run to show."""
        return self._activity.is_active()

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """Return how TensorBoard lists the tab."""
        return base_plugin.FrontendMetadata(es_module_path="/index.js", tab_name="Saliency", disable_reload=True)

    def _serve(self, route: str, environ: dict[str, Any], start_response: Any) -> Any:
        return self._app.serve(route, environ, start_response)

    @cached_property
    def _activity(self) -> Activity:
        def search() -> bool:
            from saliency_callbacks.dashboard.found_runs import any_run  # noqa: PLC0415 - see above

            return any_run(self._directories)

        return Activity(search)

    @cached_property
    def _app(self) -> Any:
        from saliency_callbacks.dashboard.app import App  # noqa: PLC0415 - see above
        from saliency_callbacks.dashboard.library import Library  # noqa: PLC0415

        return App(Library(self._directories))


def _directories(context: Any) -> tuple[LogDirectory, ...]:
    flags = getattr(context, "flags", None)
    spec = getattr(flags, "logdir_spec", None)
    if spec:
        return parse_logdir_spec(spec)
    given = getattr(context, "logdir", None) or getattr(flags, "logdir", None)
    return parse_logdir(given) if given else ()
