"""What comes from the client: its target checked, its body read or passed on as it arrives."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable

from aiohttp import web
from aiohttp.http_writer import StreamWriter

from proxy.decode import Undecodable, decoder
from proxy.errors import Refused
from proxy.upstream import Body
from proxy.usage import NOTHING_ASKED, Asked, read_request

WHOLE_BODY = 256 * 1024
"""Bodies up to this size are read before the provider is asked; larger ones pass as they arrive."""

MOST_READ = 16 * 1024 * 1024
"""Bytes of a request that are kept to read what it asks for."""

_DOTS = re.compile(r"(?i)(?:^|/)(?:\.|%2e){1,2}(?:/|$)")


def target(raw: str) -> tuple[str, str]:
    """Path and query ("?..." or "") of a request target, as the client wrote them.

    Absolute-form targets keep path and query alone: the provider's host is never the client's choice.

    Raises: Refused for a path that a server could resolve to another one.
    """
    if not raw.startswith("/"):
        _, separator, rest = raw.partition("://")
        slash = rest.find("/")
        raw = rest[slash:] if separator and slash >= 0 else "/"
    path, question, query = raw.partition("?")
    if _DOTS.search(path) or "\\" in path or "#" in raw:
        raise Refused(400, "invalid_path", "the path has dot segments or characters that are not allowed")
    return path, question + query


async def body(request: web.BaseRequest, learn: Callable[[Asked], None]) -> Body:
    """The request's body: bytes where it is small, else an iterator that passes chunks on.

    Args:
        learn: is told what the request asks for, once its body is complete.
    """
    if not request.can_read_body:
        return None
    if request.headers.get("Expect", "").lower() == "100-continue":
        assert isinstance(request.writer, StreamWriter)
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    encoding = request.headers.get("Content-Encoding", "")
    length = request.content_length
    if length is not None and length <= WHOLE_BODY:
        whole = await request.content.read()
        learn(asked(whole, encoding))
        return whole
    return _passing(request, encoding, learn)


def asked(whole: bytes, content_encoding: str) -> Asked:
    """What a complete body asks for; nothing where it cannot be read."""
    decode = decoder(content_encoding)
    if decode is None:
        return NOTHING_ASKED
    try:
        return read_request(decode(whole))
    except Undecodable:
        return NOTHING_ASKED


async def _passing(
    request: web.BaseRequest, encoding: str, learn: Callable[[Asked], None]
) -> AsyncIterator[bytes]:
    kept: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size <= MOST_READ:
            kept.append(chunk)
        yield chunk
    if size <= MOST_READ:
        learn(asked(b"".join(kept), encoding))
