"""How long a provider may be silent: one timer for each connection, whatever number of chunks it sends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

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
