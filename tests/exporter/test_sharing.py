from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from exporter.sharing import Shared, Watch


class Slow:
    """A blocking call that ends when it is told to, and counts how often it was made."""

    def __init__(self) -> None:
        self.calls = 0
        self.go = threading.Event()

    def __call__(self) -> int:
        self.calls += 1
        assert self.go.wait(10)
        return self.calls


async def test_who_asks_meanwhile_gets_the_same_answer() -> None:
    slow = Slow()
    shared = Shared(slow)
    asked = [asyncio.create_task(shared.result()) for _ in range(20)]
    await asyncio.sleep(0.05)
    slow.go.set()
    assert await asyncio.gather(*asked) == [1] * 20


async def test_who_asks_later_gets_a_new_one() -> None:
    slow = Slow()
    slow.go.set()
    shared = Shared(slow)
    assert [await shared.result(), await shared.result()] == [1, 2]


async def test_who_gives_up_takes_nothing_from_the_others() -> None:
    slow = Slow()
    shared = Shared(slow)
    first, second = (asyncio.create_task(shared.result()) for _ in range(2))
    await asyncio.sleep(0.05)
    first.cancel()
    slow.go.set()
    assert await second == 1
    assert first.cancelled()


async def test_an_error_is_everybodys_and_is_over_with_the_call() -> None:
    answers = iter([None, 7])

    def call() -> int:
        answer = next(answers)
        if answer is None:
            raise LookupError("not now")
        return answer

    shared = Shared(call)
    asked = [shared.result(), shared.result()]
    assert [str(error) for error in await asyncio.gather(*asked, return_exceptions=True)] == ["not now"] * 2
    assert await shared.result() == 7


async def test_the_loop_goes_on_meanwhile() -> None:
    slow = Slow()
    waiting = asyncio.create_task(Shared(slow).result())
    await asyncio.sleep(0.05)  # would never end if the call held the loop
    assert not waiting.done()
    slow.go.set()
    assert await asyncio.wait_for(waiting, 5) == 1


@pytest.mark.parametrize("count", [1, 3])
async def test_one_call_at_a_time(count: int) -> None:
    running = most = 0
    lock = threading.Lock()

    def call() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.01)
        with lock:
            running -= 1

    shared = Shared(call)
    for _ in range(count):
        await asyncio.gather(*(shared.result() for _ in range(10)))
    assert most == 1


async def test_the_work_for_afterwards_comes_after_each_answer_and_ends_before_the_next_call() -> None:
    told: list[str] = []

    def afterwards(asked: Callable[[], bool]) -> None:
        while not asked():
            threading.Event().wait(0.001)
        told.append("end")

    shared = Shared(lambda: told.append("call"), afterwards)
    for _ in range(3):
        await shared.result()
    await shared.end()
    assert told == ["call", "end"] * 3


async def test_work_for_afterwards_that_fails_costs_no_answer() -> None:
    def afterwards(asked: Callable[[], bool]) -> None:
        raise LookupError("not now")

    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    shared = Shared(lambda: 7, afterwards)
    assert [await shared.result(), await shared.result()] == [7, 7]
    await shared.end()


class Hanging:
    """A call that hangs until it is told to end, or gets on all the time."""

    def __init__(self) -> None:
        self.calls = 0
        self.last = 0.0
        self.ended = threading.Event()

    def __call__(self) -> str:
        self.calls += 1
        assert self.ended.wait(10)
        return "late"

    def instead(self, seconds: float) -> str:
        return f"nothing for {seconds} s"

    def watch(self) -> Watch[str]:
        return Watch(lambda: self.last, self.instead, seconds=0.3)


async def test_a_call_that_hangs_is_given_up_and_its_late_answer_reaches_nobody() -> None:
    call = Hanging()
    shared = Shared(call, watch=call.watch())
    first = asyncio.create_task(shared.result())
    await asyncio.sleep(0.1)
    second = asyncio.create_task(shared.result())
    assert [await first, await second] == ["nothing for 0.3 s"] * 2
    assert await shared.result() == "nothing for 0.3 s"  # it hangs still, and is not begun again
    assert call.calls == 1
    call.ended.set()
    await asyncio.sleep(0.1)
    assert await shared.result() == "late"
    assert call.calls == 2


async def test_a_late_answer_that_comes_while_one_waits_is_not_given_either() -> None:
    call = Hanging()
    shared = Shared(call, watch=call.watch())

    def instead(seconds: float) -> str:
        call.ended.set()
        return "instead"

    call.instead = instead  # type: ignore[method-assign]
    shared = Shared(call, watch=call.watch())
    assert await asyncio.gather(*(shared.result() for _ in range(5))) == ["instead"] * 5


async def test_a_long_call_that_gets_on_is_waited_for() -> None:
    call = Hanging()
    waiting = asyncio.create_task(Shared(call, watch=call.watch()).result())
    for _ in range(10):
        call.last = time.monotonic()
        await asyncio.sleep(0.1)
    assert not waiting.done()
    call.ended.set()
    assert await waiting == "late"
