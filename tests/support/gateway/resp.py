"""The RESP side of a simulated gateway."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from tests.support.gateway.access import Access
from tests.support.gateway.queue import Queue, Subscriber


class BadRequest(Exception):
    """What came is no command; the text is the protocol's."""


async def serve(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    queue: Queue,
    access: Access,
    first: bytes = b"",
    *,
    home: bool = False,
    subscriptions: bool = True,
) -> None:
    """Answer one connection until it ends.

    Args:
        first: what was read of the connection already.
        home: the node is governed by a Home.
        subscriptions: it knows SUBSCRIBE; older ones do not.
    """
    if home:
        return await _send(writer, _error("ERR redis usage output disabled in home mode"))
    known = False
    while True:
        try:
            words = await read_command(reader, first)
        except BadRequest as error:
            return await _send(writer, _error(f"ERR {error}"))
        if words is None:
            return None
        first = b""
        command = words[0].strip().upper() if words else ""
        if not words:
            answer = _error("ERR empty command")
        elif command == "AUTH":
            known, answer = _authenticate(words, access, known)
        elif not known:
            refused = access.refusal("")
            banned = refused is not None and refused[1].startswith("IP banned")
            answer = _error(f"ERR {refused[1]}" if refused and banned else "NOAUTH Authentication required.")
        elif command == "SUBSCRIBE" and subscriptions:
            channel = words[1].strip().lower() if len(words) == 2 else ""
            if channel in ("usage", "errors"):
                return await _stream(reader, writer, queue, channel)
            answer = _error(f"ERR unsupported channel '{channel}'")
        elif command in ("LPOP", "RPOP"):
            answer = _pop(words, queue)
        else:
            answer = _error(f"ERR unknown command '{command.lower()}'")
        await _send(writer, answer)


def _authenticate(words: Sequence[str], access: Access, known: bool) -> tuple[bool, bytes]:
    if len(words) not in (2, 3):
        access.refusal("")
        return known, _error("ERR wrong number of arguments for 'auth' command")
    refused = access.refusal(words[-1])
    return (True, b"+OK\r\n") if refused is None else (known, _error(f"ERR {refused[1]}"))


def _pop(words: Sequence[str], queue: Queue) -> bytes:
    if len(words) not in (2, 3):
        return _error(f"ERR wrong number of arguments for '{words[0].lower()}' command")
    count = 1
    if len(words) == 3:
        try:
            count = int(words[2])
        except ValueError:
            count = 0
    if count <= 0:
        return _error("ERR value is not an integer or out of range")
    if words[1].strip().lower() != "usage":
        return _error(f"ERR unsupported channel '{words[1]}'")
    items = queue.pop(count)
    if len(words) == 3:
        return b"*%d\r\n" % len(items) + b"".join(map(_bulk, items))
    return _bulk(items[0]) if items else b"$-1\r\n"


async def _stream(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, queue: Queue, channel: str
) -> None:
    subscriber = queue.subscribe(channel)
    try:
        await _send(writer, b"*3\r\n$9\r\nsubscribe\r\n" + _bulk(channel.encode()) + b":1\r\n")
        await _both_ways(reader, writer, subscriber, channel)
    finally:
        queue.unsubscribe(subscriber)


async def _both_ways(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, subscriber: Subscriber, channel: str
) -> None:
    """Messages and commands; where both wait, either may come first."""
    command = asyncio.create_task(_command(reader))
    try:
        while True:
            arrived = asyncio.create_task(subscriber.arrived.wait())
            try:
                await asyncio.wait({command, arrived}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                arrived.cancel()
            if command.done() and (not subscriber.messages or random.random() < 0.5):
                words = command.result()
                if words is None or not await _answer(writer, words, channel):
                    return
                command = asyncio.create_task(_command(reader))
            elif subscriber.messages:
                message = subscriber.messages.popleft()
                await _send(writer, b"*3\r\n$7\r\nmessage\r\n" + _bulk(channel.encode()) + _bulk(message))
            elif subscriber.closed:
                return
            if not subscriber.messages and not subscriber.closed:
                subscriber.arrived.clear()
    finally:
        command.cancel()


async def _command(reader: asyncio.StreamReader) -> list[str] | None:
    try:
        return await read_command(reader)
    except BadRequest:
        return None


async def _answer(writer: asyncio.StreamWriter, words: Sequence[str], channel: str) -> bool:
    """Whether the connection stays open."""
    command = words[0].strip().upper() if words else ""
    if command == "PING":
        payload = words[1].encode() if len(words) > 1 else None
        await _send(writer, b"*2\r\n$4\r\npong\r\n" + (b"$-1\r\n" if payload is None else _bulk(payload)))
        return True
    if command == "UNSUBSCRIBE":
        await _send(writer, b"*3\r\n$11\r\nunsubscribe\r\n" + _bulk(channel.encode()) + b":0\r\n")
        return False
    if command == "QUIT":
        await _send(writer, b"+OK\r\n")
        return False
    await _send(writer, _error(f"ERR unknown command '{command.lower()}'" if words else "ERR empty command"))
    return True


async def read_command(reader: asyncio.StreamReader, first: bytes = b"") -> list[str] | None:
    """One array of strings; None at the end of the connection. Raises: BadRequest."""
    line = await _line(reader)
    if line is None:
        return None
    head = first + line
    if not head.startswith(b"*") or not head[1:].isdigit():
        raise BadRequest("protocol error")
    words = []
    for _ in range(int(head[1:])):
        size = await _line(reader)
        if size is None:
            return None
        if size[:1] in (b"+", b":"):
            words.append(size[1:].decode("utf-8", "replace"))
            continue
        if size[:1] != b"$" or not size[1:].isdigit():
            raise BadRequest("protocol error")
        try:
            text = await reader.readexactly(int(size[1:]) + 2)
        except asyncio.IncompleteReadError:
            return None
        words.append(text[:-2].decode("utf-8", "replace"))
    return words


async def _line(reader: asyncio.StreamReader) -> bytes | None:
    try:
        line = await reader.readline()
    except (ValueError, OSError):
        return None
    return line.rstrip(b"\r\n") if line.endswith(b"\n") else None


def _bulk(data: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(data), data)


def _error(text: str) -> bytes:
    return f"-{text}\r\n".encode()


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
