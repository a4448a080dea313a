from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.pricing.cost import Spend, TokenSum, price_request, price_sum
from ledger.pricing.counts import Counts, counts_of
from ledger.pricing.files import book, load_seed
from ledger.pricing.prices import DAWN, Card, Price, PriceBook, Rates, flat
from ledger.pricing.steps import CONTEXT_STEPS, context_step
from ledger.values import Usage
from tests.support.sums import price_sums

NOW = datetime(2026, 9, 30, tzinfo=UTC)
SEEDED = book(load_seed())
PLAIN = flat("plain", DAWN, Decimal(2), Decimal(10), Decimal("0.5"))


def card(input_usd: str, output_usd: str, cached_usd: str, *above: tuple[int, Rates]) -> Card:
    return Card(Rates(Decimal(input_usd), Decimal(output_usd), Decimal(cached_usd)), above)


LONG = Price(
    "long",
    DAWN,
    card("2", "10", "0.5", (272_000, Rates(Decimal(4), Decimal(15), Decimal(1)))),
    tiers={
        "priority": card("5", "25", "1.25", (272_000, Rates(Decimal(10), Decimal("37.5"), Decimal("2.5")))),
        "flex": card("1", "5", "0.25"),
    },
)

RATES = st.decimals(0, 10_000, places=4)
MAYBE = st.one_of(st.none(), RATES)
ALL_RATES = st.builds(Rates, RATES, RATES, *[MAYBE] * 12)
STEPS = st.lists(st.sampled_from(CONTEXT_STEPS), unique=True, max_size=2).map(sorted)
CARDS = st.builds(
    lambda rates, steps, above: Card(rates, tuple(zip(steps, above, strict=False))),
    ALL_RATES,
    STEPS,
    st.lists(ALL_RATES, min_size=2, max_size=2),
)
PRICES = st.builds(
    Price,
    model=st.just("m"),
    effective_from=st.just(DAWN),
    card=CARDS,
    tiers=st.dictionaries(st.sampled_from(["priority", "flex"]), CARDS),
)
COUNTS = st.one_of(st.integers(0, 5_000), st.integers(271_990, 272_010), st.integers(0, 10**9))
PARTS = st.one_of(st.none(), st.just(-1), COUNTS)
METERED = st.builds(Usage, COUNTS, COUNTS, PARTS, COUNTS, *[PARTS] * 6)
TIERS = st.sampled_from([None, "priority", "flex", "auto"])


def cost_of(usage: Usage, price: Price, tier: str | None = None) -> Decimal | None:
    found = price_request(PriceBook([price]), price.model, usage, NOW, tier)
    return found if isinstance(found, Decimal) else None


class TestOneRequest:
    @pytest.mark.parametrize(
        ("usage", "price", "tier", "usd"),
        [
            # 800 * 2 + 200 * 0.5 + 400 * 10 = 1600 + 100 + 4000, per million
            (Usage(1_000, 400, 200, 50), PLAIN, None, "0.0057"),
            # reasoning stands in for the output that is missing: 1000 * 2 + 300 * 10
            (Usage(1_000, None, None, 300), PLAIN, None, "0.005"),
            # more cached than input: 1000 * 0.5 + 400 * 10
            (Usage(1_000, 400, 5_000), PLAIN, None, "0.0045"),
            # less than nothing cached: 1000 * 2 + 400 * 10
            (Usage(1_000, 400, -7), PLAIN, None, "0.006"),
            (Usage(0, 0), PLAIN, None, "0"),
            # 272,000 is not above 272,000: 272000 * 2 + 1000 * 10
            (Usage(272_000, 1_000), LONG, None, "0.554"),
            # 272001 * 2 * 2 + 1000 * 10 * 1.5
            (Usage(272_001, 1_000), LONG, None, "1.103004"),
            # long context has its factor on the cached part too: (1 * 2 + 272000 * 0.5) * 2 + 15000
            (Usage(272_001, 1_000, 272_000), LONG, None, "0.287004"),
            (Usage(1_000, 400, 200), LONG, "priority", "0.01425"),
            (Usage(1_000, 400, 200), LONG, "flex", "0.00285"),
            (Usage(1_000, 400, 200), LONG, "a tier nobody priced", "0.0057"),
            # both at once: 1.103004 * 2.5
            (Usage(272_001, 1_000), LONG, "priority", "2.75751"),
        ],
    )
    def test_worked_by_hand(self, usage: Usage, price: Price, tier: str | None, usd: str) -> None:
        assert cost_of(usage, price, tier) == Decimal(usd)

    def test_without_a_cached_rate_cached_input_costs_as_much_as_input(self) -> None:
        price = flat("m", DAWN, Decimal(30), Decimal(180))
        # 1000 * 30 + 100 * 180
        assert cost_of(Usage(1_000, 100, 900), price) == Decimal("0.048")

    @pytest.mark.parametrize("usage", [Usage(), Usage(input_tokens=5), Usage(output_tokens=5)])
    def test_a_count_that_is_missing_is_no_zero(self, usage: Usage) -> None:
        assert cost_of(usage, PLAIN) is None

    @pytest.mark.parametrize(
        ("model", "usage", "result"),
        [
            # 800 * 4 + 200 * 0.4 + 100 * 20
            ("gpt-5.6-sol", Usage(1_000, 100, 200), Decimal("0.00528")),
            ("gpt-5.9", Usage(1_000, 100), "unknown_pricing"),
            ("gpt-5.6-sol", Usage(1_000), "missing_usage"),
            ("gpt-5.9", Usage(), "unknown_pricing"),
            ("unknown", Usage(1_000, 100), "missing_model"),
            ("", Usage(1_000, 100), "missing_model"),
            (None, Usage(1_000, 100), "missing_model"),
        ],
    )
    def test_a_request_without_a_price_says_why(
        self, model: str | None, usage: Usage, result: Decimal | str
    ) -> None:
        assert price_request(SEEDED, model, usage, NOW) == result


