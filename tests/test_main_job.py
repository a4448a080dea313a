"""The main job, end to end: a real client's requests, metered, stored, scraped by a real Prometheus on
the generated configuration, and asked for by every query of the Overview."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, AsyncOpenAI
from sqlalchemy import func, select

from dashboards.build import dashboards
from dashboards.preview import grafana_time, source
from ledger import store
from ledger.schema import request_logs
from ledger.values import Usage
from prometheus.build import files, write
from prometheus.config import RuleConfig
from prometheus.scrape import Targets
from simulator.provider.script import Answer, Pace, Refuse, script
from simulator.provider.upstream import serve

ROOT = Path(__file__).parent.parent
SECOND = timedelta(seconds=1)
RULES = RuleConfig(
    scrape_interval=SECOND,
    scrape_timeout=SECOND,
    evaluation_interval=SECOND,
    rate_window=timedelta(seconds=60),
)

USAGE = Usage(input_tokens=10_000, output_tokens=2_000, cached_input_tokens=4_000, reasoning_tokens=500)
# gpt-5.4, US dollars per million: 2.5 input, 0.25 cached, 15 output.
COST = (6_000 * Decimal("2.5") + 4_000 * Decimal("0.25") + 2_000 * Decimal(15)) / 1_000_000
GOOD = Answer(usage=USAGE, pace=Pace(first=0.15))
NEVER_PRICED = Answer(usage=USAGE, model="nobody-knows-me", pace=Pace(first=0.15))
REFUSED = Answer(fault=Refuse(429, "rate_limit_exceeded", "requests", "Slow down."))
UNKNOWN: Any = {"model": "nobody-knows-me", "input": "hi"}
ROUNDS = 2  # so few that one request more or less is twice as much as `about` allows
PRICED, UNPRICED, FAILED = 4 * ROUNDS, ROUNDS, ROUNDS
ANSWERED = PRICED + UNPRICED


def client_of(base_url: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=base_url, api_key="sk-main-job-0123456789", max_retries=0)


async def drive(base_url: str) -> None:
    """Each round: chat and responses, streamed and not, an unknown model, and a refusal."""
    chat: Any = {"model": "gpt-5.4", "messages": [{"role": "user", "content": "hi"}]}
    async with client_of(base_url) as client:
        for _ in range(ROUNDS):
            await client.chat.completions.create(**chat)
            usage: Any = {"include_usage": True}
            async for _ in await client.chat.completions.create(**chat, stream=True, stream_options=usage):
                pass
            await client.responses.create(model="gpt-5.4", input="hi")
            async with client.responses.stream(model="gpt-5.4", input="hi") as stream:
                async for _ in stream:
                    pass
            await client.responses.create(**UNKNOWN)
            with pytest.raises(APIStatusError, match="Slow down"):
                await client.responses.create(model="gpt-5.4", input="hi")
            await asyncio.sleep(0.5)


@contextmanager
def room(name: str, config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A room as its users run it, ended as they end it: with SIGTERM, and with exit code 0."""
    command = [sys.executable, "-m", name, "--config", str(config)]
    process = subprocess.Popen(command, cwd=config.parent, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


SCRAPED = "sum(up) == 2"
BEGUN = """min(count_over_time(codex_lb_proxy_requests_total{model="nobody-knows-me"}[1m])) >= 5
  and min(count_over_time(job_instance_model:codex_lb_proxy_cost_usd:sum_total{model="gpt-5.4"}[1m])) >= 5"""
"""Each series that is read, as scraped and as recorded, has been there at two steps of `resolution`: what is
counted from now on is more than a first value, of which increase() knows no beginning."""


def wait_until(url: str, condition: str) -> None:
    """Until Prometheus finds it so: it takes some seconds to find its targets."""
    deadline = time.monotonic() + 30
    while True:
        now = datetime.now(UTC)
        if source.fetch(url, grafana_time.Ask(condition, now, now, SECOND, True, "")):
            return
        assert time.monotonic() < deadline, f"prometheus never has {condition}"
        time.sleep(0.2)


async def begin(base_url: str, prometheus: str) -> None:
    """One request of the model that is not known beforehand: the others' series begin at 0."""
    async with client_of(base_url) as client:
        await client.responses.create(**UNKNOWN)
    await asyncio.to_thread(wait_until, prometheus, BEGUN)


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.1)


@pytest.fixture
def ports(free_port: Callable[[], int]) -> tuple[int, int]:
    return free_port(), free_port()


