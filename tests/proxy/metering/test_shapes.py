"""Every shape of the corpus is counted: however its bytes are cut, and through a real proxy into ledger and
metrics."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from ledger.values import NO_USAGE, RequestEvent
from proxy.http.routes import route
from proxy.metering.asked import read_body
from proxy.metering.event import Caller
from proxy.metering.meter import Meter
from proxy.metering.place import model_in_target
from tests.proxy.metering.shapes import Shape, shapes
from tests.support.cases import each

if TYPE_CHECKING:
    from tests.proxy.conftest import StartProxy

SHAPES = shapes()
DOCUMENT = Path(__file__).parents[3] / "docs" / "usage.md"
COUNTS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cached": "cached_input_tokens",
    "reasoning": "reasoning_tokens",
    "cache_write": "cache_write_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "audio_input": "audio_input_tokens",
    "audio_output": "audio_output_tokens",
    "image_input": "image_input_tokens",
    "image_output": "image_output_tokens",
}


def metered(shape: Shape, chunks: list[bytes], content: str | None = None) -> RequestEvent:
    """The event of an answer that comes in these chunks; of what its tools drew there is one before it."""
    found: list[RequestEvent] = []
    path = shape.path.partition("?")[0]
    caller = Caller("POST", route("POST", path), "k", "r", None, None, model=model_in_target(shape.path))
    meter = Meter(caller, found.append, perf_counter(), lambda samples: None)
    meter.learn(read_body(shape.ask.encode(), "application/json", ""))
    meter.answered(
        200, CIMultiDict({"Content-Type": shape.content if content is None else content, **shape.head})
    )
    for chunk in chunks:
        meter.feed(chunk)
    meter.finish("done")
    *drawn, event = found
    assert len(drawn) == ("drawn" in shape.counts)
    for one in drawn:
        check_counts(shape.counts["drawn"], one)
        assert (one.batched, one.billable, one.request_id) == (True, True, event.request_id)
    return event


def check_counts(expected: Mapping[str, Any], event: RequestEvent) -> None:
    for name, attribute in COUNTS.items():
        assert getattr(event.usage, attribute) == expected.get(name), name
    assert event.model == expected["model"]
    assert event.api == expected["api"]
    assert event.service_tier == expected.get("tier")


def check(shape: Shape, event: RequestEvent) -> None:
    expected = shape.counts
    check_counts(expected, event)
    assert event.status == expected.get("status", "success")
    assert event.streamed is expected.get("streamed", False)
    units = expected.get("units")
    assert (event.extra_units or None) == (units and {k: Decimal(str(v)) for k, v in units.items()})
    assert event.provider_cost_usd == (Decimal(expected["cost"]) if "cost" in expected else None)
    assert event.billable is not expected.get("free", False)
    assert not event.unmetered
    assert not event.implausible
    assert event.end_reason == "done"


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_shape_is_counted(shape: Shape) -> None:
    check(shape, metered(shape, [shape.body]))


@given(st.sampled_from(SHAPES), st.lists(st.integers(0, 4_000), max_size=10))
def test_a_shape_is_counted_however_it_is_cut(shape: Shape, cuts: list[int]) -> None:
    edges = [0, *sorted(cut % (len(shape.body) + 1) for cut in cuts), len(shape.body)]
    check(shape, metered(shape, [shape.body[a:b] for a, b in pairwise(edges)]))


@each("content", ["", "text/plain; charset=utf-8", "application/octet-stream"])
@each("shape", [s for s in SHAPES if "audio/" not in s.content])
def test_a_shape_is_counted_whatever_its_head_calls_it(shape: Shape, content: str) -> None:
    event, expected = metered(shape, [shape.body], content), shape.counts
    assert event.usage.input_tokens == expected.get("input")
    assert event.usage.output_tokens == expected.get("output")


@asynccontextmanager
async def provider() -> AsyncIterator[str]:
    """Answers each request with the shape that it names in a header."""
    known = {str(number): shape for number, shape in enumerate(SHAPES)}

    async def answer(request: web.Request) -> web.Response:
        shape = known[request.headers["X-Shape"]]
        return web.Response(body=shape.body, headers={"Content-Type": shape.content, **shape.head})

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_every_shape_through_a_real_proxy(start_proxy: StartProxy) -> None:
    async with provider() as origin, aiohttp.ClientSession() as session:
        proxy = await start_proxy(origin)
        for number, shape in enumerate(SHAPES):
            headers = {"X-Shape": str(number), "Content-Type": "application/json"}
            url = proxy.base_url + shape.path
            async with session.post(url, data=shape.ask, headers=headers) as answer:
                assert await answer.read() == shape.body
            await asyncio.sleep(0)
        rows, samples = proxy.rows(), proxy.samples()
    counts = [c for s in SHAPES for c in (s.counts.get("drawn"), s.counts) if c]
    assert len(rows) == len(counts)
    for expected, row in zip(counts, rows, strict=True):
        for name, column in COUNTS.items():
            assert row[column] == expected.get(name), (expected, name)
        assert row["model"] == expected["model"], expected
    kinds = {
        "input": ("input",),
        "output": ("output",),
        "cached_input": ("cached",),
        "cache_write": ("cache_write", "cache_write_1h"),
        "reasoning": ("reasoning",),
    }
    for kind, names in kinds.items():
        label = f'kind="{kind}"'
        total = sum(
            v for k, v in samples.items() if k.startswith("codex_lb_proxy_tokens_total") and label in k
        )
        assert total == sum(c.get(name, 0) for c in counts for name in names), kind
    assert not [k for k, v in samples.items() if v and k.startswith("codex_lb_proxy_unmetered")]
    costs = [s.counts["cost"] for s in SHAPES if "cost" in s.counts]
    assert sum(row["provider_cost_usd"] or 0 for row in rows) == sum(map(Decimal, costs))


def test_the_document_names_every_shape_and_no_other() -> None:
    """The table of docs/usage.md: each shape once, in backquotes at the end of its row."""
    table = DOCUMENT.read_text(encoding="utf-8").partition("| API |")[2].partition("\n\n")[0]
    named = re.findall(r"\| `([^|]+)` \|\n", table + "\n")
    assert sorted(named) == sorted(s.name for s in SHAPES)


def test_the_tests_that_the_document_names_are_there() -> None:
    named = set(re.findall(r"`(test_\w+\.py)`", DOCUMENT.read_text(encoding="utf-8")))
    assert named
    assert named <= {path.name for path in Path(__file__).parents[1].rglob("test_*.py")}


def test_nothing_is_known_of_silence() -> None:
    silent = Shape("silent", "/responses", "application/json", b'{"object":"response"}', "{}", {})
    event = metered(silent, [silent.body])
    assert event.usage is NO_USAGE
    assert event.unmetered
