"""`/healthz`, `/health` and `/health/checks`; the same checks where a view shows nothing."""

from __future__ import annotations

from aiohttp import web

from console.conditions import Selection
from console.web.context import Context
from console.web.health import checks


class HealthPages:
    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/healthz", self.alive),
            web.get("/health", self.page),
            web.get("/health/checks", self.document),
        ]

    async def alive(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def page(self, request: web.Request) -> web.Response:
        context, chosen = self._context, self._context.selection(request)
        found = await checks(context.settings, context.ledger, chosen)
        return context.pages.page(request, "health.html", checks=found)

    async def document(self, request: web.Request) -> web.Response:
        context, chosen = self._context, self._context.selection(request)
        found = await checks(context.settings, context.ledger, chosen)
        wrong = any(check.result == "failed" for check in found)
        return web.json_response({"ok": not wrong, "checks": [check.document() for check in found]})


async def empty_view(context: Context, request: web.Request, chosen: Selection) -> str:
    found = await checks(context.settings, context.ledger, chosen)
    return context.pages.fragment(request, "part_checks.html", checks=found, title="Why is there no data?")
