"""Kept connections that the provider has ended: what may be sent again, and what may not."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import UpstreamError
from proxy.http.upstream import BELIEVED_SECONDS, IdleLife, Limits, Upstream

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
EMPTY = ANSWER[:-2]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
ENDS = ["close", "reset"]


def end(connection: socket.socket, how: str) -> None:
    if how == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Provider:
    """A provider in a thread, so that it goes on while the loop under test stands still.

    Args:
        second: what it does when a second request begins to arrive on a connection; `at once`: already when
            the first one has.
        idle: seconds after which it ends a connection without a word.
    """

    def __init__(self, how: str, second: str = "answer", idle: float | None = None) -> None:
        self.how, self.second, self.idle = how, second, idle
        self.requests: list[bytes] = []
        self.ended = threading.Event()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self.listening.getsockname()[1]}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listening.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self.requests.append(_request(connection))
            if self.second != "at once":
                connection.sendall(EMPTY if self.requests[-1].startswith(b"HEAD") else ANSWER)
            if self.second in ("answer", "at once"):
                time.sleep(self.idle or 0)
            elif self.second == "ends in its midst":
                connection.recv(1_000)
            else:
                self.requests.append(_request(connection))
            if self.second == "half an answer":
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
            self._end(connection)

    def _end(self, connection: socket.socket) -> None:
        end(connection, self.how)
        self.ended.set()


def _request(connection: socket.socket) -> bytes:
    """The next request, whole."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65_536)
        if not part:
            raise ConnectionError
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(x[15:]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        part = connection.recv(1 << 20)
        if not part:
            raise ConnectionError
        body += part
    return head + b"\r\n\r\n" + body


@pytest.fixture
def provide() -> Iterator[Callable[..., Provider]]:
    providers: list[Provider] = []

    def make(*how: object, **more: object) -> Provider:
        providers.append(Provider(*how, **more))  # type: ignore[arg-type]
        return providers[-1]

    yield make
    for provider in providers:
        provider.listening.close()


@pytest.fixture
async def reach() -> AsyncIterator[Callable[[Provider], Upstream]]:
    upstreams: list[Upstream] = []

    def make(provider: Provider) -> Upstream:
        upstreams.append(Upstream(provider.base, Limits(connect=5, idle=5)))
        return upstreams[-1]

    yield make
    for upstream in upstreams:
        await upstream.close()


async def ask(upstream: Upstream, method: str = "POST", body: bytes | None = b"{}", *lines: bytes) -> int:
    answer = await upstream.send(method, "/responses", lines, body)
    while await upstream.read(answer):
        pass
    return answer.status


Provide = Callable[..., Provider]
Reach = Callable[[Provider], Upstream]


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("method", METHODS)
async def test_one_that_was_ended_while_idle_is_not_used_whatever_the_method(
    provide: Provide, reach: Reach, method: str, how: str
) -> None:
    """The end is here, but the loop has not looked yet: it stands still from the first answer on."""
    provider = provide(how)
    upstream = reach(provider)
    body = None if method in ("GET", "HEAD", "OPTIONS") else b"{}"
    for _ in range(5):
        assert await ask(upstream) == 200
        assert provider.ended.wait(5)
        time.sleep(0.01)  # noqa: ASYNC251 - it is the loop that must not notice
        provider.ended.clear()
        assert await ask(upstream, method, body) == 200
        provider.ended.wait(5)
        provider.ended.clear()
    assert len(provider.requests) == 10, "nothing was sent twice"


@pytest.mark.parametrize("how", ENDS)
async def test_a_request_that_was_not_sent_whole_is_sent_again(
    provide: Provide, reach: Reach, how: str
) -> None:
    provider = provide(how, "ends in its midst")
    upstream = reach(provider)
    assert await ask(upstream) == 200
    large = b"x" * (16 * 2**20)
    assert await ask(upstream, "POST", large) == 200
    assert provider.requests[-1].endswith(b"\r\n\r\n" + large)


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("second", ["ends behind it", "half an answer"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_request_that_may_have_been_processed_is_not_sent_again(
    provide: Provide, reach: Reach, method: str, second: str, how: str
) -> None:
    provider = provide(how, second)
    upstream = reach(provider)
    assert await ask(upstream) == 200
    with pytest.raises(UpstreamError):
        await ask(upstream, method)
    assert len(provider.requests) == 2


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize(
    ("method", "body", "lines"),
    [("GET", None, ()), ("HEAD", None, ()), ("POST", b"{}", (b"Idempotency-Key: 7",))],
)
async def test_a_request_that_may_be_processed_twice_is_sent_again_once(
    provide: Provide, reach: Reach, method: str, body: bytes | None, lines: tuple[bytes, ...], how: str
) -> None:
    provider = provide(how, "ends behind it")
    upstream = reach(provider)
    assert await ask(upstream) == 200
    assert await ask(upstream, method, body, *lines) == 200
    assert len(provider.requests) == 3


async def test_a_new_connection_that_breaks_is_not_tried_again(provide: Provide, reach: Reach) -> None:
    provider = provide("close", "at once")
    with pytest.raises(UpstreamError):
        await ask(reach(provider), "GET", None)
    assert len(provider.requests) == 1


async def test_a_provider_that_ends_connections_soon_is_learnt(provide: Provide, reach: Reach) -> None:
    """It ends them 5 ms after an answer, without a word: about when the next request comes."""
    provider = provide("close", idle=0.005)
    upstream = reach(provider)
    failed = 0
    for number in range(120):
        time.sleep(0.001 * (number % 9))  # noqa: ASYNC251
        try:
            await ask(upstream)
        except UpstreamError:
            failed += 1
    assert failed <= 12


class TestIdleLife:
    def test_nothing_is_known_at_first(self) -> None:
        assert IdleLife().allows(1e9)

    def test_an_age_at_which_one_was_ended_is_not_reached_again(self) -> None:
        now = [100.0]
        life = IdleLife(lambda: now[0])
        life.ended(5.0)
        assert life.allows(2.4)
        assert not life.allows(2.6)
        now[0] += BELIEVED_SECONDS
        assert life.allows(60.0)

    @given(st.lists(st.floats(0, 100), min_size=1))
    def test_the_shortest_age_counts(self, ages: list[float]) -> None:
        life = IdleLife(lambda: 1.0)
        for age in ages:
            life.ended(age)
        assert not life.allows(min(ages))
