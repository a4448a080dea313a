"""Whether a ledger can be read by this version, and in one line why not."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sqlalchemy import URL, Connection, text

from ledger.errors import StoreError, StoreUnavailable
from ledger.store import MIGRATIONS, name_of


def is_there(url: URL) -> bool:
    """Whether there is a ledger at all; of a server only a question can say."""
    return url.get_backend_name() != "sqlite" or bool(url.query) or Path(url.database or "").exists()


def missing(url: URL) -> StoreUnavailable:
    return StoreUnavailable(f"no ledger at {name_of(url)} yet; the proxy creates it when it starts")


def check(connection: Connection, url: URL) -> None:
    """Raises: StoreUnavailable for a ledger that a proxy has yet to make or to bring up to date; StoreError
    for one of a newer version."""
    name, newest = f"the ledger {name_of(url)}", max(revisions())
    found = revision(connection)
    if found is None:
        raise StoreUnavailable(f"{name} is empty; the proxy creates its tables when it starts")
    if found not in revisions():
        raise newer(name, found)
    if found != newest:
        raise StoreUnavailable(
            f"{name} has an older schema ({found}, current: {newest}); start the proxy or run "
            "python -m ledger migrate to upgrade it"
        )
    if exists(connection, "request_logs_before"):
        raise StoreUnavailable(f"{name} is being migrated; try again when that is done")


def newer(name: str, schema: str) -> StoreError:
    """What is said of a ledger that a newer version has written."""
    return StoreError(
        f"{name} has a newer schema ({schema}, supported: {max(revisions())}); upgrade Quotascope"
    )


def revision(connection: Connection) -> str | None:
    """The version of the schema; None in an empty database."""
    if not exists(connection, "alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def exists(connection: Connection, table: str) -> bool:
    if connection.dialect.name == "sqlite":
        return bool(connection.exec_driver_sql(f'PRAGMA table_info("{table}")').fetchall())
    return connection.execute(text("SELECT to_regclass(:name)"), {"name": table}).scalar() is not None


@cache
def revisions() -> frozenset[str]:
    """Every version of the schema that this code knows, by the names of the migrations."""
    return frozenset(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("0*.py"))
