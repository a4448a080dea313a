"""The simulated provider: an OpenAI-compatible HTTP server whose every answer is scripted.

async with serve(script(Answer(usage=Usage(100, 20)))) as upstream:
    client = AsyncOpenAI(base_url=upstream.base_url, api_key="sk-...")
    ...
    assert upstream.log[0].usage.input_tokens == 100
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from aiohttp import web

from simulator.errors import CodingError
from simulator.listening import listening
from simulator.provider.answering import JSON, answer, pretty, refuse
from simulator.provider.apis.call import Call
from simulator.provider.apis.catalogue import APIS, Api, models
from simulator.provider.coding import decode
from simulator.provider.log import Exchange, masked, masked_headers
from simulator.provider.reply import Reply
from simulator.provider.script import Asked, Play, Refuse, Script

STORED_RESPONSES = 1_000
"""Responses that can be read again; the oldest is forgotten first."""


class Upstream:
    """A running provider.

    Attributes:
        origin: `http://HOST:PORT`.
        stopping: set when the server ends, so that nothing hangs longer than it.
    """

    def __init__(self, play: Play, *, keep_bytes: bool, keep_last: int | None) -> None:
        self.origin = ""
        self.stopping = asyncio.Event()
        self._play = play
        self._keep_bytes = keep_bytes
        self._log: deque[Exchange] = deque(maxlen=keep_last)
        self._next = 0
        self._stored: OrderedDict[str, dict[str, Any]] = OrderedDict()

    @property
    def base_url(self) -> str:
        """The address that OpenAI's clients want: with `/v1`."""
        return self.origin + "/v1"

    @property
    def log(self) -> tuple[Exchange, ...]:
        """What was answered, in the order in which the answers ended."""
        return tuple(self._log)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        reply = Reply(request, await self._arrived(request), self.stopping, self._keep_bytes)
        try:
            api = APIS.get(request.path)
            if api is not None and request.method == "POST":
                return await self._generate(request, reply, api)
            return await self._read(request, reply)
        except ConnectionResetError:  # the client left; aiohttp ends the connection
            return reply.response
        finally:
            self._log.append(reply.result())

    async def _arrived(self, request: web.Request) -> Exchange:
        body = await request.read()
        credential = request.headers.get("Authorization") or request.headers.get("x-api-key")
        return Exchange(
            number=None,
            api=_api_name(request.path),
            method=request.method,
            path=request.raw_path,
            authorization=masked(credential),
            request_headers=masked_headers(request.headers.items()) if self._keep_bytes else (),
            received=body if self._keep_bytes else b"",
        )

    async def _generate(self, request: web.Request, reply: Reply, api: Api) -> web.StreamResponse:
        document = await _document(request)
        if isinstance(document, Refuse):
            return await refuse(reply, api.name, document)
        number, self._next = self._next, self._next + 1
        stream = document.get("stream") is True and api.events is not None
        asked = Asked(number, api.name, document["model"], stream, reply.exchange.authorization)
        call = Call(number, document, self._play.answer(asked))
        reply.exchange = replace(reply.exchange, number=number, streamed=stream)
        if api.name == "responses" and call.answer.fault is None and document.get("store") is not False:
            self._store(api.body(call))
        return await answer(reply, api, call)

    async def _read(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        if request.path == "/v1/models" and request.method == "GET":
            return await reply.whole(200, pretty(models()), JSON)
        stored = self._stored.get(request.path.removeprefix("/v1/responses/"))
        if stored is not None and request.method == "GET":
            return await reply.whole(200, pretty(stored), JSON)
        return await refuse(reply, reply.exchange.api, _unknown(request))

    def _store(self, response: dict[str, Any]) -> None:
        self._stored[response["id"]] = response
        if len(self._stored) > STORED_RESPONSES:
            self._stored.popitem(last=False)


@asynccontextmanager
async def serve(
    play: Play | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    keep_bytes: bool = True,
    keep_last: int | None = None,
) -> AsyncIterator[Upstream]:
    """A provider that runs in this loop until the block is left.

    Args:
        play: what is answered; without it every answer is the plain `Answer()`.
        port: 0 takes a free one.
        keep_bytes: remember headers and bodies too.
        keep_last: how many exchanges are remembered; None remembers all.
    Raises: OutputError where the address cannot be used.
    """
    upstream = Upstream(play or Script(), keep_bytes=keep_bytes, keep_last=keep_last)
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", upstream.handle)
    # compressed request bodies are to be remembered as they came
    runner = web.AppRunner(
        app, handler_cancellation=True, auto_decompress=False, access_log=None, shutdown_timeout=1.0
    )
    async with listening(runner, host, port) as upstream.origin:
        try:
            yield upstream
        finally:
            upstream.stopping.set()


async def _document(request: web.Request) -> dict[str, Any] | Refuse:
    """The request's JSON, or why it is refused."""
    try:
        document = json.loads(decode(request.headers.get("Content-Encoding", ""), await request.read()))
    except (ValueError, CodingError) as error:
        return _invalid(f"We could not parse the JSON body of your request: {error}")
    if not isinstance(document, dict) or not isinstance(document.get("model"), str):
        return _invalid("you must provide a model parameter")
    return document


def _invalid(message: str) -> Refuse:
    return Refuse(400, None, "invalid_request_error", message)


def _unknown(request: web.Request) -> Refuse:
    if request.path in APIS:
        message = f"Method {request.method} is not allowed for {request.path}"
        return Refuse(405, "method_not_allowed", "invalid_request_error", message)
    message = f"Invalid URL ({request.method} {request.path})"
    return Refuse(404, "unknown_url", "invalid_request_error", message)


def _api_name(path: str) -> str:
    if path.startswith("/v1/responses/"):
        return "responses"
    return "models" if path.startswith("/v1/models") else APIS[path].name if path in APIS else "other"
