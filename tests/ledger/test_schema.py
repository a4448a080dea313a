from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, select, text
from sqlalchemy.engine import URL

from ledger.errors import StoreError
from ledger.requests.queries import list_accounts
from ledger.requests.writes import ensure_account
from ledger.schema import accounts, daily_stats, metadata, request_logs
from ledger.store import MIGRATIONS, migrate, writer

SHARED_WITH_CODEX_LB = {
    "accounts": {"id", "email", "plan_type", "status", "reset_at", "blocked_at", "delete_requested_at"},
    "usage_history": {
        "id",
        "account_id",
        "recorded_at",
        "window",
        "used_percent",
        "reset_at",
        "window_minutes",
        "credits_has",
        "credits_unlimited",
        "credits_balance",
    },
    "request_logs": {
        "id",
        "account_id",
        "api_key_id",
        "request_id",
        "requested_at",
        "model",
        "input_tokens",
        "output_tokens",
        "cached_input_tokens",
        "reasoning_tokens",
        "reasoning_effort",
        "service_tier",
        "latency_ms",
        "latency_first_token_ms",
        "status",
        "error_code",
        "error_message",
        "session_id",
        "request_kind",
        "deleted_at",
    },
}


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def revisions() -> list[str]:
    """From the first to the newest."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]


def upgrade(engine: Engine, revision: str) -> None:
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def differences(engine: Engine) -> list[object]:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))


class TestMigrations:
    def test_a_fresh_ledger_is_what_the_schema_declares(self, ledger: Engine) -> None:
        assert differences(ledger) == []
        assert sorted(inspect(ledger).get_view_names()) == ["event_log", "request_logs"]

    def test_the_comparison_would_notice(self, ledger: Engine) -> None:
        with ledger.begin() as connection:
            connection.execute(text("DROP INDEX idx_rows_at"))
        assert "add_index" in str(differences(ledger))

    @pytest.mark.parametrize("revision", revisions())
    @pytest.mark.slow
    def test_a_ledger_of_every_earlier_version_comes_along_with_its_rows(
        self, url: URL, revision: str
    ) -> None:
        engine = writer(url)
        upgrade(engine, revision)
        with engine.begin() as connection:
            if revision < "0010":  # what these versions made, the migrations of today leave to the tenth
                connection.execute(text("CREATE VIEW event_log AS SELECT requested_at FROM request_logs"))
            connection.execute(
                text(
                    "INSERT INTO accounts (id, email, plan_type, status, created_at)"
                    " VALUES ('one', 'a@example.com', 'plus', 'active', '2026-01-02 03:04:05')"
                )
            )
        migrate(engine)
        assert differences(engine) == []
        assert sorted(inspect(engine).get_view_names()) == ["event_log", "request_logs"]
        assert len(inspect(engine).get_columns("event_log")) == 12
        with engine.connect() as connection:
            assert [a.id for a in list_accounts(connection)] == ["one"]
        engine.dispose()

    def test_what_failed_before_a_new_credential_stays_forgotten(self, url: URL) -> None:
        engine = writer(url)
        upgrade(engine, "0002")
        insert = (
            "INSERT INTO accounts (id, email, plan_type, status, created_at, credential_renewed_at) VALUES "
        )
        with engine.begin() as connection:
            connection.execute(text(insert + "('one', '', 'plus', 'active', '2026-01-02', '2026-03-04')"))
            connection.execute(text(insert + "('two', '', 'plus', 'active', '2026-01-02', NULL)"))
        migrate(engine)
        with engine.connect() as connection:
            rows = connection.execute(select(accounts.c.resumed_at).order_by(accounts.c.id)).scalars().all()
        assert rows == [datetime(2026, 3, 4, tzinfo=UTC), None]
        engine.dispose()

    def test_requests_and_days_of_before_the_new_columns_stay_what_they_were(self, url: URL) -> None:
        engine = writer(url)
        upgrade(engine, "0003")
        sums = "requests, errors, cancelled, successes, metered, unmetered_successes, input_tokens,"
        sums += " cached_input_tokens, output_tokens, reasoning_tokens"
        with engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO request_logs (event_id, request_id, requested_at, model, status,"
                    " request_kind, input_tokens, output_tokens, service_tier) VALUES ('e1', 'r1',"
                    " '2026-01-02 03:04:05.000006', 'gpt-5.5', 'success', 'normal', 10, 2, 'flex')"
                )
            )
            connection.execute(
                text(
                    f"INSERT INTO daily_stats (day, model, service_tier, long_context, {sums}) VALUES"
                    " ('2026-01-02', 'gpt-5.5', 'flex', false, 1, 0, 0, 1, 1, 0, 10, 0, 2, 0)"
                )
            )
        migrate(engine)
        with engine.connect() as connection:
            row = connection.execute(select(request_logs)).one()
            day = connection.execute(select(daily_stats)).one()
        assert (row.event_id, row.input_tokens, row.service_tier, row.login) == ("e1", 10, "flex", None)
        assert (row.source, row.cache_write_tokens, row.extra_units) == (None, None, None)
        assert row.requested_at == datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
        assert (day.requests, day.cache_write_tokens, day.cache_write_1h_tokens) == (1, 0, 0)
        engine.dispose()

    def test_migrating_again_changes_nothing(self, ledger: Engine) -> None:
        with ledger.begin() as connection:
            ensure_account(connection, id="one", created_at=datetime(2026, 1, 2, tzinfo=UTC))
        migrate(ledger)
        with ledger.connect() as connection:
            assert [a.id for a in list_accounts(connection)] == ["one"]

    def test_a_ledger_of_a_newer_version_is_refused_in_one_line(self, ledger: Engine) -> None:
        with ledger.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(StoreError) as caught:
            migrate(ledger)
        message = str(caught.value)
        assert str(ledger.url.database) in message
        assert "has a newer schema" in message
        assert "9999" in message
        assert "\n" not in message


class TestTables:
    @pytest.mark.parametrize("table", sorted(SHARED_WITH_CODEX_LB))
    def test_columns_that_other_readers_know_keep_their_names(self, ledger: Engine, table: str) -> None:
        columns = {column["name"] for column in inspect(ledger).get_columns(table)}
        assert columns >= SHARED_WITH_CODEX_LB[table]

    def test_times_are_naive_utc_in_the_store_and_aware_utc_in_python(self, ledger: Engine) -> None:
        paris = datetime(2026, 7, 1, 1, 30, 0, 250, tzinfo=timezone(timedelta(hours=2)))
        with ledger.begin() as connection:
            ensure_account(connection, id="one", created_at=paris)
            stored = connection.execute(text("SELECT CAST(created_at AS TEXT) FROM accounts")).scalar()
            read = connection.execute(select(accounts.c.created_at)).scalar()
        assert str(stored).rstrip("0") == "2026-06-30 23:30:00.00025"  # PostgreSQL leaves zeros out
        assert read == paris
        assert read is not None
        assert read.tzinfo is UTC

    def test_times_without_fractions_are_read_too(self, ledger: Engine) -> None:
        insert = "INSERT INTO accounts (id, email, plan_type, status, created_at) VALUES ('one', '', '', '', "
        with ledger.begin() as connection:
            connection.execute(text(insert + "'2026-06-30 23:30:00')"))
            read = connection.execute(select(accounts.c.created_at)).scalar()
        assert read == datetime(2026, 6, 30, 23, 30, tzinfo=UTC)
