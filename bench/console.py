"""How fast the monitoring page answers on a large ledger, what open pages cost, and when a request is seen.

Everything is asked of `python -m console` as a browser asks it; the first paint and the live row are a real
Chromium's.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp

from bench import relay
from bench.relay import UNARY, upstream
from bench.scenes.ledger_rows import fill
from bench.scenes.ledger_store import END
from bench.scenes.processes import Program, free_port, python, start
from ledger.requests.queries import newest_request
from ledger.store import reader, sqlite_url

ROUNDS = 5
PAGES = 50
PAGES_SECONDS = 20
BESIDE_ROUNDS = 4
REFRESH_SECONDS = 10
"""How often an open page asks for its summary; as console.js says."""

DAY_MS = 86_400_000
VIEWS = (
    "/",
    "/?status=error",
    "/?account_id=account-007@example.com",
    "/?api_key_id=sk-0001...0001",
    "/?model=gpt-5.5&status=error",
    "/?min_latency_ms=20000",
    "/?http_status=429&cache=unknown",
    "/?text=account-007",
    "/conversations",
)
PAINTED = "performance.getEntriesByName('first-contentful-paint')"
OTHERS = ("/accounts", "/keys", "/prices", "/health")
Figures = list[tuple[str, str]]


def measure(path: Path | None, rows: int) -> Iterator[tuple[str, str]]:
    """What was measured, and the figure.

    Args:
        path: a ledger that is there; without it one of so many invented requests is made.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        own = path or folder / "large.db"
        if path is None:
            fill(own, rows, END)
        with console(folder, own) as page:
            yield "until the page has asked the plain questions once", _settled(page)
            yield from _views(page, own)
        yield from _live(folder, folder / "usage.db")


@contextmanager
def console(folder: Path, path: Path) -> Iterator[Program]:
    """The page on a ledger."""
    port = free_port()
    config = folder / f"console-{port}.toml"
    config.write_text(
        f'[console]\nlisten_addr = "127.0.0.1:{port}"\n[storage]\ndatabase_path = "{path}"\n',
        encoding="utf-8",
    )
    program = start("console", python("-m", "console", "--config", str(config)), port)
    try:
        yield program
    finally:
        program.end()


def _settled(page: Program) -> str:
    """Until it has used no processor for two seconds."""
    began = time.monotonic()
    before, since = page.cpu_seconds(), began
    while time.monotonic() - since < 2:
        time.sleep(0.25)
        if (now := page.cpu_seconds()) > before + 0.02:
            before, since = now, time.monotonic()
    return f"{since - began:.0f} s, {before:.0f} s of a core"


def _views(page: Program, path: Path) -> Iterator[tuple[str, str]]:
    engine = reader(sqlite_url(path))
    with engine.connect() as connection:
        newest = newest_request(connection)
    engine.dispose()
    until = 0 if newest is None else int(newest.timestamp() * 1000)
    for name, days in (("24 h", 1), ("30 d", 30)):
        times = f"from={until - days * DAY_MS}&to={until}"
        for view in VIEWS:
            address = page.origin + view + ("&" if "?" in view else "?") + times
            yield f"{name} {view}", _timed(page, address)
    yield from ((view, _timed(page, page.origin + view)) for view in OTHERS)


def _timed(page: Program, url: str) -> str:
    """Of several times; the first is told apart: the ledger's questions remember what they read."""
    taken, size, cpu = [], 0, page.cpu_seconds()
    for number in range(ROUNDS + 1):
        if number == 1:
            cpu = page.cpu_seconds()
        began = time.perf_counter()
        asked = urllib.request.Request(url, headers={"Accept": "*/*"})
        try:
            with urllib.request.urlopen(asked, timeout=120) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            return f"{error.code}: {error.read()[:200].decode()}"
        taken.append((time.perf_counter() - began) * 1000)
        size = len(text)
        if b'role="alert"' in text:
            return "a part of it failed"
    first, *taken = taken
    p95 = sorted(taken)[round(0.95 * (len(taken) - 1))]
    cpu = (page.cpu_seconds() - cpu) * 1000 / ROUNDS
    figures = f"{statistics.median(taken):.0f} ms, p95 {p95:.0f}, first {first:.0f}"
    return f"{figures}; {cpu:.0f} ms of a core; {size / 1000:.0f} kB"


def _live(folder: Path, path: Path) -> Figures:
    """A proxy and the page on one ledger: when a request is seen, what open pages cost."""
    provider = upstream(folder)
    port = free_port()
    env = {
        "CODEX_USAGE_LISTEN_ADDR": f"127.0.0.1:{port}",
        "CODEX_USAGE_UPSTREAM_BASE_URL": provider.origin,
        "CODEX_USAGE_DB_PATH": str(path),
    }
    proxy = start("proxy", python("-m", "proxy"), port, env=env, cwd=folder)
    try:
        with console(folder, path) as page:
            _ask(proxy)
            found = _browser(page, proxy)
            return found + asyncio.run(_open_pages(page, proxy))
    finally:
        proxy.end()
        provider.end()


