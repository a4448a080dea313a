"""RESP: whatever the pieces, the same values; and what is no RESP is said to be none."""

from __future__ import annotations

import random

import pytest

from collector.errors import AnswerLost, NotRedis, Unreachable
from collector.transport.resp import Connection, ErrorReply, Parser, Value, encode, pop
from tests.collector.conftest import KEY
from tests.support.gateway.server import Gateway

STREAM = (
    b"+OK\r\n-ERR no\r\n:42\r\n$-1\r\n$5\r\na\r\nbc\r\n*0\r\n*-1\r\n"
    b"*2\r\n$1\r\nx\r\n*2\r\n:1\r\n$0\r\n\r\n*3\r\n$7\r\nmessage\r\n$5\r\nusage\r\n$2\r\n{}\r\n"
)
VALUES: tuple[Value, ...] = (
    "OK",
    ErrorReply("ERR no"),
    42,
    None,
    b"a\r\nbc",
    [],
    None,
    [b"x", [1, b""]],
    [b"message", b"usage", b"{}"],
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1_000])
def test_values_come_whole_out_of_any_pieces(size: int) -> None:
    parser = Parser()
    found: list[Value] = []
    for at in range(0, len(STREAM), size):
        parser.feed(STREAM[at : at + size])
        found += parser.take()
    assert tuple(found) == VALUES


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 400 Bad Request\r\n", b"H", b"\x15\x03\x01\x00\x02", b"$x\r\n", b"*99999999999\r\n"]
)
def test_what_is_no_redis_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(NotRedis):
        Parser().feed(data)


def test_a_line_without_an_end_is_none() -> None:
    parser = Parser()
    with pytest.raises(NotRedis):
        for _ in range(100):
            parser.feed(b"+" * 1_000)


def test_random_bytes_never_do_anything_else() -> None:
    rng = random.Random(5)
    for _ in range(300):
        parser = Parser()
        try:
            for _ in range(5):
                parser.feed(rng.choice([b"*", b"$", b":", b"+"]) + rng.randbytes(rng.randrange(20)) + b"\r\n")
                parser.take()
        except NotRedis:
            pass


def test_what_has_come_of_a_lost_array_can_be_had() -> None:
    parser = Parser()
    parser.feed(b"*3\r\n$1\r\na\r\n$1\r\nb\r\n$9\r\nhalf")
    assert parser.take() == ()
    assert parser.partial() == [b"a", b"b"]


def test_a_command_is_an_array_of_strings() -> None:
    assert encode(["LPOP", "usage", 10]) == b"*3\r\n$4\r\nLPOP\r\n$5\r\nusage\r\n$2\r\n10\r\n"


async def test_a_lost_answer_gives_what_had_come(gateway: Gateway) -> None:
    connection = await Connection.open("127.0.0.1", gateway.port)
    assert await connection.call("AUTH", KEY) == "OK"
    for word in (b"one", b"two"):
        gateway.queue.publish(word)
    assert await pop(connection, "usage", 5) == [b"one", b"two"]
    assert await pop(connection, "usage", 5) == []
    gateway.drop()
    with pytest.raises(AnswerLost):
        await pop(connection, "usage", 5)
    connection.close()


async def test_nobody_there_is_said_in_one_line(unused_tcp_port: int) -> None:
    with pytest.raises(Unreachable, match=r"^127\.0\.0\.1:\d+: ") as caught:
        await Connection.open("127.0.0.1", unused_tcp_port)
    assert caught.value.refused
