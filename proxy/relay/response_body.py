"""An answer's body on its way to the client, heard beside."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp.http_writer import StreamWriter

from proxy.errors import ClientGone
from proxy.http.upstream import Upstream
from proxy.http.wire import Answer
from proxy.relay.include_usage import Strip

Hear = Callable[[bytes], None]


async def pass_on(
    upstream: Upstream, answer: Answer, writer: StreamWriter, hear: Hear, begun: bytes = b""
) -> None:
    """Pass a body on as it comes.

    Args:
        begun: what was read, and heard, before.
    Raises: UpstreamError, ClientGone.
    """
    content = answer.content
    if not content.is_eof() and answer.headers.get("Content-Type", "").startswith("text/event-stream"):
        writer.send_headers()  # the first event may be long in coming
    chunk = begun
    while True:
        if not chunk and (chunk := await upstream.read(answer)):
            hear(chunk)
        last = content.at_eof()
        try:
            await (writer.write_eof(chunk) if last else writer.write(chunk))
        except ConnectionError as error:
            raise ClientGone from error
        if last:
            return
        chunk = b""


async def pass_stripped(
    upstream: Upstream,
    answer: Answer,
    writer: StreamWriter,
    hear: Hear,
    strip: Strip,
    begun: bytes = b"",
) -> None:
    """Pass a stream on without the event that was asked for on the client's behalf.

    Raises: UpstreamError, ClientGone.
    """
    writer.send_headers()
    try:
        if begun:
            await writer.write(strip(begun))
        while chunk := await upstream.read(answer):
            hear(chunk)
            if kept := strip(chunk):
                await writer.write(kept)
        await writer.write_eof(strip.end())
    except ConnectionError as error:
        raise ClientGone from error
