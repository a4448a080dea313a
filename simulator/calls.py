"""Callers that ask as fast as they are answered, and remember when and how it went."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from time import time

import aiohttp

PATH = "/v1/responses"
CONVERSATIONS = 40
_WHOLE = b'{"model":"gpt-5.5","input":"hi"}'
_STREAM = b'{"model":"gpt-5.5","stream":true,"input":"hi"}'


@dataclass(frozen=True, slots=True)
class Call:
    """One request; times in epoch seconds. `status` is 0 where no whole answer came."""

    request_id: str
    conversation: str | None
    began: float
    ended: float
    status: int
    error: str = ""


async def call_all(
    origin: str, most: int, *, seconds: float, least: int = 0, callers: int = 32
) -> list[Call]:
    """Send requests: every third belongs to one of a few conversations, every tenth is answered as a stream.

    Args:
        origin: of the proxy, `http://HOST:PORT`.
        most: requests in all.
        seconds: after which no more are begun, once there are `least` of them.
        callers: requests at a time.
    """
    done: list[Call] = []
    numbers = count()
    end = time() + seconds
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def caller() -> None:
            for number in _below(numbers, most):
                done.append(await _call(session, origin + PATH, number))
                if time() >= end and len(done) >= least:
                    return

        await asyncio.gather(*(caller() for _ in range(callers)))
    return done


def _below(numbers: Iterator[int], most: int) -> Iterator[int]:
    while (number := next(numbers)) < most:
        yield number


async def _call(session: aiohttp.ClientSession, url: str, number: int) -> Call:
    request_id = f"call-{number}"
    conversation = f"talk-{number // 3 % CONVERSATIONS}" if number % 3 == 0 else None
    headers = {"Content-Type": "application/json", "x-client-request-id": request_id}
    if conversation:
        headers["session_id"] = conversation
    began, status, error = time(), 0, ""
    try:
        body = _STREAM if number % 10 == 0 else _WHOLE
        async with session.post(url, data=body, headers=headers) as answer:
            text = await answer.read()
            status, error = answer.status, "" if answer.status < 400 else text.decode(errors="replace")
    except aiohttp.ClientError as problem:
        error = f"{type(problem).__name__}: {problem}"
    return Call(request_id, conversation, began, time(), status, error)
