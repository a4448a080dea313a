"""A price that changes while a proxy runs holds without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from time import monotonic
from typing import TYPE_CHECKING

import aiohttp
from sqlalchemy import delete, update

from ledger import store
from ledger.pricing.prices import DAWN, Price, flat
from ledger.pricing.table import replace_prices
from ledger.schema import prices as table
from ledger.schema import versions

if TYPE_CHECKING:
    from tests.proxy.conftest import Proxy, Scene

BODY = b'{"model": "m-1", "usage": {"input_tokens": 1000000, "output_tokens": 0}}'
SERIES = 'codex_lb_proxy_cost_usd_total{model="m-1"}'


def change(proxy: Proxy, prices: Iterable[Price] | None) -> None:
    """Change the stored prices as another process does; None empties the table behind everybody's back."""
    engine = store.writer(store.sqlite_url(proxy.database))
    with engine.begin() as connection:
        if prices is None:
            connection.execute(delete(table))
            connection.execute(update(versions).values(version=versions.c.version + 1))
        else:
            replace_prices(connection, prices)
    engine.dispose()


async def spent(proxy: Proxy) -> float:
    """What one more request adds to the cost, in dollars."""
    before = proxy.samples().get(SERIES, 0.0)
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{proxy.base_url}/responses", json={"model": "m-1"}) as answer:
            await answer.read()
    return proxy.samples().get(SERIES, 0.0) - before


async def becomes(proxy: Proxy, usd: float) -> None:
    deadline = monotonic() + 10
    while abs(await spent(proxy) - usd) > 1e-9:
        assert monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_a_running_proxy_takes_changed_prices_and_keeps_them_when_the_table_breaks(
    scene: Scene,
) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
    await scene.begin(head.encode() + BODY)
    proxy, mine = scene.proxy, flat("m-1", DAWN, Decimal(3), Decimal(0))
    assert await spent(proxy) == 0
    change(proxy, [mine])
    await becomes(proxy, 3)
    change(proxy, [replace(mine, card=flat("", DAWN, Decimal(7), Decimal(0)).card)])
    await becomes(proxy, 7)
    change(proxy, None)
    await asyncio.sleep(1.2)  # two looks at the table
    await becomes(proxy, 7)
    change(proxy, [mine])
    await becomes(proxy, 3)
