"""What the proxy and its writer process say to each other: lengths and MessagePack on a pair of sockets.

Each batch is one message, and each is answered; so whatever was not answered is sent again.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec.structs import asdict, force_setattr, replace

from ledger.values import NO_USAGE, RequestEvent, UsageSample

Kind = Literal["events", "samples"]

_LENGTH = 4
_LIST = b"\xdd"
"""MessagePack's list with a length of four bytes."""


class Task(msgspec.Struct, frozen=True):
    """What a writer process is for; the first message to it.

    Attributes:
        url: the ledger, with its password: that is why it is no argument of the process.
        failure_body_days: how long what is kept of failures stays.
        outbox: the file where batches wait for the ledger; None writes them at once.
        outbox_max_bytes: of the disk that it may take.
        keep_requests, keep_hourly: days that requests and their sums by hour are kept; None: for ever.
    """

    url: str
    failure_body_days: float
    outbox: str | None = None
    outbox_max_bytes: int = 0
    keep_requests: int | None = None
    keep_hourly: int | None = None


class Batch(msgspec.Struct, frozen=True):
    """The head of a message with items.

    Attributes:
        items: how many follow.
        identity: device and inode of the file that the batch is for.
        again: some of it may have been written before.
    """

    kind: Kind
    items: int
    again: bool
    identity: tuple[int, int] | None


NOTHING = (0, 0, 0)


class Outcome(msgspec.Struct, frozen=True):
    """The answer to a batch.

    Attributes:
        unavailable: why it cannot be written now.
        refused: what is wrong with an item in it.
        outbox: items that wait in the outbox, its bytes, and items that are set aside in it.
    """

    unavailable: str | None = None
    refused: str | None = None
    outbox: tuple[int, int, int] = NOTHING


encode = msgspec.msgpack.Encoder().encode
_events = msgspec.msgpack.Decoder(list[RequestEvent])
_samples = msgspec.msgpack.Decoder(list[UsageSample])
_raws = msgspec.msgpack.Decoder(list[msgspec.Raw])
read_task = msgspec.msgpack.Decoder(Task).decode
read_head = msgspec.msgpack.Decoder(Batch).decode
read_outcome = msgspec.msgpack.Decoder(Outcome).decode


def encoded(item: RequestEvent | UsageSample) -> bytes:
    """One item. Raises: ValueError, OverflowError where it holds what no message can."""
    try:
        return encode(item)
    except UnicodeEncodeError:  # callers choose texts; the ledger would replace what is no character as well
        texts: dict[str, Any] = {name: v for name, v in asdict(item).items() if isinstance(v, str)}
        clean = {name: text.encode("utf-8", "replace").decode() for name, text in texts.items()}
        return encode(replace(item, **clean))


def packed(items: Sequence[bytes]) -> bytes:
    """A list of items that are encoded already."""
    return b"".join((_LIST, len(items).to_bytes(4, "big"), *items))


def together(bodies: Sequence[bytes]) -> bytes:
    """Several lists as one."""
    head = len(_LIST) + 4
    count = sum(int.from_bytes(body[len(_LIST) : head], "big") for body in bodies)
    return b"".join((_LIST, count.to_bytes(4, "big"), *(body[head:] for body in bodies)))


def apart(body: bytes) -> list[bytes]:
    """The items of a list, still encoded."""
    return [bytes(raw) for raw in _raws.decode(body)]


def read_events(body: bytes) -> list[RequestEvent]:
    """Events, as `encode` and `packed` wrote them."""
    events = _events.decode(body)
    for event in events:
        if event.usage == NO_USAGE:  # who counts asks for this very value
            force_setattr(event, "usage", NO_USAGE)
    return events


def read_samples(body: bytes) -> list[UsageSample]:
    """Quota samples."""
    return _samples.decode(body)


def send(to: socket.socket, *parts: bytes) -> None:
    """One message of some parts. Raises: OSError."""
    to.sendall(b"".join(piece for part in parts for piece in (len(part).to_bytes(_LENGTH, "big"), part)))


def receive(source: socket.socket) -> bytes:
    """One part; EOFError where there comes no more. Raises: OSError."""
    return _exactly(source, int.from_bytes(_exactly(source, _LENGTH), "big"))


def _exactly(source: socket.socket, size: int) -> bytes:
    found = bytearray(size)
    view = memoryview(found)
    while view:
        count = source.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return bytes(found)
