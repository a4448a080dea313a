from __future__ import annotations

import logging
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from itertools import count
from pathlib import Path

import pytest

from exporter.audit import MAX_SECONDS, Audit
from exporter.scrape import Scraper
from exporter.source import Source
from exporter.stores import source
from ledger.errors import StoreError
from ledger.reader.recent_requests import PAGE_ROWS
from ledger.requests.writes import record
from ledger.values import RequestEvent
from settings.model import Settings

GoOn = Callable[[bool], bool]


class Steps(Source):
    """A source in which every step of an audit takes so many seconds of a clock that is set by hand."""

    def __init__(self, seconds: float, in_doubt: int = 0) -> None:
        self.seconds, self.in_doubt, self.now = seconds, in_doubt, 1_000.0
        self.requests = self.meters = 0
        self.error: Exception | None = None

    def clock(self) -> float:
        return self.now

    def audit_requests(self, go_on: GoOn) -> None:
        if self.error:
            raise self.error
        for left in count(self.in_doubt, -1):
            self.requests += 1
            self.now += self.seconds
            if not go_on(left > 0):
                return

    def audit_meters(self, now: datetime, go_on: GoOn) -> None:
        for _ in count():
            self.meters += 1
            self.now += self.seconds
            if not go_on(False):
                return


def never() -> bool:
    return False


def test_an_audit_takes_a_hundredth_of_the_time_for_each() -> None:
    source = Steps(seconds=0.001)
    audit = Audit(source, source.clock)
    source.now += 5
    audit(never)
    assert source.requests == pytest.approx(50, abs=1)
    assert source.meters == pytest.approx(50, abs=1)


def test_and_never_more_than_its_most() -> None:
    source = Steps(seconds=0.001)
    audit = Audit(source, source.clock)
    source.now += 3_600
    audit(never)
    assert source.requests == pytest.approx(MAX_SECONDS / 0.001, abs=1)


def test_scrapes_in_a_row_leave_one_step_each_so_that_it_still_comes_round() -> None:
    source = Steps(seconds=0.001)
    audit = Audit(source, source.clock)
    for _ in range(10):
        audit(never)
    assert source.requests == source.meters == 10


def test_where_requests_were_lost_it_goes_on_until_it_is_known_which() -> None:
    source = Steps(seconds=0.01, in_doubt=500)
    Audit(source, source.clock)(never)
    assert source.requests == 501


def test_a_scrape_that_waits_ends_it() -> None:
    source = Steps(seconds=0.01, in_doubt=500)
    Audit(source, source.clock)(lambda: source.requests >= 3)
    assert (source.requests, source.meters) == (3, 0)


@pytest.mark.parametrize(
    ("error", "told"), [(StoreError("it is locked"), []), (KeyError("a"), ["audit failed: KeyError: 'a'"])]
)
def test_it_never_raises_and_leaves_the_store_s_troubles_to_the_next_scrape(
    error: Exception, told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    source = Steps(seconds=0.01)
    source.error = error
    with caplog.at_level(logging.WARNING):
        Audit(source, source.clock)(never)
    assert caplog.messages == told


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def test_a_request_deleted_deep_in_the_week_is_noticed_by_the_running_exporter(
    tmp_path: Path,
    usage_db: Path,
    write: Callable[..., None],
    make_event: Callable[..., RequestEvent],
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    """Scrapes alone would never look there: they read the newest two pages."""
    write(usage_db, lambda c: record(c, [make_event(account_id="deep") for _ in range(4 * PAGE_ROWS)]))
    process = start(f'[exporter]\nlisten_addr = "127.0.0.1:0"\n[storage]\ndatabase_path = "{usage_db}"')
    assert process.stdout is not None
    url = process.stdout.readline().split()[-1]
    each = 0.00405 / 2
    line = 'codex_lb_proxy_account_cost_usd_7d{account_id="deep"} '
    spent = float(get(url).partition(line)[2].split()[0])
    assert spent == pytest.approx(4 * PAGE_ROWS * each, rel=1e-12)

    delete = f"DELETE FROM request_rows WHERE id = {PAGE_ROWS // 2}"
    write(usage_db, lambda c: c.exec_driver_sql(delete))
    deadline = time.monotonic() + 20
    while spent > (4 * PAGE_ROWS - 0.5) * each and time.monotonic() < deadline:
        time.sleep(0.05)
        spent = float(get(url).partition(line)[2].split()[0])
    assert spent == pytest.approx((4 * PAGE_ROWS - 1) * each, rel=1e-12)


def test_requests_that_cannot_be_looked_at_do_not_keep_the_meters_from_it() -> None:
    steps = Steps(seconds=0.01)
    steps.error = StoreError("no such table")
    Audit(steps, steps.clock)(never)
    assert steps.meters == 1


@pytest.mark.slow
def test_damage_deep_in_a_store_that_has_been_read_is_reported_until_it_is_mended(
    usage_db: Path, write: Callable[..., None], make_event: Callable[..., RequestEvent]
) -> None:
    """A new exporter would say so at once, and one that runs is to say the same."""
    events = [make_event(request_id=f"mark-{n}-") for n in range(4 * PAGE_ROWS)]
    write(usage_db, lambda c: record(c, events))
    with closing(source(Settings.model_validate({"storage": {"database_path": usage_db}}))) as store:
        take, audit = Scraper(store, "email"), Audit(store)
        assert take().failed == ()
        kept = usage_db.read_bytes()
        damage(usage_db, f"mark-{PAGE_ROWS}-".encode())
        assert take().failed == ()  # it reads the newest
        audit(never)
        for _ in range(2):
            assert set(take().failed) == {"spend"}
            audit(never)
        usage_db.write_bytes(kept)
        for _ in range(2):
            assert take().failed == ()
            audit(never)


def damage(path: Path, mark: bytes) -> None:
    """Overwrite the head of the page on which a text stands."""
    content = bytearray(path.read_bytes())
    start = content.index(mark) // 4_096 * 4_096
    content[start : start + 8] = b"\xee" * 8
    path.write_bytes(content)
