"""Who may come in, and what nobody may be made to do: every request passes here first."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage
from multidict import MultiDictProxy

from console.errors import PageError
from console.web.passwords import holder_of_key
from console.web.sessions import Attempts, Sessions, Visitor
from settings.callers import network_of
from settings.model import Settings, guard, is_loopback, split_address

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

VISITOR: Final = web.RequestKey("visitor", Visitor)
COOKIE: Final = web.RequestKey("cookie", str)
NEW_COOKIE: Final = web.RequestKey("new_cookie", bool)

PUBLIC = ("/healthz",)
OPEN = ("/login", "/logout", "/usage", "/static/")
"""Paths for which nobody has to be known; what is shown there depends on who asks."""

_PASSED_ON = ("forwarded", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip")
_MAX_NAME = 100


class Access:
    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        console = settings.console
        self.settings = settings
        self.sessions = Sessions(console.session_hours * 3600, clock)
        self._attempts = Attempts(clock)
        self.secure = console.address.startswith("https://")
        self.cookie_name = f"quotascope-{split_address(console.listen_addr)[1]}"
        self._guard = guard(settings, console.listen_addr)
        self._proxies = tuple(map(network_of, settings.callers.proxies))
        self._open = console.public or is_loopback(console.listen_addr)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in PUBLIC:
            return await handler(request)
        self._check_page(request)
        cookie = request.cookies.get(self.cookie_name, "")
        request[NEW_COOKIE] = not cookie
        request[COOKIE] = cookie or self.sessions.unknown()
        visitor = self.visitor(request)
        if visitor is not None:
            request[VISITOR] = visitor
        if request.method not in ("GET", "HEAD"):
            await self._check_token(request)
        if request.path != "/login" and not _is_open(request.path) and (not visitor or not visitor.may_look):
            return self._ask_for_login(request)
        return await handler(request)

    def visitor(self, request: web.Request) -> Visitor | None:
        """Who asks; None for nobody who is known."""
        header = request.headers.get("Authorization", "")
        if header.lower().startswith("bearer "):
            if holder := holder_of_key(self.settings.proxy_keys, header[7:].strip()):
                return holder
        elif known := self.sessions.of(request.cookies.get(self.cookie_name, "")):
            return known
        if self.settings.console.user_header:
            return self._named_by_proxy(request, self.settings.console.user_header)
        if self._open and not self.settings.console.asks_for_login and not self._is_passed_on(request):
            return Visitor("local", "operate")
        return None

    def _peer(self, request: web.Request) -> str:
        """The address that an attempt is counted for: behind a reverse proxy, the one it names last."""
        if self._is_proxy(request.remote):
            passed_on = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
            if passed_on:
                return passed_on[:_MAX_NAME]
        return request.remote or "socket"

    def turn(self, request: web.Request) -> AbstractAsyncContextManager[int]:
        """An attempt to log in; gives the seconds that it has to wait, 0 for none."""
        return self._attempts.turn(self._peer(request), local=self._is_local(request))

    def failed(self, request: web.Request) -> None:
        self._attempts.failed(self._peer(request), local=self._is_local(request))

    def token(self, request: web.Request) -> str:
        """What a form of this page has to carry."""
        return self.sessions.token(request[COOKIE])

    def give_cookie(self, response: web.StreamResponse, cookie: str) -> None:
        response.set_cookie(
            self.cookie_name,
            cookie,
            max_age=int(self.sessions.seconds),
            httponly=True,
            samesite="Strict",
            secure=self.secure,
            path="/",
        )

    def _check_page(self, request: web.Request) -> None:
        """By the guard of all servers; a link on another page may lead here, for that page sees no answer."""
        headers = request.headers.copy()
        if is_navigation(request):
            headers.popall("Sec-Fetch-Site", None)
        refusal = self._guard.refusal(headers, request.remote)
        if refusal is not None:
            raise PageError(403, f"{refusal.code}: {refusal.message}")

    async def _check_token(self, request: web.Request) -> None:
        """An action comes from a form of our own."""
        given = request.headers.get("X-CSRF-Token", "")
        if not given and request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
            given = str((await form_of(request)).get("csrf", ""))
        if request[NEW_COOKIE] or not self.sessions.is_token(request[COOKIE], given):
            raise PageError(403, "this form is too old, or of another page: open the page again")

    def _ask_for_login(self, request: web.Request) -> web.StreamResponse:
        """The login; where the cookie was kept back because another site linked here, the page once more."""
        if request.headers.get("HX-Request") or request.method != "GET" or _wants_data(request):
            raise PageError(401, "log in first")
        if is_navigation(request) and request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
            headers = {"Refresh": f"0;url={own_path(request.path_qs)}"}
            return web.Response(text="Redirecting ...\n", headers=headers)
        raise web.HTTPSeeOther(f"/login?next={quote(request.path_qs, safe='')}")

    def _named_by_proxy(self, request: web.Request, header: str) -> Visitor | None:
        names = request.headers.getall(header, [])
        if not self._is_proxy(request.remote) or len(names) != 1 or not names[0].strip():
            return None
        name = names[0].strip()[:_MAX_NAME]
        return Visitor(name, "operate" if name in self.settings.console.operators else "view")

    def _is_local(self, request: web.Request) -> bool:
        """Whether somebody on this machine sent it."""
        address = _address(request.remote)
        return (address is None or address.is_loopback) and not self._is_passed_on(request)

    def _is_passed_on(self, request: web.Request) -> bool:
        """Whether somebody else than this machine may have sent it."""
        return self._is_proxy(request.remote) or any(
            name.lower().startswith("x-forwarded-") or name.lower() in _PASSED_ON for name in request.headers
        )

    def _is_proxy(self, peer: str | None) -> bool:
        address = _address(peer)
        return address is not None and any(address in network for network in self._proxies)


def _address(peer: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None for a peer without one."""
    try:
        address = ipaddress.ip_address(peer or "")
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_navigation(request: web.Request) -> bool:
    """Whether a person goes to a page, as by a link: nothing changes, and nobody else sees the answer."""
    asked = request.headers.get
    return (
        request.method == "GET"
        and asked("Sec-Fetch-Mode") == "navigate"
        and asked("Sec-Fetch-Dest") == "document"
        and "Origin" not in request.headers
    )


def operator(request: web.Request) -> Visitor:
    """Who acts. Raises: PageError for one who may only look."""
    visitor: Visitor | None = request.get(VISITOR)
    if visitor is None or not visitor.may_act:
        raise PageError(403, "you may look, not act: log in as an operator")
    return visitor


def own_path(text: str) -> str:
    """A path of this server to go on to; `/` for anything else."""
    odd = not text.startswith("/") or text.startswith("//") or "\\" in text or not text.isprintable()
    return "/" if odd else text


async def form_of(request: web.Request) -> MultiDictProxy[Any]:
    """The fields of a form. Raises: PageError for a body that is none."""
    try:
        return await request.post()
    except (ValueError, LookupError, RuntimeError, BadHttpMessage, web.RequestPayloadError) as error:
        raise PageError(400, "the body of this request cannot be read as a form") from error


def _is_open(path: str) -> bool:
    return any(path == one or (one.endswith("/") and path.startswith(one)) for one in OPEN)


def _wants_data(request: web.Request) -> bool:
    return request.path.startswith(("/export.", "/live", "/health/", "/part/"))
