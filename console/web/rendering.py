"""Templates: every value is escaped, every page gets what all pages need."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from console import formats, times
from console.web.access import VISITOR, Access
from console.web.static_files import StaticFile
from settings.model import Settings

HTML = "text/html"

NAVIGATION = (
    ("/", "Requests"),
    ("/accounts", "Accounts"),
    ("/keys", "Keys"),
    ("/prices", "Prices"),
    ("/health", "Health"),
    ("/dashboards", "Dashboards"),
    ("/runbooks", "Runbooks"),
)


class Pages:
    def __init__(self, settings: Settings, access: Access, files: dict[str, StaticFile]) -> None:
        self.settings = settings
        self.zone = settings.console.zone
        self._access = access
        self._environment = Environment(
            loader=FileSystemLoader(Path(__file__).with_name("templates")),
            autoescape=True,
            auto_reload=False,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(
            static={name: file.address for name, file in files.items()},
            navigation=NAVIGATION,
            presets=times.PRESETS,
            f=formats,
            NOTHING=formats.NOTHING,
        )

    def fragment(self, request: web.Request, template: str, **values: Any) -> str:
        return self._environment.get_template(template).render({**self._common(request), **values})

    def page(self, request: web.Request, template: str, *, status: int = 200, **values: Any) -> web.Response:
        text = self.fragment(request, template, **values)
        return web.Response(text=text, content_type=HTML, status=status)

    async def stream(
        self, request: web.Request, response: web.StreamResponse, pieces: AsyncIterator[str]
    ) -> web.StreamResponse:
        """A page piece by piece: what is known is on the screen while the rest is still asked for."""
        response.content_type = HTML
        response.charset = "utf-8"
        await response.prepare(request)
        async for piece in pieces:
            await response.write(piece.encode("utf-8", "replace"))
        await response.write_eof()
        return response

    def _common(self, request: web.Request) -> dict[str, Any]:
        visitor = request.get(VISITOR)
        return {
            "visitor": visitor,
            "csrf": self._access.token(request),
            "path": request.path,
            "now": datetime.now(UTC),
            "zone": self.zone,
            "console": self.settings.console,
            "grafana": self.settings.rules.dashboard_base_url.rstrip("/"),
            "login_is_asked": self.settings.console.asks_for_login,
        }
