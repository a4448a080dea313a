from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from exporter.stores import capacity_table, foreign_urls, quota_rules, source
from ledger.errors import StoreError
from ledger.quota.capacity import CAPACITIES, Capacity
from ledger.quota.estimate import QuotaRules
from settings.model import Quota, Settings


def test_a_path() -> None:
    history, accounts = foreign_urls("codex-lb:/var/lib/codex-lb/store.db")
    assert history.render_as_string() == "sqlite:////var/lib/codex-lb/store.db"
    assert accounts is None


def test_a_home_folder_is_found() -> None:
    assert foreign_urls("codex-lb:~/store.db")[0].database == str(Path.home() / "store.db")


def test_two_files() -> None:
    history, accounts = foreign_urls("codex-lb:a/store.db,accounts=a/accounts.db")
    assert (history.database, accounts and accounts.database) == ("a/store.db", "a/accounts.db")


def test_a_server() -> None:
    history, _ = foreign_urls("codex-lb:postgresql://reader:secret@host/codex")
    assert history.drivername == "postgresql+psycopg"
    assert (history.host, history.database) == ("host", "codex")


@pytest.mark.parametrize(
    "store",
    [
        "",
        "/var/lib/store.db",
        "codex-lb:",
        "codex-lb:a.db,accounts=",
        "codex-lb:mysql://me:secret@host/x",
        "x:y",
    ],
)
def test_anything_else_is_refused_in_one_line_without_a_secret(store: str) -> None:
    with pytest.raises(StoreError) as caught:
        foreign_urls(store)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_error_names_what_was_given_and_not_the_key_of_the_ledger() -> None:
    with pytest.raises(StoreError, match=r"^store: scheme 'mysql' is not supported") as caught:
        foreign_urls("codex-lb:mysql://host/x")
    assert "database_url" not in str(caught.value)


def test_an_empty_name_is_refused_and_does_not_mean_the_ledger() -> None:
    with pytest.raises(StoreError, match="does not begin with codex-lb:"):
        source(Settings(), "")


def test_the_defaults_of_the_configuration_are_those_of_the_rules() -> None:
    assert quota_rules(Quota()) == QuotaRules()


def test_every_threshold_is_configured_in_its_unit() -> None:
    quota = Quota(
        start_grace_minutes=1.5,
        start_percent=2,
        jump_percent=3,
        jump_gap_minutes=4,
        method="clean_steps",
    )
    rules = quota_rules(quota)
    assert rules == QuotaRules(90_000_000, 2, 3, 240_000_000, "clean_steps")
    assert all(getattr(rules, f.name) != f.default for f in fields(QuotaRules))


def test_a_configured_capacity_takes_the_place_of_the_known_one() -> None:
    given = {"PLUS": {"primary_credits": 1.0, "secondary_credits": 2.0}}
    table = capacity_table(Quota.model_validate({"capacity": given}))
    assert table == {**CAPACITIES, "plus": Capacity(1, 2)}
