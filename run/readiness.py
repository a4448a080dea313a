"""Waiting until a program answers over HTTP."""

from __future__ import annotations

import asyncio

import aiohttp

PAUSE_SECONDS = 0.1


async def answers(url: str) -> None:
    """Return as soon as `url` answers 200; the caller sets the limit of time."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        while True:
            if await _is_ok(session, url):
                return
            await asyncio.sleep(PAUSE_SECONDS)


async def _is_ok(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url, allow_redirects=False) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