def _ask(proxy: Program) -> float:
    """One request; when its answer was there, in seconds since 1970."""
    headers = {"Content-Type": "application/json", "Authorization": "Bearer sk-bench-0123456789abcdef"}
    asked = urllib.request.Request(f"{proxy.origin}/v1/chat/completions", UNARY.encode(), headers)
    with urllib.request.urlopen(asked, timeout=30) as answer:
        answer.read()
    return time.time()


WATCH = """
window.seen = [];
new MutationObserver((changes) => changes.forEach((one) => one.addedNodes.forEach((node) => {
  if (node.nodeName === "TR") requestAnimationFrame(() => window.seen.push(Date.now()));
}))).observe(document.querySelector("#rows"), { childList: true });
"""


def _browser(page: Program, proxy: Program) -> Figures:
    binary = shutil.which("chromium")
    if binary is None:
        return [("first paint, live rows", "no Chromium here")]
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=["--headless", "--no-sandbox"])
        try:
            return _seen(browser.new_page(), page, proxy)
        finally:
            browser.close()


def _seen(tab: Any, page: Program, proxy: Program) -> Figures:
    paints, waits = [], []
    for _ in range(ROUNDS):
        tab.goto(page.origin)
        tab.wait_for_load_state("load")
        tab.wait_for_function(f"{PAINTED}.length")  # it is noted a moment after the page is there
        paints.append(tab.evaluate(f"{PAINTED}[0].startTime"))
    tab.wait_for_timeout(1_500)
    tab.evaluate(WATCH)
    for number in range(20):
        ended = _ask(proxy)
        deadline = time.monotonic() + 10
        while tab.evaluate("window.seen.length") <= number and time.monotonic() < deadline:
            tab.wait_for_timeout(20)
        waits.append((tab.evaluate(f"window.seen[{number}] || 0") / 1000 - ended) * 1000)
        tab.wait_for_timeout(37 * number % 400)
    return [
        ("first paint", f"{statistics.median(paints):.0f} ms, at most {max(paints):.0f}"),
        ("a request's end to its row", f"{statistics.median(waits):.0f} ms, at most {max(waits):.0f}"),
    ]


async def _open_pages(page: Program, proxy: Program) -> Figures:
    """Pages as browsers keep them open: the stream of rows, and the summary every ten seconds."""
    async with _opened(page) as rows:
        traffic = asyncio.create_task(_traffic(proxy))
        await asyncio.sleep(3)
        before = page.cpu_seconds()
        await asyncio.sleep(PAGES_SECONDS)
        share = (page.cpu_seconds() - before) / PAGES_SECONDS
        traffic.cancel()
        await asyncio.gather(traffic, return_exceptions=True)
    got = f"{share * 100:.0f} % of a core; {min(rows)} to {max(rows)} batches a page"
    costs: dict[bool, list[float]] = {False: [], True: []}
    for number in range(2 * BESIDE_ROUNDS):
        costs[number % 4 in (1, 2)].append(await _cost(page, proxy, opened=number % 4 in (1, 2)))
    ratio = statistics.median(b / a for a, b in zip(costs[False], costs[True], strict=True))
    return [
        (f"{PAGES} open pages, ten requests a second", got),
        (f"the proxy's CPU a request, beside {PAGES} open pages", f"{ratio:.2f} of what it is alone"),
    ]


async def _cost(page: Program, proxy: Program, *, opened: bool) -> float:
    """CPU seconds of the proxy for a request, until it is stored; with open pages or without."""
    before = proxy.cpu_seconds()
    async with AsyncExitStack() as stack:
        if opened:
            await stack.enter_async_context(_opened(page))
        round = await asyncio.to_thread(relay.measure, proxy, UNARY, 32, 1)
        await asyncio.to_thread(_settled, proxy)
    return (proxy.cpu_seconds() - before) / max(1, round.load.requests)


@asynccontextmanager
async def _opened(page: Program) -> AsyncIterator[list[int]]:
    """Open pages; how many batches of rows each has got."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        async with session.get(page.origin) as front:
            after = (await front.text()).partition('data-after="')[2].partition('"')[0]
        rows = [0] * PAGES
        live = f"{page.origin}/live?after={after}"
        tasks = [asyncio.create_task(_open_page(session, page.origin, n, rows, live)) for n in range(PAGES)]
        await asyncio.sleep(2)
        try:
            yield rows
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _open_page(
    session: aiohttp.ClientSession, origin: str, number: int, rows: list[int], live: str
) -> None:
    async def refresh() -> None:
        await asyncio.sleep(REFRESH_SECONDS * number / PAGES)
        while True:
            async with session.get(f"{origin}/part/summary?") as answer:
                await answer.read()
            await asyncio.sleep(REFRESH_SECONDS)

    refreshing = asyncio.create_task(refresh())
    try:
        async with session.get(live, timeout=aiohttp.ClientTimeout(total=None)) as stream:
            async for line in stream.content:
                rows[number] += line.startswith(b"event: rows")
    finally:
        refreshing.cancel()


async def _traffic(proxy: Program) -> None:
    body = json.loads(UNARY)
    async with aiohttp.ClientSession() as session:
        while True:
            with suppress(aiohttp.ClientError):
                async with session.post(f"{proxy.origin}/v1/chat/completions", json=body) as answer:
                    await answer.read()
            await asyncio.sleep(0.1)
