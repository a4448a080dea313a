"""`/keys`: spend against budgets; `/usage`: what the holder of one key sees of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from console.errors import PageError
from console.export import money
from console.web import keys
from console.web.access import VISITOR, form_of
from console.web.context import Context
from console.web.passwords import holder_of_key
from console.web.sessions import Visitor
from ledger.requests.answers import Totals


class KeyPages:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._keys = context.settings.proxy_keys

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/keys", self.list),
            web.get("/usage", self.usage),
            web.post("/usage", self.enter),
        ]

    async def list(self, request: web.Request) -> web.Response:
        now, chosen = datetime.now(UTC), request.query.get("name", "")
        found = await self._context.ledger.ask(
            lambda c, book: keys.key_list(c, book, self._keys, now, chosen)
        )
        values: dict[str, Any] = {"keys": found, "chosen": chosen}
        return self._context.pages.page(request, "keys.html", **values)

    async def usage(self, request: web.Request) -> web.StreamResponse:
        """The key's own usage, as a page, or as JSON for one who brings the key as a bearer token."""
        visitor = request.get(VISITOR)
        brings = "Authorization" in request.headers
        if brings and (visitor is None or visitor.role != "key"):
            self._context.access.failed(request)
            raise PageError(401, "this is no key of this proxy")
        if visitor is None or visitor.role != "key":
            return self._ask(request, "")
        key = self._keys.get(visitor.name)
        if key is None:
            return self._ask(request, "This key is no longer configured.")
        now, zone = datetime.now(UTC), self._context.pages.zone
        found = await self._context.ledger.ask(
            lambda c, book: keys.own_usage(c, book, visitor.name, key, now, zone)
        )
        if brings:
            return web.json_response(text=_document(visitor, found))
        return self._context.pages.page(request, "usage.html", usage=found, name=visitor.name)

    async def enter(self, request: web.Request) -> web.StreamResponse:
        access, form = self._context.access, await form_of(request)
        async with access.turn(request) as wait:
            if wait:
                return self._ask(request, f"Too many attempts; wait {wait} s.", status=429)
            holder = holder_of_key(self._keys, str(form.get("key", "")).strip())
            if holder is None:
                access.failed(request)
                return self._ask(request, "Unknown key.", status=403)
        response = web.HTTPSeeOther("/usage")
        access.give_cookie(response, access.sessions.begin(holder))
        return response

    def _ask(self, request: web.Request, problem: str, status: int = 200) -> web.Response:
        return self._context.pages.page(request, "usage_login.html", status=status, problem=problem)


def _document(visitor: Visitor, found: keys.OwnUsage) -> str:
    return money(
        {
            "key": visitor.name,
            "periods": {word.lower().replace(" ", "_"): _sums(sums) for word, sums in found.periods},
            "budgets": [
                {
                    "period": budget.title,
                    "limit_usd": budget.limit,
                    "spent_usd": budget.spent,
                    "resets_at": budget.resets_at.isoformat().replace("+00:00", "Z"),
                }
                for budget in found.budgets
            ],
            "models": [{"model": model, **_sums(sums)} for model, sums in found.models],
            "refused": found.refused,
        }
    )


def _sums(sums: Totals) -> dict[str, Any]:
    return {
        "requests": sums.requests,
        "failed": sums.errors,
        "input_tokens": sums.counts.input,
        "cached_input_tokens": sums.counts.cached_input,
        "output_tokens": sums.counts.output,
        "cost_usd": sums.usd,
        "unpriced": sums.unpriced,
    }
