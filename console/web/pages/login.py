"""`/login` and `/logout`."""

from __future__ import annotations

import asyncio

from aiohttp import web

from console.web.access import COOKIE, form_of, own_path
from console.web.context import Context
from console.web.passwords import visitor_of_password


class LoginPages:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._one_at_a_time = asyncio.Lock()
        console = context.settings.console
        self._by_password = bool(console.view_password_hash or console.operate_password_hash)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/login", self.page),
            web.post("/login", self.enter),
            web.post("/logout", self.leave),
        ]

    async def page(self, request: web.Request) -> web.Response:
        return self._ask(request, own_path(request.query.get("next", "/")))

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """Log in, unless too many have tried. A password costs a core some 50 ms: one at a time."""
        access, form = self._context.access, await form_of(request)
        following = own_path(str(form.get("next", "/")))
        async with access.turn(request) as wait, self._one_at_a_time:
            if wait:
                return self._ask(request, following, f"Too many attempts; wait {wait} s.", 429)
            password = str(form.get("password", ""))
            visitor = await asyncio.to_thread(visitor_of_password, self._context.settings, password)
            if visitor is None:
                access.failed(request)
                return self._ask(request, following, "Wrong password.", 403)
        response = web.HTTPSeeOther(following)
        access.sessions.end(request[COOKIE])
        access.give_cookie(response, access.sessions.begin(visitor))
        return response

    async def leave(self, request: web.Request) -> web.StreamResponse:
        """Log out; the cookie is worth nothing any more."""
        access = self._context.access
        was_key = (visitor := access.visitor(request)) is not None and visitor.role == "key"
        access.sessions.end(request[COOKIE])
        response = web.HTTPSeeOther("/usage" if was_key else "/login")
        response.del_cookie(access.cookie_name, path="/")
        return response

    def _ask(
        self, request: web.Request, following: str, problem: str = "", status: int = 200
    ) -> web.Response:
        return self._context.pages.page(
            request,
            "login.html",
            status=status,
            next=following,
            problem=problem,
            by_password=self._by_password,
        )
