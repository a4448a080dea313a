"""The page reads days that are over before somebody asks for them, also of a ledger that comes later."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from console.store import Ledger
from console.web import app
from settings.load import load
from tests.console.conftest import Books


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_ledger_that_is_away_for_a_moment_is_read_ahead_later(
    books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """It is moved away before the first question is asked, or before it is looked for at all."""
    books.add(3, timedelta(days=3))
    books.add(1)
    books.engine.dispose()
    monkeypatch.setattr(app, "PAUSE", 0.001)
    monkeypatch.setattr(app, "AGAIN", 0.01)
    config, away = tmp_path / "usage.toml", books.path.with_suffix(".away")
    config.write_text(f'[storage]\ndatabase_path = "{books.path}"\n')
    ledger = Ledger(load(config, {}))
    if not is_there:
        books.path.rename(away)
    task = asyncio.create_task(app.warm(ledger))
    await asyncio.sleep(0)
    if is_there:
        books.path.rename(away)
    await asyncio.sleep(0.2)
    away.rename(books.path)
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob("usage.db.sums/*-rows-slot")):
        assert not task.done()
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    ledger.close()
