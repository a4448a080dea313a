"""How long a provider may be silent: one timer for each connection, whatever number of chunks it sends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast
from unittest.mock import Mock

import aiohttp
import pytest

from proxy.http.wire import RelayProtocol

IDLE = 60.0


class Clock:
    """A loop whose time is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> asyncio.Handle:
        self.timers.append((self.now + delay, call))
        return cast("asyncio.Handle", object())

    def forward(self, to: float) -> None:
        """Let the time pass, and what is due run."""
        self.now = to
        due = [call for at, call in self.timers if at <= to]
        self.timers = [timer for timer in self.timers if timer[0] > to]
        for call in due:
            call()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connection(clock: Clock) -> RelayProtocol:
    made = RelayProtocol(cast(Any, clock), lambda idle: None)
    made.read_timeout = IDLE
    return made


def test_many_chunks_make_one_timer(clock: Clock, connection: RelayProtocol) -> None:
    for second in range(50):
        clock.forward(second)
        connection.start_timeout()
    assert len(clock.timers) == 1
    clock.forward(IDLE)
    assert connection.exception() is None
    assert [at for at, _ in clock.timers] == [49 + IDLE]


def test_silence_ends_the_connection_in_time(clock: Clock, connection: RelayProtocol) -> None:
    connection.start_timeout()
    clock.forward(30)
    connection.start_timeout()
    clock.forward(IDLE)
    clock.forward(89.9)
    assert connection.exception() is None
    clock.forward(90)
    assert isinstance(connection.exception(), aiohttp.SocketTimeoutError)


def test_a_connection_that_waits_for_nothing_may_be_silent(clock: Clock, connection: RelayProtocol) -> None:
    connection.start_timeout()
    connection.eof_received()
    clock.forward(1_000)
    assert connection.exception() is None
    assert not clock.timers


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


@pytest.fixture
def parsing(connection: RelayProtocol) -> RelayProtocol:
    """A connection on which a request begins."""
    connection.set_response_params(read_until_eof=True, auto_decompress=False, read_timeout=IDLE)
    connection.begin()
    return connection


def test_who_announces_an_answer_must_send_it(clock: Clock, parsing: RelayProtocol) -> None:
    parsing.start_timeout()
    clock.forward(30)
    parsing.data_received(INTERIM)
    clock.forward(IDLE)
    assert parsing.exception() is None
    clock.forward(30 + IDLE)
    assert isinstance(parsing.exception(), aiohttp.SocketTimeoutError)


def test_an_upload_lasts_as_long_as_it_does(clock: Clock, parsing: RelayProtocol) -> None:
    parsing.data_received(b"HTTP/1.1 100 Continue\r\n\r\n")
    clock.forward(1_000)
    assert parsing.exception() is None
    parsing.start_timeout()
    clock.forward(1_000 + IDLE)
    assert isinstance(parsing.exception(), aiohttp.SocketTimeoutError)


def test_an_answer_that_is_read_late_leaves_no_deadline(clock: Clock, parsing: RelayProtocol) -> None:
    """A slow client reads the last bytes long after they came; the connection serves others by then."""
    parsing.start_timeout()
    parsing.data_received(HEAD)
    parsing.pause_reading()
    parsing.data_received(b"Hello")
    parsing.resume_reading()
    clock.forward(1_000)
    assert parsing.exception() is None


def test_a_request_begins_without_the_deadline_of_another(clock: Clock, parsing: RelayProtocol) -> None:
    parsing.start_timeout()
    parsing.begin()
    clock.forward(1_000)
    assert parsing.exception() is None


def test_a_connection_with_an_error_is_not_used_again(clock: Clock, parsing: RelayProtocol) -> None:
    parsing.transport = cast(Any, Mock(is_closing=lambda: False))
    parsing._poll = cast(Any, Mock(poll=lambda timeout: []))
    assert not parsing.is_stale
    parsing.start_timeout()
    clock.forward(IDLE)
    assert parsing.is_stale
