"""A simulated gateway as a process: `python -m bench.scenes.collector_gateway PORT BURST RATE SECONDS`.

It queues a burst before it listens; each line on its input makes it publish at the rate for so long.
"""

from __future__ import annotations

import asyncio
import random
import sys
from datetime import UTC, datetime

from tests.support.gateway.records import encoded, record
from tests.support.gateway.server import Gateway


async def main(port: int, burst: int, rate: int, seconds: int) -> None:
    """Until the input ends."""
    rng = random.Random(1)
    number = 0
    gateway = Gateway(port=port, retention=3_600)
    for number in range(burst):
        gateway.queue.publish(encoded(record(number, datetime.now(UTC), rng)))
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with gateway:
        print("listening", flush=True)
        while await reader.readline():
            began, sent = loop.time(), 0
            while sent < rate * seconds:
                due = min(rate * seconds, int((loop.time() - began) * rate))
                for _ in range(due - sent):
                    number += 1
                    gateway.queue.publish(encoded(record(number, datetime.now(UTC), rng)))
                sent = due
                await asyncio.sleep(0.004)
            print("published", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:5])))