def next_minute_at_noon() -> datetime:
    """The next moment at which every panel has a step, in a zone in which midnight is far away."""
    now = datetime.now(UTC)
    now = now.astimezone(timezone(timedelta(hours=12 - now.hour)))
    return now.replace(second=0, microsecond=0) + RULES.rate_window


async def first_half_of_a_minute() -> None:
    """What is driven now begins some scrapes after the minute and is over before the next, so that it lies
    whole in the window that ends there."""
    if not 12 <= (second := datetime.now(UTC).second) < 30:
        await asyncio.sleep((72 - second) % 60)


def answers(url: str, now: datetime) -> Mapping[str, Mapping[str, float]]:
    """The newest value of every series of every panel of the Overview, by title and legend; where a second
    query of a panel has the same legend, with the query's number."""
    # fifteen minutes are few enough for the panels' shortest step
    variables = {"model": ".*", "api": ".*", "top": "10", "fine": "1s", "resolution": "2s", "coarse": "2s"}
    view = grafana_time.View(now, "now-15m", scrape_interval=SECOND, variables=variables)
    found: dict[str, dict[str, float]] = {}
    for panel in dashboards(RULES)["overview"]["panels"]:
        if panel["type"] != "row":
            values = found[panel["title"]] = {}
            for number, ask in enumerate(grafana_time.asks(panel, view, 600), 1):
                for one in source.fetch(url, ask):
                    values[f"{one.name} ({number})" if one.name in values else one.name] = one.last
    return found


def settled(url: str, now: datetime) -> Mapping[str, Mapping[str, float]]:
    """The answers once the last counts have been scraped and recorded."""
    deadline = time.monotonic() + 20
    while True:
        today = answers(url, now)
        try:
            check_today(today)
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return today


async def test_every_number_of_the_overview_is_the_scripts(
    tmp_path: Path, ports: tuple[int, int], prometheus_server: Callable[..., str]
) -> None:
    proxy_port, exporter_port = ports
    a_round = (GOOD, GOOD, GOOD, GOOD, NEVER_PRICED, REFUSED)
    async with serve(script(NEVER_PRICED, *a_round * ROUNDS)) as upstream:
        config = tmp_path / "codex-usage.toml"
        config.write_text(
            f'[server]\nlisten_addr = "127.0.0.1:{proxy_port}"\nupstream_base_url = "{upstream.base_url}"\n'
            f'[exporter]\nlisten_addr = "127.0.0.1:{exporter_port}"\n'
        )
        write(files(RULES, Targets(f"127.0.0.1:{proxy_port}", f"127.0.0.1:{exporter_port}")), tmp_path)
        with room("proxy", config), room("exporter", config):
            for port in ports:
                await asyncio.to_thread(wait_for, f"http://127.0.0.1:{port}/healthz")
            url = await asyncio.to_thread(
                prometheus_server, tmp_path / "prometheus/prometheus.yml", tmp_path / "data"
            )
            await asyncio.to_thread(wait_until, url, SCRAPED)
            await begin(f"http://127.0.0.1:{proxy_port}/v1", url)
            await first_half_of_a_minute()
            now = next_minute_at_noon()
            await drive(f"http://127.0.0.1:{proxy_port}/v1")
            today = await asyncio.to_thread(settled, url, now)
            tomorrow = answers(url, now + timedelta(days=1))
            exported = await asyncio.to_thread(caught_up, url)
        assert len(upstream.log) == 1 + PRICED + UNPRICED + FAILED
    check_days(tomorrow)
    assert set(today) == {*EXPECTED_TODAY, *EXPECTED_DAYS}, "a panel without an expectation"
    check_ledger(tmp_path / "usage.db")
    assert exported["codex_lb_proxy_account_cost_usd_7d"] == pytest.approx(float(PRICED * COST))
    assert exported["codex_lb_exporter_collector_success"] == 1


def about(value: float) -> Any:
    """increase() extrapolates by up to 1.1 scrape intervals at the end of its samples, which span some 20 s
    at 1 s scrapes. One request more or less of twelve is beyond it; what each figure is to the last digit,
    the tests of `tests/dashboards` ask."""
    return pytest.approx(value, rel=0.07)


