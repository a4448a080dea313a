"""`python -m ledger price` and `prices`, as a person uses them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import PriceError
from ledger.pricing import updates
from ledger.pricing.files import CATALOGUE, load_catalogue
from ledger.pricing.prices import Card, Price, PriceBook, Rates
from ledger.pricing.table import price_book, replace_prices
from ledger.requests.writes import record
from ledger.values import Usage
from tests.ledger.conftest import Ask
from tests.support.ledgers import migrated

NOW = datetime(2026, 11, 28, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Callable[[Callable[[Any], object]], None]:
    """Writes to the ledger of the folder."""

    def write(change: Callable[[Any], object]) -> None:
        engine = migrated(tmp_path / "usage.db")
        with engine.begin() as connection:
            change(connection)
        engine.dispose()

    return write


class TestPrice:
    def test_parts_that_are_more_than_the_input_are_refused(self, ask: Ask) -> None:
        words = "--model gpt-5.1 --input 10 --cached 8 --cache-write 3 --output 1"
        done = ask("price", *words.split())
        assert done.code == 2
        assert done.err.startswith("ledger: --input 10: allowed: 11 or more")

    def test_it_shows_the_parts_the_price_and_the_total(self, ask: Ask) -> None:
        words = "--model gpt-5.6-sol --at 2026-11-28 --input 18014 --cache-write 18011 --output 500"
        assert ask("price", *words.split()).out.splitlines() == [
            "KIND         COUNT   RATE  FOR        USD",
            "input        3       4     1,000,000  0.000012",
            "cache_write  18,011  5     1,000,000  0.090055",
            "output       500     20    1,000,000  0.01",
            "total                                 0.100067",
            "",
            "price: openai/gpt-5.6-sol, in force from 2026-08-21",
            "found: exact",
            "tier: none; long context: no",
        ]

    @pytest.mark.parametrize(
        ("words", "usd"),
        [
            ("gpt-5.6-luna --at 2026-07-15 --input 200000 --output 100000", "0.8"),
            ("gpt-5.6-sol --input 100000 --output 1000 --requested-tier fast --tier default --login", "0.84"),
            ("gpt-5.6-sol --input 100000 --output 1000 --requested-tier fast --tier default", "0.42"),
            ("gpt-5.5 --tier priority --input 300000 --output 1000", "3.825"),
            ("gpt-5.4-mini --input 300000 --output 1000", "0.2295"),
            ("openai/gpt-reserve --at 2026-09-15T12:00Z --input 100000 --output 1000", "0.0212"),
            ("gpt-5.6-sol --input 910 --cached 900 --output 20", "0.0008"),
            ("gpt-5.6-sol --input 1000 --output 100 --unit web_search=2", "0.026"),
            # 1000 * 5 + 9000 * 10 + 100 * 25
            ("claude-opus-5 --input 10000 --cache-write-1h 9000 --output 100", "0.0975"),
            ("openai/gpt-oss-120b --provider groq --input 1000000 --output 0", "0.15"),
        ],
    )
    def test_as_an_object(self, ask: Ask, words: str, usd: str) -> None:
        found = json.loads(ask("price", "--json", "--model", *words.split()).out)
        assert found["cost_usd"] == usd
        assert sum(Decimal(part["usd"]) for part in found["parts"]) == Decimal(usd)

    def test_the_object_says_why(self, ask: Ask) -> None:
        words = "--json --model gpt-reserve --at 2026-09-15 --input 300000 --output 1 --tier flex"
        found = json.loads(ask("price", *words.split()).out)
        assert found["found"] == ["alias", "override"]
        assert found["price"]["alias_of"] == "gpt-5.6-luna"
        assert found["price"]["effective_from"] == "2026-07-30"
        assert (found["tier"], found["context_above"]) == ("flex", 272_000)

    @pytest.mark.slow
    def test_what_has_no_price_says_so(self, ask: Ask) -> None:
        words = ("--model", "gpt-5.9", "--input", "1", "--output", "1")
        assert ask("price", *words).out == "gpt-5.9: no price (unknown_pricing)\n"
        found = json.loads(ask("price", *words, "--json").out)
        assert (found["cost_usd"], found["unpriced"], found["price"]) == (None, "unknown_pricing", None)

    @pytest.mark.parametrize(
        ("word", "value"),
        [("--input", "-1"), ("--input", "1.5"), ("--output", "1e3"), ("--at", "yesterday"), ("--unit", "x")],
    )
    def test_a_senseless_argument_is_named(self, ask: Ask, word: str, value: str) -> None:
        done = ask("price", "--model", "m", "--input", "1", "--output", "1", f"{word}={value}")
        assert done.code == 2
        assert f"argument {word}: '{value}': " in done.err

    def test_the_prices_of_the_ledger_hold(self, ask: Ask, ledger: Any) -> None:
        mine = Price("gpt-5.5", NOW - timedelta(days=9), Card(Rates(Decimal(1000), Decimal(0))))
        ledger(lambda connection: replace_prices(connection, [mine]))
        words = ["--json", "--model", "gpt-5.5", "--input", "1000", "--output", "0"]
        assert json.loads(ask("price", *words).out)["cost_usd"] == "1"

    def test_the_prices_of_the_configuration_hold(self, ask: Ask, tmp_path: Path) -> None:
        text = '[pricing.models."gpt-5.5"]\nprompt_per_1m = 1000\ncompletion_per_1m = 0\n'
        (tmp_path / "codex-usage.toml").write_text(text)
        found = json.loads(
            ask("price", *["--json", "--model", "gpt-5.5", "--input", "1000", "--output", "0"]).out
        )
        assert (found["cost_usd"], found["found"]) == ("1", ["config"])


class TestList:
    def test_by_text_and_provider(self, ask: Ask) -> None:
        lines = ask("prices", "list", "gpt-5.6-luna", "--provider", "openai").out.splitlines()
        assert [line.split()[:2] for line in lines[1:]] == [
            ["openai", "codex-auto-review"],
            ["openai", "codex-auto-review"],
            ["openai", "gpt-5.6-luna"],
            ["openai", "gpt-5.6-luna"],
            ["openai", "gpt-reserve"],
            ["openai", "gpt-reserve"],
        ]

    def test_nothing_of_that_name(self, ask: Ask) -> None:
        assert ask("prices", "list", "nobody-knows").out == "no such price\n"


class TestUnpriced:
    @pytest.mark.slow
    def test_what_was_used_without_a_price_with_the_lines_to_paste(
        self, ask: Ask, ledger: Any, make_event: Any, tmp_path: Path
    ) -> None:
        recent = datetime.now(UTC) - timedelta(hours=1)
        events = [
            make_event(requested_at=recent, model="gpt-5.9"),
            make_event(requested_at=recent, model="gpt-5.9"),
            make_event(requested_at=recent, model="gpt-5.5"),
            make_event(requested_at=recent, model='odd "name"', provider="groq"),
            make_event(requested_at=recent, model="gpt-5.8", usage=Usage()),
            make_event(requested_at=recent - timedelta(days=40), model="gpt-5.7"),
        ]
        ledger(lambda connection: record(connection, events))
        lines = ask("prices", "unpriced").out
        table, _, pasted = lines.partition("\n\n")
        assert [line.split("  ")[0] for line in table.splitlines()] == ["MODEL", "gpt-5.9", 'odd "name"']
        models = tomllib.loads(pasted)["pricing"]["models"]
        assert set(models) == {"gpt-5.9", 'odd "name"'}
        assert models['odd "name"']["provider"] == "groq"
        (tmp_path / "codex-usage.toml").write_text(pasted)
        refused = ask("prices", "list")
        assert refused.code == 2
        assert "prompt_per_1m" in refused.err  # a question mark is no price
        (tmp_path / "codex-usage.toml").write_text(pasted.replace('"?"', "1.5"))
        assert ask("prices", "apply").out == "applied; running services follow within seconds\n"
        assert ask("prices", "unpriced").out == "every model of the last 30 days has a price\n"


def changed(*, keep: float = 1.0, times: int = 1) -> tuple[Price, ...]:
    """The catalogue as another version of the library might have it."""
    found = load_catalogue()
    kept = found[: int(len(found) * keep)]
    return tuple(
        replace(price, card=Card(replace(price.rates, input=price.rates.input * times), price.card.above))
        for price in kept
    )


class TestUpdate:
    @pytest.fixture
    def library(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Sequence[Price]], Path]:
        """Lets the library say something else, and the catalogue be a copy of ours."""

        def library(prices: Sequence[Price]) -> Path:
            copy = tmp_path / "catalogue.json"
            copy.write_bytes(CATALOGUE.read_bytes())
            monkeypatch.setattr(updates, "library_prices", lambda: tuple(prices))
            return copy

        return library

    def test_the_installed_library_changes_nothing(self, ask: Ask) -> None:
        assert ask("prices", "diff").out.startswith("no change: the prices are those of genai-prices ")

    @pytest.mark.slow
    def test_a_new_price_is_taken_and_named(self, library: Any) -> None:
        before = load_catalogue()
        place = next(i for i, p in enumerate(before) if (p.provider, p.model) == ("openai", "gpt-5.5"))
        dearer = replace(before[place], card=Card(replace(before[place].rates, output=Decimal(31))))
        copy = library([*before[:place], dearer, *before[place + 1 :]])
        found = updates.take(copy, today=NOW.date())
        assert "openai/gpt-5.5: output 30 -> 31" in map(str, found)
        price = PriceBook(load_catalogue(copy)).find("gpt-5.5", NOW)
        assert price is not None
        assert price.rates.output == 31
        assert '"as_of": "2026-11-28"' in copy.read_text().splitlines()[0]

    def test_new_and_gone_models_and_names_are_named(self) -> None:
        before = load_catalogue()
        new = replace(before[0], model="brand-new", effective_from=NOW)
        other = replace(before[1], names=("an-alias",))
        lines = [str(change) for change in updates.changes(before[:3], [new, other, before[2]])]
        assert lines == [
            "anthropic/brand-new from 2026-11-28: price - -> 8 in, 24 out",
            "anthropic/claude-2: price 8 in, 24 out -> -",
            "anthropic/claude-3-5-haiku-latest: names claude-3-5-haiku* claude-3.5-haiku* -> an-alias",
        ]

    @pytest.mark.parametrize(
        ("data", "says"),
        [
            ((), r"knows 0 of \d+ models; at least 90% of them"),
            (changed(keep=0.8), r"at least 90% of them have to be there; the prices of before stay"),
            (changed(times=1_000), "as if the unit had changed; the prices of before stay in force"),
        ],
        ids=["empty", "too few", "another unit"],
    )
    def test_a_bad_or_empty_update_keeps_the_last_good_prices(
        self, library: Any, data: Sequence[Price], says: str
    ) -> None:
        copy = library(data)
        with pytest.raises(PriceError, match=says):
            updates.take(copy, today=NOW.date())
        assert copy.read_bytes() == CATALOGUE.read_bytes()
        assert list(copy.parent.glob("*.new")) == []

    def test_without_the_library_it_says_how_to_get_it(
        self, ask: Ask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from importlib import metadata

        def missing(name: str) -> str:
            raise metadata.PackageNotFoundError(name)

        monkeypatch.setattr(metadata, "version", missing)
        done = ask("prices", "diff")
        assert done.code == 2
        assert done.err == "ledger: genai-prices is not installed; run ./dev -s prices, which brings it\n"


def test_the_services_never_import_the_library() -> None:
    import subprocess
    import sys

    services = "proxy.__main__, exporter.__main__, ledger.__main__, ledger.pricing.library"
    code = f"import sys, {services}; print(any('genai' in name for name in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


@pytest.mark.slow
def test_apply_hands_prices_to_the_ledger_once(ask: Ask, ledger: Any) -> None:
    assert ask("prices", "apply").out == "no ledger yet; the proxy applies these prices when it starts\n"
    ledger(lambda connection: None)
    assert ask("prices", "apply").out == "applied; running services follow within seconds\n"
    assert ask("prices", "apply").out == "already applied\n"
    ledger(lambda connection: len(price_book(connection).prices) > 2_000 or pytest.fail("few prices"))
