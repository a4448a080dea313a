"""Callers that ask as fast as they are answered, and remember when and how it went."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from math import inf
from time import time

import aiohttp

PATH = "/v1/responses"
CONVERSATIONS = 40
MODEL = "gpt-5.5"
_WHOLE = f'{{"model":"{MODEL}","input":"hi"}}'.encode()
_STREAM = f'{{"model":"{MODEL}","stream":true,"input":"hi"}}'.encode()


@dataclass(frozen=True, slots=True)
class Call:
    """One request; times in epoch seconds. `status` is 0 where no whole answer came; `origin` is that of
    the proxy, `http://HOST:PORT`."""

    request_id: str
    conversation: str | None
    began: float
    ended: float
    status: int
    error: str = ""
    origin: str = ""


async def call_all(
    origin: str,
    most: int,
    *,
    seconds: float = inf,
    least: int = 0,
    callers: int = 32,
    name: str = "call",
    stop: asyncio.Event | None = None,
) -> list[Call]:
    """Send requests: every third belongs to one of a few conversations, every tenth is answered as a stream.

    Args:
        origin: of the proxy, `http://HOST:PORT`.
        most: requests in all.
        seconds: after which no more are begun, once there are `least` of them.
        callers: requests at a time.
        name: what their ids begin with.
        stop: once it is set, no more are begun.
    """
    done: list[Call] = []
    numbers = count()
    end = time() + seconds
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def caller() -> None:
            for number in _below(numbers, most):
                done.append(await _call(session, origin, f"{name}-{number}", number))
                if (time() >= end and len(done) >= least) or (stop is not None and stop.is_set()):
                    return

        await asyncio.gather(*(caller() for _ in range(callers)))
    return done


def _below(numbers: Iterator[int], most: int) -> Iterator[int]:
    while (number := next(numbers)) < most:
        yield number


async def _call(session: aiohttp.ClientSession, origin: str, request_id: str, number: int) -> Call:
    conversation = f"talk-{number // 3 % CONVERSATIONS}" if number % 3 == 0 else None
    headers = {"Content-Type": "application/json", "x-client-request-id": request_id}
    if conversation:
        headers["session_id"] = conversation
    began, status, error = time(), 0, ""
    try:
        body = _STREAM if number % 10 == 0 else _WHOLE
        async with session.post(origin + PATH, data=body, headers=headers) as answer:
            text = await answer.read()
            status, error = answer.status, "" if answer.status < 400 else text.decode(errors="replace")
    except aiohttp.ClientError as problem:
        error = f"{type(problem).__name__}: {problem}"
    return Call(request_id, conversation, began, time(), status, error, origin)
