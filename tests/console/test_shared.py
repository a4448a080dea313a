"""What many pages ask for at the same time is made once."""

from __future__ import annotations

import asyncio

import pytest

from console.web.shared import Shared


async def test_pages_that_ask_at_once_or_soon_after_share_an_answer() -> None:
    shared, made = Shared(60), []

    async def make() -> str:
        made.append(1)
        await asyncio.sleep(0.01)
        return f"text {len(made)}"

    assert set(await asyncio.gather(*(shared.get("a", make) for _ in range(50)))) == {"text 1"}
    assert await shared.get("a", make) == "text 1"
    assert await shared.get("b", make) == "text 2"
    assert await Shared(0).get("a", make) == "text 3"


async def test_an_answer_gets_old() -> None:
    shared, made = Shared(0), []

    async def make() -> str:
        made.append(1)
        return str(len(made))

    assert [await shared.get("a", make) for _ in range(3)] == ["1", "2", "3"]


async def test_an_error_is_not_shared_and_one_page_that_leaves_takes_nothing_from_the_others() -> None:
    shared, made = Shared(60), []

    async def make() -> str:
        made.append(1)
        await asyncio.sleep(0.05)
        if len(made) == 1:
            raise ValueError("not now")
        return "well"

    with pytest.raises(ValueError, match="not now"):
        await shared.get("a", make)
    first, second = (asyncio.create_task(shared.get("a", make)) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    assert await second == "well"
    assert len(made) == 2
