"""RESP, as much of it as a usage queue speaks: arrays of bulk strings there, and back what Redis answers.

A Redis client's own greeting (HELLO, SELECT, CLIENT) would count as a wrong key there, so this is our own.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from collector.errors import AnswerLost, NotRedis, Unreachable, Unsupported

MAX_LINE = 64 * 1024
MAX_BULK = 64 * 1024 * 1024
READ_BYTES = 256 * 1024
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
"""How long the gateway may take for an answer; a login there costs it a slow hash."""

_BULK, _ARRAY, _SIMPLE, _ERROR, _INTEGER = b"$*+-:"


@dataclass(frozen=True, slots=True)
class ErrorReply:
    text: str


Value = bytes | str | int | None | ErrorReply | list["Value"]


class Parser:
    """Bytes in, values out, whatever the pieces in which they come.

    Raises: NotRedis for what is no RESP.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._open: list[tuple[int, list[Value]]] = []
        self._complete: deque[Value] = deque()

    def feed(self, data: bytes) -> None:
        """Take bytes."""
        self._buffer += data
        at = 0
        while (found := self._one(at)) is not None:
            at = found
        del self._buffer[:at]

    def take(self) -> tuple[Value, ...]:
        """All values that are complete, in their order."""
        values = tuple(self._complete)
        self._complete.clear()
        return values

    def partial(self) -> list[bytes]:
        """The bulk strings of an array that is not complete: what has come of a lost answer."""
        return [item for _, items in self._open for item in items if isinstance(item, bytes)]

    def _one(self, at: int) -> int | None:
        """Parse the element that begins at a place; returns where the next begins, None without all of it."""
        buffer = self._buffer
        end = buffer.find(b"\r\n", at)
        if end < 0:
            if len(buffer) - at > MAX_LINE:
                raise NotRedis("a line without an end: no usage queue answers there")
            if len(buffer) > at:
                _check_kind(buffer[at])
            return None
        kind, line = buffer[at], bytes(buffer[at + 1 : end])
        value: Value
        if kind == _BULK:
            size = _number(line, MAX_BULK)
            stop = end + 2 + size
            if size >= 0 and len(buffer) < stop + 2:
                return None
            value = bytes(buffer[end + 2 : stop]) if size >= 0 else None
            self._place(value)
            return stop + 2 if size >= 0 else end + 2
        if kind == _ARRAY:
            size = _number(line, MAX_BULK)
            if size > 0:
                self._open.append((size, []))
            else:
                self._place([] if size == 0 else None)
            return end + 2
        self._place(_simple(kind, line))
        return end + 2

    def _place(self, value: Value) -> None:
        """Put a value into the array that waits for it; an array that is complete with it, too."""
        while self._open:
            size, items = self._open[-1]
            items.append(value)
            if len(items) < size:
                return
            self._open.pop()
            value = items
        self._complete.append(value)


def _simple(kind: int, line: bytes) -> Value:
    text = line.decode("utf-8", "replace")
    _check_kind(kind)
    if kind == _INTEGER:
        return _number(line, 2**63)
    return ErrorReply(text) if kind == _ERROR else text


def _check_kind(kind: int) -> None:
    if kind not in (_BULK, _ARRAY, _SIMPLE, _ERROR, _INTEGER):
        raise NotRedis("what answers there is no usage queue (a reverse proxy for HTTP, perhaps)")


def _number(line: bytes, most: int) -> int:
    try:
        number = int(line)
    except ValueError:
        raise NotRedis("a length that is no number: no usage queue answers there") from None
    if number > most:
        raise NotRedis(f"a length of {number}: no usage queue answers there")
    return number


def encode(arguments: Sequence[str | int]) -> bytes:
    """A command as an array of bulk strings."""
    parts = [f"*{len(arguments)}\r\n".encode()]
    for argument in arguments:
        text = str(argument).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(text), text))
    return b"".join(parts)


class Connection:
    """One connection. Commands go one after the other; answers come in their order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = Parser()
        self._values: deque[Value] = deque()

    @classmethod
    async def open(cls, host: str, port: int, tls: ssl.SSLContext | None = None) -> Connection:
        """Connect. Raises: Unreachable."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                streams = await asyncio.open_connection(host, port, ssl=tls, limit=READ_BYTES * 4)
        except TimeoutError:
            raise Unreachable(f"{host}:{port} did not answer in {CONNECT_SECONDS:.0f} s") from None
        except (OSError, ssl.SSLError) as error:
            refused = isinstance(error, ConnectionRefusedError)
            raise Unreachable(f"{host}:{port}: {_reason(error)}", refused=refused) from error
        return cls(*streams)

    async def call(self, *arguments: str | int, seconds: float = ANSWER_SECONDS) -> Value:
        """Send a command and wait for its answer. Raises: Unreachable, NotRedis."""
        try:
            async with asyncio.timeout(seconds):
                await self.send(*arguments)
                return await self.receive()
        except TimeoutError:
            command = arguments[0] if arguments else "a command"
            raise Unreachable(f"{command} was not answered in {seconds:.0f} s") from None

    async def send(self, *arguments: str | int) -> None:
        """Send a command. Raises: Unreachable."""
        try:
            self._writer.write(encode(arguments))
            await self._writer.drain()
        except OSError as error:
            raise Unreachable(f"the connection broke: {_reason(error)}") from error

    async def receive(self) -> Value:
        """The next value. Raises: Unreachable when the connection ends before, NotRedis."""
        while not self._values:
            await self._read()
        return self._values.popleft()

    async def receive_all(self) -> list[Value]:
        """At least one value, and all that has come with it."""
        found = [await self.receive(), *self._values]
        self._values.clear()
        return found

    def salvage(self) -> list[bytes]:
        """Bulk strings of an answer whose rest is lost."""
        return self._parser.partial()

    def close(self) -> None:
        self._writer.close()

    async def _read(self) -> None:
        try:
            data = await self._reader.read(READ_BYTES)
        except OSError as error:
            raise Unreachable(f"the connection broke: {_reason(error)}") from error
        if not data:
            raise Unreachable("the gateway closed the connection")
        self._parser.feed(data)
        self._values.extend(self._parser.take())


async def pop(connection: Connection, channel: str, count: int) -> list[bytes]:
    """Take the oldest events; the gateway forgets them at once.

    Raises: AnswerLost, with `salvaged`, when it breaks in the midst; Unreachable, NotRedis.
    """
    try:
        answer = await connection.call("LPOP", channel, count)
    except Unreachable as error:
        raise AnswerLost(str(error), connection.salvage()) from error
    if isinstance(answer, ErrorReply):
        raise Unsupported(f"the gateway does not know LPOP {channel}: {answer.text}")
    if not isinstance(answer, list):
        raise NotRedis("LPOP was not answered with an array")
    return [item for item in answer if isinstance(item, bytes)]


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
