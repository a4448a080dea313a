from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from ledger.errors import PriceError
from ledger.pricing.prices import DAWN, Price, PriceBook, book, configured, load_seed, plausible

NOW = datetime(2026, 9, 30, tzinfo=UTC)
CHANGE = datetime(2026, 8, 22, tzinfo=UTC)
FILE = """
[long_context]
input_factor = 2
output_factor = 1.5
[tiers]
flex = 0.5
[[price]]
model = "Big-1"
effective_from = 2026-01-01
input = "2"
output = "10"
long_context = true
tiers = { priority = 2.5 }
"""


def price(model: str, usd: str, since: datetime = DAWN) -> Price:
    return Price(model, since, Decimal(usd), Decimal(usd))


def found(prices: PriceBook, model: str, at: datetime = NOW) -> Decimal | None:
    entry = prices.find(model, at)
    return None if entry is None else entry.input


class TestLookup:
    PRICES = PriceBook(
        [price("gpt-9", "1"), price("gpt-9-mini", "2"), price("gpt-*", "3"), price("gpt-9-m*", "4")]
    )

    @pytest.mark.parametrize(
        ("model", "usd"),
        [
            ("gpt-9", 1),
            ("gpt-9-mini", 2),
            ("GPT-9-Mini", 2),
            ("gpt-9-2026-03-05", 1),
            ("gpt-9-mini-20260305", 2),
            ("gpt-9-max", 4),
            ("gpt-9-max-2026-03-05", 4),
            ("gpt-9-2026-3-5", 3),  # no date as snapshots write it, so only the pattern is left
            ("gpt-8", 3),
            ("claude-9", None),
            ("my-gpt-9", None),
            ("", None),
        ],
    )
    def test_exact_name_then_without_snapshot_then_longest_pattern(self, model: str, usd: int | None) -> None:
        assert found(self.PRICES, model) == usd

    def test_a_name_is_no_prefix(self) -> None:
        assert found(PriceBook([price("gpt-9", "1")]), "gpt-9.1") is None
        assert found(PriceBook([price("gpt-9", "1")]), "gpt-9-mini") is None

    def test_the_newest_price_already_in_force_holds(self) -> None:
        prices = PriceBook([price("m", "5"), price("m", "4", CHANGE), price("m", "3", NOW)])
        just_before = CHANGE - timedelta(microseconds=1)
        assert [found(prices, "m", at) for at in (just_before, CHANGE, NOW)] == [5, 4, 3]

    def test_before_its_first_price_a_model_has_none(self) -> None:
        prices = PriceBook([price("m", "4", CHANGE), price("m*", "9")])
        assert found(prices, "m", CHANGE - timedelta(days=1)) is None

    def test_an_answer_is_the_same_when_asked_again(self) -> None:
        prices = PriceBook([price("m", "5"), price("m", "4", CHANGE)])
        asked = [found(prices, model, at) for model in ("m", "M", "x") for at in (DAWN, NOW) for _ in "12"]
        assert asked == [5, 5, 4, 4, 5, 5, 4, 4, None, None, None, None]

    def test_invented_names_do_not_fill_the_memory(self) -> None:
        prices = PriceBook([price("m", "5")])
        for number in range(10_100):
            assert found(prices, f"invented-{number}") is None
        assert len(prices._resolved) <= 10_000
        assert found(prices, "m") == 5


class TestConfigured:
    def test_it_beats_every_seeded_price_of_its_name(self) -> None:
        seed = [price("gpt-9", "1"), price("gpt-9", "2", CHANGE), price("gpt-8", "3")]
        prices = book(seed, [configured("GPT-9", Decimal(7), None, Decimal(8))])
        assert [found(prices, "gpt-9", at) for at in (DAWN, NOW)] == [7, 7]
        assert found(prices, "gpt-8") == 3

    def test_it_has_no_tiers_and_no_long_context(self) -> None:
        entry = configured("Gpt-9", Decimal(7), Decimal("0.5"), Decimal(8))
        assert entry == Price("gpt-9", DAWN, Decimal(7), Decimal(8), Decimal("0.5"), origin="config")

    def test_a_name_given_twice_is_refused(self) -> None:
        one, two = (configured(name, Decimal(1), None, Decimal(1)) for name in ("GPT-9", "gpt-9"))
        with pytest.raises(PriceError, match="'gpt-9' has two prices from 2000-01-01"):
            book([], [one, two])

    @pytest.mark.parametrize(
        ("rates", "named"),
        [
            (("0.0000025", None, "10"), "prompt_per_1m"),
            (("2.5", "20000", "10"), "cached_prompt_per_1m"),
            (("2.5", "0.25", "-1"), "completion_per_1m"),
        ],
    )
    def test_a_rate_in_another_unit_is_refused(self, rates: tuple[str, str | None, str], named: str) -> None:
        prompt, cached, completion = (None if rate is None else Decimal(rate) for rate in rates)
        assert prompt is not None
        assert completion is not None
        with pytest.raises(PriceError, match=rf"^model 'm': {named} = .* is implausible; give US dollars"):
            configured("m", prompt, cached, completion)


