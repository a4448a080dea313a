"""While a real proxy writes hundreds of requests a second, the screen follows, holds nothing up, and is exact
in the end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import aiohttp
import pytest

from tests.console.conftest import ROOT, Books
from tests.console.terminal.conftest import Tmux, as_a_process

REQUESTS, A_SECOND = 990, 500


@pytest.fixture
def proxy(tmp_path: Path, books: Books, free_port: Callable[[], int]) -> Iterator[str]:
    """A real proxy on the same ledger, before a provider that answers at once; both are processes."""
    with ExitStack() as stack:

        def start(*words: str, **environ: str) -> None:
            process = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], **environ},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait, timeout=30)
            stack.callback(process.terminate)

        provider, port = free_port(), free_port()
        start("simulator", "upstream", "--fixed", "--listen", f"127.0.0.1:{provider}")
        start(
            "proxy",
            CODEX_USAGE_LISTEN_ADDR=f"127.0.0.1:{port}",
            CODEX_USAGE_UPSTREAM_BASE_URL=f"http://127.0.0.1:{provider}",
            CODEX_USAGE_DB_PATH=str(books.path),
        )
        _wait_for(port)
        _wait_for(provider)
        yield f"http://127.0.0.1:{port}"


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"nothing answers on port {port}")


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


async def load(url: str) -> list[int]:
    """So many requests, at most so many a second; the statuses of the answers."""
    began = time.monotonic()

    async def one(session: aiohttp.ClientSession, number: int) -> int:
        await asyncio.sleep(max(0.0, began + number / A_SECOND - time.monotonic()))
        body = {"model": "gpt-5.4", "input": "hi"}
        async with session.post(f"{url}/v1/responses", json=body) as answer:
            await answer.read()
            return answer.status

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50)) as session:
        return await asyncio.gather(*(one(session, number) for number in range(REQUESTS)))


@pytest.mark.slow
async def test_the_screen_under_load(books: Books, proxy: str, tmux: Tmux) -> None:
    tmux.keys(f"CODEX_USAGE_DB_PATH={books.path} python -m console top", "Enter")
    tmux.until("no requests yet")
    statuses = await load(proxy)
    assert set(statuses) == {200}
    deadline = time.monotonic() + 60
    while not re.search(rf"last hour +\$\S+ +{REQUESTS} +0 ", tmux.screen()):
        assert time.monotonic() < deadline, tmux.screen()
        await asyncio.sleep(0.1)
    found = json.loads(as_a_process(books.path, "--json").out)["periods"][0]
    assert (found["requests"], found["errors"], found["unpriced_requests"]) == (REQUESTS, 0, 0)
    assert f"${found['cost_usd']:,.2f}" in tmux.screen()
    metrics = await asyncio.to_thread(fetched, f"{proxy}/metrics")
    assert re.search(r"^codex_lb_request_log_buffer_dropped_total 0(\.0)?$", metrics, re.MULTILINE)
    with closing(sqlite3.connect(books.path, timeout=10)) as connection:  # nobody holds on to an old state
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert busy == 0
    tmux.keys("q")
