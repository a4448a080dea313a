"""A provider whose answers use up the quota of the account that asks, from where a history left it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ledger.pricing.files import book, load_seed
from simulator.errors import ScriptError
from simulator.history.fleet import FLEET, account_key, scaled
from simulator.history.history import generate
from simulator.history.plan import Plan
from simulator.history.quota import windows_at_end
from simulator.provider import fleet
from simulator.provider.fleet import FleetPlay, Windows
from simulator.provider.log import masked
from simulator.provider.plausible import Plausible
from simulator.provider.script import Asked

QUIET = Plausible(errors=0, cut=0, missing_usage=0)


@pytest.fixture(scope="module")
def ends() -> Windows:
    """After two days that end now."""
    end = datetime.now(UTC)
    plan = Plan(end - timedelta(days=2), end, 1_430.0)
    history = generate(plan, book(load_seed()))
    return windows_at_end(plan.accounts, history.samples, plan.end)


def asked(number: int, account_id: str) -> Asked:
    return Asked(number, "responses", "gpt-5.5", False, masked(f"Bearer {account_key(account_id)}"))


@pytest.mark.slow
def test_it_goes_on_where_the_history_left_it(ends: Windows, tmp_path: Path) -> None:
    fleet.save(ends, tmp_path / "fleet.json")
    windows = fleet.load(tmp_path / "fleet.json")
    assert windows == ends
    play = FleetPlay(QUIET, windows, book(load_seed()))
    before = windows["acc-anna"][1].spent_usd
    for number in range(40):
        answer = play.answer(asked(number, "acc-anna"))
        assert answer.fault is None
    assert windows["acc-anna"][1].spent_usd > before
    assert windows["acc-ben"][1].spent_usd == ends["acc-ben"][1].spent_usd
    told = answer.limits
    assert told is not None
    assert told.secondary is not None
    window = windows["acc-anna"][1]
    assert told.secondary.used_percent == round(100 * window.spent_usd / window.worth_usd)
    assert told.secondary.reset_at == int(window.resets_at.timestamp()) > datetime.now(UTC).timestamp()


def test_what_is_used_up_is_refused_until_it_resets(ends: Windows, tmp_path: Path) -> None:
    fleet.save(ends, tmp_path / "fleet.json")
    windows = fleet.load(tmp_path / "fleet.json")
    week = windows["acc-eve"][1]
    week.resets_at = datetime.now(UTC) + timedelta(hours=1)
    week.spent_usd = week.worth_usd
    play = FleetPlay(QUIET, windows, book(load_seed()))
    assert play.answer(asked(1, "acc-eve")).fault == fleet.USED_UP
    week.resets_at = datetime.now(UTC) - timedelta(minutes=1)
    assert play.answer(asked(2, "acc-eve")).fault is None
    assert week.resets_at > datetime.now(UTC) + timedelta(days=6)


def test_every_account_has_a_key_of_its_own_and_a_quota_that_fits() -> None:
    keys = {masked(f"Bearer {account_key(account.id)}") for account in FLEET}
    assert len(keys) == len(FLEET)
    assert [a.week_usd for a in scaled(FLEET, 2_860)] == [2 * a.week_usd for a in FLEET]


def test_another_file_is_no_fleet(tmp_path: Path) -> None:
    for text in ("[]", '{"acc-anna": [1]}', "no json"):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(ScriptError, match=r"x\.json holds no fleet"):
            fleet.load(tmp_path / "x.json")


def test_nobody_known_is_answered_all_the_same(ends: Windows) -> None:
    answer = FleetPlay(QUIET, ends, book(load_seed())).answer(Asked(1, "responses", "gpt-5.5", False, None))
    assert (answer.fault, answer.limits) == (None, None)
