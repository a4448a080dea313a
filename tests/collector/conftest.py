"""A simulated gateway, a collector on it, and their files."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, select

from collector.service import Service
from ledger import store
from ledger.schema import request_logs
from settings.model import Settings
from tests.support.gateway.records import encoded, record
from tests.support.gateway.server import Gateway

KEY = "management-key-1"


class Scene:
    """The files of one collector, and what lies in its ledger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger_path = folder / "usage.db"
        self.inbox_path = folder / "inbox.db"
        self._rng = random.Random(7)
        self._number = 0
        self.published: list[str] = []

    def settings(self, gateway: Gateway, name: str = "cpa", **collector: Any) -> Settings:
        table = {"url": gateway.url, "key": "env:CPA_KEY", **collector.pop("table", {})}
        return Settings.model_validate(
            {
                "storage": {"database_path": str(self.ledger_path)},
                "collector": {
                    "listen_addr": "127.0.0.1:0",
                    "inbox_path": str(self.inbox_path),
                    "poll_seconds": 0.1,
                    "gateways": {name: table},
                    **collector,
                },
            }
        )

    @asynccontextmanager
    async def collecting(
        self, gateway: Gateway, *, key: str = KEY, **collector: Any
    ) -> AsyncIterator[Service]:
        """A collector in this process, connected."""
        service = Service(self.settings(gateway, **collector), environ={"CPA_KEY": key})
        async with service:
            yield service

    def record(self, **changed: Any) -> dict[str, Any]:
        self._number += 1
        return record(self._number, datetime.now(UTC), self._rng, **changed)

    def publish(self, gateway: Gateway, count: int = 1, **changed: Any) -> None:
        for _ in range(count):
            made = self.record(**changed)
            self.published.append(made["request_id"])
            gateway.queue.publish(encoded(made))

    def rows(self) -> list[Mapping[str, Any]]:
        """What is in the ledger, in the order of storing."""
        if not self.ledger_path.exists():
            return []
        engine = self.reader()
        with engine.connect() as connection:
            if not inspect(connection).has_table("request_logs"):
                return []
            found = connection.execute(select(request_logs).order_by(request_logs.c.id)).mappings().all()
        return [dict(row) for row in found]

    def reader(self) -> Engine:
        return store.reader(store.sqlite_url(self.ledger_path))

    def stored(self) -> list[str]:
        """Request ids in the ledger; one that is there twice is there twice here."""
        return sorted(row["request_id"] for row in self.rows())

    async def all_stored(self, seconds: float = 60.0) -> None:
        """Until the ledger has what was published, each once."""
        wanted = sorted(self.published)
        await until(lambda: len(self.stored()) >= len(wanted), seconds)
        assert self.stored() == wanted


async def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.02)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    yield Scene(tmp_path)


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with Gateway(key=KEY) as running:
        yield running