def summed(usages: Sequence[Usage], tier: str | None) -> list[TokenSum]:
    """What a query makes of requests of one model and tier: one sum per context step."""
    return [
        TokenSum(
            model="m",
            service_tier=tier,
            context_above=step,
            at=NOW,
            metered=len(same),
            unmetered=0,
            counts=sum((counts_of(usage) for usage in same), Counts()),
        )
        for step in (0, *CONTEXT_STEPS)
        if (same := [usage for usage in usages if context_step(usage.input_tokens) == step])
    ]


def sum_of(model: str, metered: int, unmetered: int) -> TokenSum:
    counts = Counts(input=1_000 * metered, output=100 * metered)
    return TokenSum(model, None, 0, NOW, metered, unmetered, counts)


class TestSums:
    @given(price=PRICES, tier=TIERS, usages=st.lists(METERED, max_size=30))
    def test_they_cost_exactly_what_their_requests_cost_one_by_one(
        self, price: Price, tier: str | None, usages: list[Usage]
    ) -> None:
        one_by_one = [cost_of(usage, price, tier) for usage in usages]
        total = sum((usd for usd in one_by_one if usd is not None), Decimal(0))
        assert price_sums(PriceBook([price]), summed(usages, tier)) == Spend(total)

    @given(price=PRICES, tier=TIERS, usage=METERED)
    def test_no_request_costs_less_than_nothing(self, price: Price, tier: str | None, usage: Usage) -> None:
        usd = cost_of(usage, price, tier)
        assert usd is not None
        assert usd >= 0

    @pytest.mark.parametrize(
        ("row", "spend"),
        [
            # 3 requests of 1000 * 4 + 100 * 20
            (sum_of("gpt-5.6-sol", 3, 0), Spend(Decimal("0.018"))),
            (sum_of("gpt-5.6-sol", 3, 2), Spend(Decimal("0.018"), 2)),
            (sum_of("gpt-5.9", 3, 2), Spend(Decimal(0), 5)),
            (sum_of("unknown", 3, 2), Spend(Decimal(0), 5)),
        ],
    )
    def test_requests_without_usage_or_price_are_counted(self, row: TokenSum, spend: Spend) -> None:
        assert price_sum(SEEDED, row) == spend

    def test_a_model_that_is_priced_as_unknown_is_still_no_model(self) -> None:
        prices = PriceBook([flat("unknown", DAWN, Decimal(1), Decimal(1))])
        assert price_sum(prices, sum_of("unknown", 1, 0)) == Spend(Decimal(0), 1)

    def test_many_add_up(self) -> None:
        rows = [sum_of("gpt-5.6-sol", 1, 1), sum_of("gpt-5.9", 2, 0), sum_of("gpt-5", 1, 0)]
        # 0.006 + (1000 * 1.25 + 100 * 10) per million
        assert price_sums(SEEDED, rows) == Spend(Decimal("0.00825"), 3)
        assert price_sums(SEEDED, []) == Spend()