TOTAL = float(PRICED + UNPRICED + FAILED)
DOLLARS = float(PRICED * COST)
WINDOW_MINUTES = 4 * RULES.panel_step / timedelta(minutes=1)
EXPECTED_TODAY: Mapping[str, Mapping[str, Any]] = {
    "Cost today so far (USD)": {"Cost": about(DOLLARS)},
    "Requests today so far": {"Requests": about(TOTAL)},
    "Projected end of day (USD)": {"Projected": about(DOLLARS)},  # of a week ago nothing is known
    "Cost by model (USD)": {"gpt-5.4": about(DOLLARS)},
    "Unpriced requests": {"unknown_pricing (responses)": about(1 + UNPRICED)},
    # By the minute. The unknown model is left out: increase() does not count a counter's first value,
    # and only models with a price begin at 0.
    "Requests by model": {"gpt-5.4": about((PRICED + FAILED) / WINDOW_MINUTES)},
    "Error rate": {"Error rate": about(FAILED / TOTAL)},
    "Tokens by kind": {
        "input": about(ANSWERED * 10_000 / WINDOW_MINUTES),
        "cached input": about(ANSWERED * 4_000 / WINDOW_MINUTES),
        "cache write": about(0),
        "output": about(ANSWERED * 2_000 / WINDOW_MINUTES),
        "reasoning": about(ANSWERED * 500 / WINDOW_MINUTES),
    },
    "Cache ratio": {"Cache ratio": about(0.4)},
    "Errors": {"gpt-5.4": about(FAILED)},
    "Latency": {},
    "Latency p95 by model": {},
    "Time to first token": {},
    # Of what the first minutes have no answer yet: days before, full hours, the month by ten minutes.
    "Cost against yesterday": {},
    "Cost against last week": {},
    "Cost by key (USD)": {},
    "Cost by project (USD)": {},
    "Cost this month (USD)": {},
    "Budget of the month used": {},
}
EXPECTED_DAYS: Mapping[str, Mapping[str, Any]] = {
    "Cost yesterday (USD)": {"Cost/day": about(DOLLARS)},
    "Requests yesterday": {"Requests/day": about(TOTAL)},
    "Cost/day (USD, completed days + 7d avg)": {
        "Cost/day": about(DOLLARS),  # the average takes a point every ten minutes: none yet
    },
}


def check_today(found: Mapping[str, Mapping[str, float]]) -> None:
    for title, expected in EXPECTED_TODAY.items():
        known = {name: value for name, value in found[title].items() if name in expected}
        assert known == expected, title
    for title in (
        "Cost against yesterday",
        "Cost against last week",
        "Cost by key (USD)",
        "Cost by project (USD)",
    ):
        assert not found[title], title
    assert found["Latency p95 by model"]["gpt-5.4"] >= 100
    for title in ("Latency", "Time to first token"):
        assert set(found[title]) == {"p50", "p95", "p99"}
        # The upstream waits 150 ms: the median lies in the bucket from 100 to 250 ms, or the next on a
        # busy machine.
        assert 100 <= found[title]["p50"] <= 500, title
        assert found[title]["p50"] <= found[title]["p95"] <= found[title]["p99"], title


def check_days(found: Mapping[str, Mapping[str, float]]) -> None:
    for title, expected in EXPECTED_DAYS.items():
        assert {name: found[title].get(name) for name in expected} == expected, title


def check_ledger(database: Path) -> None:
    engine = store.reader(store.sqlite_url(database))
    log = request_logs.c
    with engine.connect() as connection:
        rows = connection.execute(
            select(log.status, func.count(), func.sum(log.input_tokens)).group_by(log.status)
        ).all()
    engine.dispose()
    assert {row[0]: tuple(row[1:]) for row in rows} == {
        "success": (1 + ANSWERED, (1 + ANSWERED) * 10_000),
        "error": (FAILED, None),
    }


def caught_up(url: str) -> dict[str, float]:
    """The exporter's values once it has read the last request: the proxy counts it before it is stored."""
    deadline = time.monotonic() + 30
    while True:
        values = scraped(url)
        is_whole = values["codex_lb_proxy_account_cost_usd_7d"] == pytest.approx(float(PRICED * COST))
        if is_whole or time.monotonic() > deadline:
            return values
        time.sleep(0.2)


def scraped(url: str) -> dict[str, float]:
    """The least value of each exporter family that a number is expected of."""
    values = {}
    for family in ("codex_lb_proxy_account_cost_usd_7d", "codex_lb_exporter_collector_success"):
        now = datetime.now(UTC)
        ask = grafana_time.Ask(f"min({family})", now, now, SECOND, True, family)
        (series,) = source.fetch(url, ask)
        values[family] = series.last
    return values
