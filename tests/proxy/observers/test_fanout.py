"""Events reach every observer once, in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from ledger.values import RequestEvent
from proxy.observers.fanout import Fanout

if TYPE_CHECKING:
    from tests.proxy.conftest import MakeEvent

Batches = list[Sequence[RequestEvent]]


def test_every_observer_gets_every_event_once(make_event: MakeEvent) -> None:
    first: Batches = []
    second: Batches = []
    fanout = Fanout(first.append, second.append)
    events = [make_event() for _ in range(3)]
    fanout(events[0])
    fanout(events[1])
    fanout.deliver()
    fanout(events[2])
    fanout.deliver()
    fanout.deliver()
    assert first == second == [events[:2], events[2:]]


async def test_it_delivers_by_itself(make_event: MakeEvent) -> None:
    seen: Batches = []
    rounds = []
    fanout = Fanout(seen.append)
    delivery = asyncio.create_task(fanout.run(lambda: rounds.append(1)))
    fanout(make_event())
    await asyncio.sleep(0.35)
    delivery.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivery
    assert len(seen) == 1
    assert len(rounds) >= 2


async def test_what_fails_beside_the_delivery_does_not_end_it(make_event: MakeEvent) -> None:
    seen: asyncio.Queue[Sequence[RequestEvent]] = asyncio.Queue()
    rounds: asyncio.Queue[int] = asyncio.Queue()

    def also() -> None:
        rounds.put_nowait(1)
        raise OSError(28, "No space left on device")

    fanout = Fanout(seen.put_nowait)
    delivery = asyncio.create_task(fanout.run(also))
    try:
        async with asyncio.timeout(30):
            await rounds.get()
            fanout(make_event())
            assert len(await seen.get()) == 1
    finally:
        delivery.cancel()
        await asyncio.gather(delivery, return_exceptions=True)


async def test_an_event_that_comes_while_events_are_handed_on_is_not_lost(make_event: MakeEvent) -> None:
    seen: list[RequestEvent] = []
    late = make_event()

    def observe(events: Sequence[RequestEvent]) -> None:
        seen.extend(events)
        if late not in seen:
            fanout(late)

    fanout = Fanout(observe)
    fanout(make_event())
    fanout.deliver()
    fanout.deliver()
    assert seen[-1] is late


async def test_an_observer_that_fails_costs_the_others_nothing(make_event: MakeEvent) -> None:
    """Observers must not raise; but one that has a fault must not silence the ledger."""
    seen: Batches = []

    def broken(events: Sequence[RequestEvent]) -> None:
        raise RuntimeError("a fault")

    fanout = Fanout(broken, seen.append)
    delivery = asyncio.create_task(fanout.run(lambda: None))
    fanout(make_event())
    await asyncio.sleep(0.25)
    fanout(make_event())
    await asyncio.sleep(0.25)
    ended = delivery.done()
    delivery.cancel()
    await asyncio.gather(delivery, return_exceptions=True)
    assert not ended
    assert sum(map(len, seen)) == 2
