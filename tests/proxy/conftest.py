"""A real proxy in front of a real upstream socket, both in the test's loop."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ledger import store
from ledger.schema import request_logs
from proxy.service import Service
from settings.model import Settings


@dataclass
class Proxy:
    """A running proxy and what it recorded."""

    service: Service
    database: Path
    log: io.StringIO = field(default_factory=io.StringIO)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.service.port}"

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v1"

    @property
    def port(self) -> int:
        return self.service.port

    def rows(self) -> list[dict[str, Any]]:
        """All stored requests, oldest first; what waits is stored first."""
        self.service.events.deliver()
        self.service.writer.flush()
        engine = store.reader(store.sqlite_url(self.database))
        try:
            with engine.connect() as connection:
                found = connection.execute(select(request_logs).order_by(request_logs.c.id))
                return [dict(row._mapping) for row in found]
        finally:
            engine.dispose()

    def samples(self) -> dict[str, float]:
        """The scrape as `name{labels}` -> value."""
        self.service.events.deliver()
        lines = self.service.scrape().decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}


StartProxy = Callable[..., Any]


@pytest.fixture
async def start_proxy(tmp_path: Path) -> AsyncIterator[StartProxy]:
    """Starts proxies that end with the test: `await start_proxy(upstream_url, server={...})`."""
    async with AsyncExitStack() as stack:

        async def start(upstream: str, **sections: dict[str, Any]) -> Proxy:
            proxy = await stack.enter_async_context(running(tmp_path / "usage.db", upstream, sections))
            return proxy

        yield start


@asynccontextmanager
async def running(database: Path, upstream: str, sections: dict[str, dict[str, Any]]) -> AsyncIterator[Proxy]:
    document: dict[str, dict[str, Any]] = {name: dict(values) for name, values in sections.items()}
    server = document.setdefault("server", {})
    server.setdefault("listen_addr", "127.0.0.1:0")
    server.setdefault("upstream_base_url", upstream)
    server.setdefault("shutdown_timeout_seconds", 1)
    document.setdefault("storage", {}).setdefault("database_path", str(database))
    log = io.StringIO()
    async with Service(Settings.model_validate(document), log) as service:
        yield Proxy(service, database, log)
