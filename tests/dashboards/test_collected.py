"""What a collector tells a real Prometheus: the row of collected gateways shows it, and it agrees with the
ledger and with what the gateway published."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from collector.inbox import PENDING
from collector.service import Service
from dashboards.preview.grafana_time import View, asks
from dashboards.preview.source import Series as Answer
from dashboards.preview.source import fetch
from metrics import collector, proxy
from metrics.family import MetricFamily
from prometheus.config import RuleConfig
from settings.model import Settings
from tests.collector.conftest import until
from tests.support.gateway.records import encoded, record
from tests.support.gateway.server import Gateway

SCRAPE = """
global: {{scrape_interval: 500ms, scrape_timeout: 400ms}}
scrape_configs: [{{job_name: {job}, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""
QUEUED, LIVE = 40, 80


class Told:
    """A Prometheus, asked as Grafana would."""

    def __init__(self, built: dict[str, Any], url: str) -> None:
        self._panels = built["pipeline"]["panels"]
        self._url = url

    async def __call__(self, title: str) -> dict[str, Answer]:
        (panel,) = (found for found in self._panels if found["title"] == title)
        (question,) = asks(panel, View(datetime.now(UTC), start="now-5m"), 800)
        question = replace(question, end=datetime.now(UTC), instant=True)  # the newest point of a curve
        return {series.name: series for series in await asyncio.to_thread(fetch, self._url, question)}

    async def shows(self, title: str, name: str, value: object) -> None:
        """A panel shows a value, after some scrapes."""
        deadline = time.monotonic() + 60
        while True:
            found = await self(title)
            if name in found and found[name].last == value:
                return
            assert time.monotonic() < deadline, (title, name, value, {n: s.last for n, s in found.items()})
            await asyncio.sleep(0.2)


async def test_the_row_of_collected_gateways(
    built: dict[str, Any], prometheus_server: Callable[..., str], tmp_path: Path
) -> None:
    rng = random.Random(3)
    published: list[dict[str, Any]] = []

    def publish(gateway: Gateway, number: int) -> None:
        for _ in range(number):
            published.append(record(len(published), datetime.now(UTC), rng))
            gateway.queue.publish(encoded(published[-1]))

    async with Gateway() as gateway:
        publish(gateway, QUEUED)
        own = {
            "listen_addr": "127.0.0.1:0",
            "inbox_path": str(tmp_path / "inbox.db"),
            "gateways": {"cpa": {"url": gateway.url, "key": "env:KEY"}},
        }
        ledger = tmp_path / "usage.db"
        settings = Settings.model_validate({"storage": {"database_path": str(ledger)}, "collector": own})
        async with Service(settings, environ={"KEY": "management-key-1"}) as service:
            scrape = SCRAPE.format(port=service.port, job=RuleConfig().collector_job)
            url = await asyncio.to_thread(prometheus_server, scrape, tmp_path / "data")
            told = Told(built, url)
            await until(lambda: service.gateways[0].status.connected)
            await told.shows("Gateways", "cpa", 1)
            gateway.drop()  # the subscription breaks: a gap
            await asyncio.sleep(0.2)
            await until(lambda: service.gateways[0].status.connected and gateway.queue.subscribers)
            publish(gateway, LIVE)
            await until(lambda: _counts(ledger)[0] == len(published))
            sent = sum(r["token_breakdown"]["input"]["total_tokens"] for r in published)
            out = sum(r["token_breakdown"]["output"]["total_tokens"] for r in published)
            assert _counts(ledger) == (len(published), sent, out)
            await until(lambda: not service.inbox.count(PENDING))
            scraped = (await service.scrape())[0].decode()
            assert _sum(scraped, proxy.REQUESTS) == len(published)
            assert _sum(scraped, proxy.TOKENS, 'kind="input"') == sent
            assert _sum(scraped, proxy.TOKENS, 'kind="output"') == out
            assert _sum(scraped, collector.EVENTS, 'transport="resp"') == QUEUED
            assert _sum(scraped, collector.EVENTS, 'transport="subscribe"') == LIVE
            lost = _sum(scraped, collector.GAP_SECONDS, 'reason="disconnected"')
            await told.shows("Gaps", "cpa disconnected", pytest.approx(lost, rel=0.3, abs=0.1))
            (waited,) = (await told("Waiting in the inbox")).values()
            assert waited.last <= QUEUED + LIVE  # the most of the last minute
            await told.shows("Newest event", "cpa", pytest.approx(15, abs=15))
            assert "cpa subscribe" in await told("Events collected")


def _sum(text: str, family: MetricFamily, label: str = "") -> float:
    """The sum of a family's samples, as scraped."""
    lines = (line for line in text.splitlines() if line.startswith(f"{family.name}{{") and label in line)
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def _counts(ledger: Path) -> tuple[int, int, int]:
    """Requests, input and output in the ledger."""
    if not ledger.exists():
        return (0, 0, 0)
    connection = sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=5)
    try:
        asked = "SELECT count(*), sum(input_tokens), sum(output_tokens) FROM request_logs"
        return tuple(connection.execute(asked).fetchone())
    except sqlite3.OperationalError:
        return (0, 0, 0)
    finally:
        connection.close()
