"""A request's body: read, or passed on as it arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

from aiohttp import web
from aiohttp.http_writer import StreamWriter

from proxy.errors import ClientGone, Refused
from proxy.http.decode import Undecodable, decoder
from proxy.http.wire import Body
from proxy.metering.asked import Asked, RequestReader, read_body
from proxy.metering.members import AT_ONCE, aside
from proxy.relay.uploads import Upload, Uploads
from serving.connection import take_rest

WHOLE_BODY = 256 * 1024
"""Bodies up to this size are read before the provider is asked; larger ones pass as they arrive."""

REPLAYED_BODY = 32 * 1024 * 1024
"""The same where a request may have to be sent again, to another account; then also of bodies whose length
is not told beforehand."""


Learn = Callable[[Asked], None]
Hear = Callable[[bytes], None]


async def body(
    request: web.BaseRequest,
    uploads: Uploads,
    learn: Learn,
    hear: Hear | None = None,
    max_bytes: int = 2**40,
    *,
    replay: bool = False,
) -> Body:
    """The request's body: bytes where it is small, else an iterator that passes chunks on.

    Args:
        uploads: keep the pace of what arrives.
        learn: is told what the request asks for, once its body is complete.
        hear: hears the body's bytes as they pass.
        replay: it may have to be sent again: read more of it before the provider is asked.
    Raises: Refused for a body that is too large, at once where its length is told beforehand.
    """
    if not request.can_read_body:
        return b"" if "Content-Length" in request.headers else None
    length = request.content_length
    if length is not None and length > max_bytes:
        raise _too_large(max_bytes)
    if request.headers.get("Expect", "").lower() == "100-continue":
        assert isinstance(request.writer, StreamWriter)
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    content_type, encoding = request.headers.get("Content-Type", ""), content_encoding(request)
    begun: list[bytes] = []
    upload = Upload(uploads)
    if replay if length is None else length <= (REPLAYED_BODY if replay else WHOLE_BODY):
        most, rest = min(REPLAYED_BODY, max_bytes), take_rest(request.content)
        if rest is not None:
            begun, complete = [rest], len(rest) <= most
        else:
            begun, complete = await _read(request, upload, most)
        if complete:
            whole = begun[0] if len(begun) == 1 else b"".join(begun)
            if len(whole) <= AT_ONCE and not encoding:
                learn(read_body(whole, content_type, ""))
            else:
                read = partial(read_body, whole, content_type, encoding)
                learn(await aside(len(whole), read, is_packed=bool(encoding)))
            if hear:
                hear(whole)
            return whole
    reader = RequestReader(content_type, encoding)
    return _passing(request, upload, begun, reader, learn, hear, max_bytes, length)


def decoded(whole: bytes, content_encoding: str) -> bytes | None:
    """A complete body without its coding; None where it cannot be read."""
    decode = decoder(content_encoding)
    try:
        return decode(whole) if decode else None
    except Undecodable:
        return None


def content_encoding(request: web.BaseRequest) -> str:
    """The codings of the body, of all headers that name some."""
    headers = request.headers
    return ", ".join(headers.getall("Content-Encoding")) if "Content-Encoding" in headers else ""


async def _passing(
    request: web.BaseRequest,
    upload: Upload,
    begun: Sequence[bytes],
    reader: RequestReader,
    learn: Learn,
    hear: Hear | None,
    max_bytes: int,
    length: int | None,
) -> AsyncIterator[bytes]:
    read = iter(begun)
    size, learnt = 0, False
    while chunk := next(read, b"") or await _chunk(request, upload):
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        reader.feed(chunk)
        if hear:
            hear(chunk)
        if size == length:  # before the provider has all of it: its answer may end before a thread does
            learn(await aside(size, reader.end, is_packed=reader.is_packed))
            learnt = True
        yield chunk
    if not learnt:
        learn(await aside(size, reader.end, is_packed=reader.is_packed))


async def _read(request: web.BaseRequest, upload: Upload, most: int) -> tuple[list[bytes], bool]:
    """The body's beginning, and whether that is all; reading ends soon after so many bytes."""
    chunks, size = [], 0
    while chunk := await _chunk(request, upload):
        chunks.append(chunk)
        size += len(chunk)
        if size > most:
            return chunks, False
    return chunks, True


async def _chunk(request: web.BaseRequest, upload: Upload) -> bytes:
    """The next bytes of the body; empty at its end. Raises: Refused, ClientGone."""
    content = request.content
    if (rest := take_rest(content)) is not None:  # all of it is here: no clock is needed
        return rest
    try:
        return await upload.read(content)
    except (web.RequestPayloadError, ConnectionError) as error:
        raise ClientGone from error


def _too_large(max_bytes: int) -> Refused:
    return Refused(413, "request_too_large", f"the request body is larger than {max_bytes} bytes")
