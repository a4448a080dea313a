"""The server: which path goes where, and the start and stop of everything that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from proxy.errors import ProxyError, Refused
from proxy.http.path import split_target
from proxy.http.response_head import error_response, json_response
from proxy.http.routes import METHODS, REFUSED_METHODS, backend_route, route
from proxy.http.upstream import Upstream
from proxy.relay.context import Target
from proxy.relay.relay import Relay
from serving.connection import Connection, ConnectionServer
from serving.service import authorized
from settings.callers import Guard
from settings.names import Names

BACKEND = "/backend-api/"
MAX_HEADER = 64 * 1024


@dataclass(frozen=True, slots=True)
class Site:
    """What the server serves besides the relay.

    Attributes:
        base_path: the path below which requests go to `upstream`, without a trailing slash.
        backend: where requests below /backend-api go.
        before_scrape: brings the metrics up to date; called in the loop.
        scrape: makes the exposition and its content type for a header Accept; called in a thread, so that
            requests go on meanwhile.
        ready: None when all is well, else what is not, for a person.
        token: what /metrics asks for; None leaves it open.
        guard: who may see /metrics and /readyz.
    """

    base_path: str
    upstream: Upstream
    backend: Upstream
    before_scrape: Callable[[], None]
    scrape: Callable[[str], tuple[bytes, str]]
    ready: Callable[[], str | None]
    token: str | None
    guard: Guard


class Application:
    """The proxy's request handler."""

    def __init__(self, relay: Relay, site: Site) -> None:
        self._relay = relay
        self._site = site
        self._below = f"{site.base_path}/"
        self._own = {"/metrics": self._metrics, "/healthz": self._healthz, "/readyz": self._readyz}
        self._targets = Names(self._target)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        method, raw = request.method, request.raw_path
        asked = f"{method} {raw}"
        try:  # what a query says is not kept: it may hold a key
            target = self._target(asked) if "?" in raw else self._targets[asked]
        except Refused as refused:
            return error_response(refused, refused.status, refused.code)
        if target is not None:
            return await self._relay(request, target)
        if method in REFUSED_METHODS:
            return _method_refused(method)
        own = self._own.get(split_target(raw)[0])
        if own is not None:
            return await own(request)
        return error_response(
            ProxyError(f"nothing is served at this path; requests go below {self._below} or {BACKEND}"),
            404,
            "not_found",
        )

    def _target(self, asked: str) -> Target | None:
        """Where a request goes; None for one that is answered here. Raises: Refused.

        Args:
            asked: method and target.
        """
        method, _, raw = asked.partition(" ")
        if method in REFUSED_METHODS:
            return None
        path, query = split_target(raw)
        if path.startswith(self._below):
            tail = path[len(self._site.base_path) :]
            return Target(self._site.upstream, "api", tail + query, route(method, tail))
        if path.startswith(BACKEND):
            return Target(self._site.backend, "backend", path + query, backend_route(method, path))
        return None

    def _refusal(self, request: web.BaseRequest) -> web.StreamResponse | None:
        known = self._site.token is not None and self._may_scrape(request)
        refusal = self._site.guard.refusal(request.headers, request.remote, known=known)
        return None if refusal is None else error_response(ProxyError(refusal.message), 403, refusal.code)

    async def _metrics(self, request: web.BaseRequest) -> web.StreamResponse:
        if (strange := self._refusal(request)) is not None:
            return strange
        if not self._may_scrape(request):
            refusal = error_response(ProxyError("/metrics asks for the bearer token"), 401, "unauthorized")
            refusal.headers["WWW-Authenticate"] = "Bearer"
            return refusal
        self._site.before_scrape()
        text, kind = await asyncio.to_thread(self._site.scrape, request.headers.get("Accept", ""))
        return web.Response(body=text, headers={"Content-Type": kind})

    def _may_scrape(self, request: web.BaseRequest) -> bool:
        return authorized(request.headers.get("Authorization", ""), self._site.token)

    async def _healthz(self, request: web.BaseRequest) -> web.StreamResponse:
        return json_response(200, {"status": "ok"})

    async def _readyz(self, request: web.BaseRequest) -> web.StreamResponse:
        if (strange := self._refusal(request)) is not None:
            return strange
        problem = self._site.ready()
        if problem is None:
            return json_response(200, {"status": "ready"})
        return json_response(503, {"status": "not ready", "reason": problem})


def _method_refused(method: str) -> web.Response:
    answer = error_response(ProxyError(f"{method} is not forwarded"), 405, "method_not_allowed")
    answer.headers["Allow"] = ", ".join(sorted(METHODS))
    return answer


def _error_answer(status: int, code: str, problem: str) -> web.Response:
    return error_response(ProxyError(problem), status, code)


class Server:
    """A listening socket with the application behind it.

    Args:
        grace: seconds that running requests may go on when the server stops.
    """

    def __init__(self, application: Application, relay: Relay, *, grace: float) -> None:
        self._relay = relay
        self._grace = grace
        self._server = ConnectionServer(
            application,
            error_answer=_error_answer,
            handler_cancellation=True,  # a caller who leaves ends its request at the provider too
            auto_decompress=False,
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
        )
        # aiohttp's own grace drops the bytes of running uploads; `stop` waits by itself.
        self._runner = web.ServerRunner(self._server, shutdown_timeout=0.1)

    async def start(self, host: str, port: int, *, shared: bool = False) -> int:
        """Listen; returns the port, also where 0 was asked for.

        Args:
            shared: other processes listen on the same address; the kernel spreads connections.
        Raises: OSError.
        """
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, reuse_port=shared or None)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Accept nothing new, let running requests finish within the grace, cut the rest."""
        for site in list(self._runner.sites):
            await site.stop()
        for connection in self._connections():
            if not connection.busy:
                connection.close()
        deadline = asyncio.get_running_loop().time() + self._grace
        while self._relay.running and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        self._relay.stopping = True
        for connection in self._connections():
            connection.cut()
        await self._runner.cleanup()

    def _connections(self) -> list[Connection]:
        return [one for one in self._server.connections if isinstance(one, Connection)]
