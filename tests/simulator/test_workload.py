"""What is drawn is consistent with itself, whatever the workload."""

from __future__ import annotations

import statistics
from datetime import UTC, datetime
from random import Random

import pytest

from ledger.pricing.prices import PriceBook
from simulator.history.workload import WORKLOADS, Workload, draw, part


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.model)
@pytest.mark.parametrize("streamed", [True, False])
def test_parts_are_within_their_wholes(workload: Workload, streamed: bool) -> None:
    rng = Random(2)
    for _ in range(500):
        drawn = draw(workload, streamed, rng)
        usage = drawn.usage
        assert usage.input_tokens is not None
        assert usage.output_tokens is not None
        assert 0 <= (usage.cached_input_tokens or 0) <= usage.input_tokens
        assert 0 <= (usage.reasoning_tokens or 0) <= usage.output_tokens
        assert drawn.latency_ms > 0
        if drawn.first_token_ms is not None:
            assert streamed
            assert drawn.first_token_ms <= drawn.latency_ms


def test_medians_are_what_the_workload_says() -> None:
    rng, workload = Random(4), WORKLOADS[0]
    drawn = [draw(workload, True, rng) for _ in range(4_000)]
    assert statistics.median(d.usage.input_tokens or 0 for d in drawn) == pytest.approx(14_000, rel=0.06)
    shares = [(d.usage.cached_input_tokens or 0) / (d.usage.input_tokens or 1) for d in drawn]
    assert statistics.mean(shares) == pytest.approx(workload.cached, abs=0.02)


def test_no_part_of_nothing() -> None:
    assert part(100, 0.0, Random(1)) == 0


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.model)
def test_every_model_has_a_price(workload: Workload, book: PriceBook) -> None:
    assert book.find(workload.model, datetime(2026, 9, 1, tzinfo=UTC)) is not None