class TestPlausible:
    @pytest.mark.parametrize("value", ["0", "0.001", "10000", 3, 0.25, Decimal("180")])
    def test_zero_and_all_between_the_bounds(self, value: object) -> None:
        assert plausible("m", "input", value) == Decimal(str(value))

    @pytest.mark.parametrize("value", ["0.0009", "10000.01", "-3", "inf", "nan"])
    def test_anything_else_is_implausible(self, value: str) -> None:
        with pytest.raises(PriceError, match=r"implausible; .* 0 or 0\.001 to 10000"):
            plausible("m", "input", value)

    @pytest.mark.parametrize("value", ["ten", "", True, [1]])
    def test_what_is_no_number_is_shown(self, value: object) -> None:
        with pytest.raises(PriceError, match=r"model 'm': input = .* is not a number"):
            plausible("m", "input", value)


class TestFile:
    def test_an_entry_has_all_it_says(self, tmp_path: Path) -> None:
        path = tmp_path / "prices.toml"
        path.write_text(FILE)
        assert load_seed(path) == (
            Price(
                model="big-1",
                effective_from=datetime(2026, 1, 1, tzinfo=UTC),
                input=Decimal(2),
                output=Decimal(10),
                cached_input=None,
                long_input_factor=Decimal(2),
                long_output_factor=Decimal("1.5"),
                tiers={"flex": Decimal("0.5"), "priority": Decimal("2.5")},
            ),
        )

    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ('model = "Big-1"', "", "KeyError('model')"),
            ("[[price]]", "[[prices]]", "KeyError('price')"),
            ("[[price]]", "[price]", "not a price file"),
            ('"2"', '"two"', "model 'big-1': input = 'two' is not a number"),
            ('"2"', '"0.000002"', "model 'big-1': input = 0.000002 is implausible"),
            ('"2"', "nan", "model 'big-1': input = nan is implausible"),
            ("2026-01-01", '"2026-01-01"', "effective_from = '2026-01-01' is not a day"),
            ("2026-01-01", "2026-01-01T12:00:00", "is not a day like 2026-08-22"),
            ("flex = 0.5", 'flex = "half"', "model 'big-1': tiers.flex = 'half' is not a factor"),
            ("flex = 0.5", "flex = -1", "model 'big-1': tiers.flex = -1 is not a factor"),
            ("input_factor = 2", "input_factor = nan", "long_context.input_factor = nan is not a factor"),
            ("[tiers]", "[tiers", "not a price file"),
            ('"10"', '"10"\n[[price]]\nmodel = "big-1"', "KeyError('effective_from')"),
        ],
    )
    def test_a_malformed_one_is_named_with_what_is_wrong(
        self, tmp_path: Path, old: str, new: str, says: str
    ) -> None:
        path = tmp_path / "prices.toml"
        path.write_text(FILE.replace(old, new, 1))
        with pytest.raises(PriceError) as caught:
            load_seed(path)
        text = str(caught.value)
        assert text.startswith(f"{path}: ")
        assert says in text
        assert "\n" not in text

    def test_a_missing_one_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(PriceError, match=r"nowhere\.toml: not a price file"):
            load_seed(tmp_path / "nowhere.toml")

    def test_one_that_is_no_text_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "prices.toml"
        path.write_bytes(b"\xff\xfe")
        with pytest.raises(PriceError, match=r"prices\.toml: not a price file"):
            load_seed(path)


class TestShippedPrices:
    PRICES = book(load_seed())

    @pytest.mark.parametrize("model", ["gpt-5.9", "gpt-5-turbo", "gpt-7", "gpt-4o-audio", "o9", "unknown"])
    def test_a_model_that_nobody_priced_stays_unpriced(self, model: str) -> None:
        assert self.PRICES.find(model, NOW) is None

    def test_no_pattern_is_among_them(self) -> None:
        assert [p.model for p in self.PRICES.prices if "*" in p.model] == []

    def test_no_model_has_two_prices_from_one_day(self) -> None:
        keys = [(p.model, p.effective_from) for p in self.PRICES.prices]
        assert len(keys) == len(set(keys))

    def test_the_price_of_august_changed_on_the_22nd(self) -> None:
        before = self.PRICES.find("gpt-5.6-sol", CHANGE - timedelta(seconds=1))
        after = self.PRICES.find("gpt-5.6-sol", CHANGE)
        assert before is not None
        assert after is not None
        assert [before.input, before.cached_input, before.output] == [5, Decimal("0.5"), 30]
        assert [after.input, after.cached_input, after.output] == [4, Decimal("0.4"), 20]

    def test_cached_input_never_costs_more_than_input(self) -> None:
        assert [p.model for p in self.PRICES.prices if p.cached_input and p.cached_input > p.input] == []
