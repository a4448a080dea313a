"""What pages, exports and checks say is what the ledger has."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from console.web.pages.documents import DASHBOARDS
from dashboards.build import dashboards
from ledger.accounts import candidates, changes
from ledger.accounts.configured import Description
from ledger.pricing.files import current_book
from ledger.requests import queries
from ledger.requests.filter import RequestFilter
from ledger.values import Usage
from prometheus.alerts import alerts
from prometheus.config import RuleConfig
from tests.console.conftest import NOW, ROOT, Books, Console

Serve = Callable[..., Console]

CANARIES = (
    "sk-proj-Canary0123456789abcdefABCDEF",
    "sk-ant-api03-Canary0123456789abcdef",
    "sess-Canary0123456789abcdefghij",
    "ghp_Canary0123456789abcdefghijABCDEF",
    "github_pat_11CANARY0123456789abcdefg",
    "AIzaSyCanary0123456789abcdefghijklm",
    "hf_CanaryABCDEFghijklmnopqrstuvwxyz",
    "rk_live_Canary0123456789abcdef",
    "pk_live_Canary0123456789abcdef",
    "xai-Canary0123456789abcdefghij",
    "gsk_Canary0123456789abcdefghij",
    "glpat-Canary0123456789abcd",
    "xoxb-Canary-0123456789-abcdef",
    "AKIACANARY0123456789",
    "ya29.Canary0123456789abcdef",
    "eyJhbGciOiJIUzI1NiJ9.eyJDYW5hcnkiOjF9.c2lnbmF0dXJl",
    "Authorization: Bearer Canary0123456789abcdef",
    "Cookie: session=Canary0123456789abcdef",
    '{"access_token": "Canary0123456789abcdef"}',
    "canary.person@example.com",
)


def test_secrets_in_failures_appear_nowhere(books: Books, serve: Serve) -> None:
    for canary in CANARIES:
        books.fail(error_message=f"Incorrect key provided: {canary} is wrong")
    console = serve()
    for path in ("/", "/requests/1", "/accounts/anna", "/export.jsonl", "/export.csv", "/keys"):
        text = console.get(path).text.lower().replace("atlantic/canary", "")
        assert "canary" not in text, path
    for number in range(1, len(CANARIES) + 1):
        assert "canary" not in console.get(f"/requests/{number}").text.lower()


def test_an_export_holds_exactly_the_rows_of_the_query(books: Books, serve: Serve) -> None:
    books.add(2_500, timedelta(minutes=5), model="gpt-5.4")
    books.add(30, timedelta(minutes=5), model="nobody-knows-me")
    books.fail(7, account_id="ben")
    console = serve()
    rows = [json.loads(line) for line in console.get("/export.jsonl?from=now-2h&to=now").text.splitlines()]
    assert len(rows) == len({row["request_id"] for row in rows}) == 2_537
    assert sum(row["cost_usd"] is None for row in rows) == 37
    cost = (600 * Decimal("2.5") + 400 * Decimal("0.25") + 200 * 15) / 1_000_000
    one = next(row for row in rows if row["model"] == "gpt-5.4" and row["status"] == "success")
    assert Decimal(str(one["cost_usd"])) == cost
    wanted = {"requested_at", "model", "account_id", "api_key_id", "status", "http_status", "input_tokens"}
    wanted |= {"cached_input_tokens", "output_tokens", "cost_usd", "request_id"}
    assert wanted <= set(one)
    failed = console.get("/export.csv?from=now-2h&to=now&status=error&account_id=ben").text
    assert [row["account_id"] for row in csv.DictReader(io.StringIO(failed))] == ["ben"] * 7


def test_a_cell_is_no_formula(books: Books, serve: Serve) -> None:
    books.add(1, model="=HYPERLINK(1)", user_agent="+1+1")
    (row,) = csv.DictReader(io.StringIO(serve().get("/export.csv?from=now-1h&to=now").text))
    assert (row["model"], row["user_agent"]) == ("'=HYPERLINK(1)", "'+1+1")


def test_page_and_ledger_have_the_same_numbers_in_two_zones_across_a_clock_change(
    books: Books, serve: Serve
) -> None:
    """On 2026-10-25 Berlin's day has 25 hours, in Kolkata it begins at half past."""
    start = datetime(2026, 10, 24, tzinfo=UTC)
    for hour in range(72):
        books.add(1 + hour % 5, requested_at=start + timedelta(hours=hour, minutes=40))
    console = serve()
    book = current_book({})
    for zone, since, hours in (
        ("Europe/Berlin", datetime(2026, 10, 24, 22, tzinfo=UTC), 25),
        ("Asia/Kolkata", datetime(2026, 10, 24, 18, 30, tzinfo=UTC), 24),
    ):
        asked = f"from=2026-10-25T00:00&to=2026-10-26T00:00&zone={zone}"
        where = RequestFilter(since, since + timedelta(hours=hours))
        with books.engine.connect() as connection:
            sums = queries.totals(connection, where, book)
        page = console.get(f"/?{asked}").text
        shown = re.search(r"<h2>Requests</h2>\s*<p class=\"value\">([\d,]+)</p>", page)
        cost = re.search(r"<h2>Cost, list price</h2>\s*<p class=\"value\">\$([\d.,]+)</p>", page)
        assert shown and int(shown[1].replace(",", "")) == sums.requests > 0
        assert cost and Decimal(cost[1]) == round(sums.usd, 4 if sums.usd < 1 else 2)
        exported = console.get(f"/export.jsonl?{asked}").text.splitlines()
        assert len(exported) == sums.requests


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("modle=x", "is no condition"),
        ("from=yesterday", "allowed: now"),
        ("from=now&to=now-1h", "is not before"),
        ("zone=../../etc/passwd", "allowed: a name like"),
        ("status=bad", "allowed: success, error, cancelled"),
        ("http_status=4x9", "a number like 429"),
        ("min_latency_ms=-1", "milliseconds"),
        ("streamed=maybe", "allowed: true, false"),
    ],
)
def test_what_cannot_be_asked_is_said(books: Books, serve: Serve, query: str, says: str) -> None:
    answer = serve().get(f"/?{query}")
    assert answer.status == 400
    assert says in answer.text


def test_every_check_has_a_finding_and_a_fix(books: Books, serve: Serve) -> None:
    console = serve()
    found = json.loads(console.get("/health/checks").text)
    by_name = {check["name"]: check for check in found["checks"]}
    assert found["ok"] is False
    assert by_name["ledger_written"]["result"] == "warning"
    assert by_name["traffic_reaches_proxy"]["result"] == "failed"
    assert all(check["fix"] for check in found["checks"] if check["result"] in ("failed", "warning"))
    books.add(1, timedelta(days=2))
    found = json.loads(console.get("/health/checks").text)
    by_name = {check["name"]: check for check in found["checks"]}
    assert by_name["range_and_filters"]["fix"] == "Choose a longer time."
    books.add(1)
    found = json.loads(console.get("/health/checks?model=none-such").text)
    by_name = {check["name"]: check for check in found["checks"]}
    assert by_name["range_and_filters"]["fix"].startswith("Take conditions away")


def test_the_action_queue_proposes_and_a_person_decides(books: Books, serve: Serve) -> None:
    with books.engine.begin() as connection:
        changes.add(connection, Description("ben", "env:BEN_KEY"), NOW - timedelta(days=1))
    books.fail(4, account_id="ben", http_status=401, error_code="invalid_api_key", error_class="auth")
    console = serve()
    page = console.get("/accounts").text
    assert "Action queue" in page and "invalid_api_key" in page and "look at it" in page
    with books.engine.connect() as connection:
        assert [c.hits for c in candidates.candidates(connection, datetime.now(UTC))] == [4]
    assert console.post("/accounts/ben/queue", kind="review", decision="resolved").status == 303
    assert "Action queue" not in console.get("/accounts").text
    books.fail(1, timedelta(seconds=-1), account_id="ben", http_status=401, error_class="auth")
    assert "Action queue" in console.get("/accounts").text
    console.post("/accounts/ben/queue", kind="review", decision="ignored")
    books.fail(9, timedelta(seconds=-2), account_id="ben", http_status=401, error_class="auth")
    assert "Action queue" not in console.get("/accounts").text


def test_a_model_without_a_price_comes_with_the_lines_to_paste(books: Books, serve: Serve) -> None:
    books.add(2, model="in-house-7b", provider="vllm")
    page = serve().get("/prices").text
    assert "[pricing.models.&#34;in-house-7b&#34;]" in page


def test_a_request_says_what_it_costs_line_by_line(books: Books, serve: Serve) -> None:
    books.add(1)
    page = serve().get("/requests/1").text
    for line in ("$0.0015", "$0.0001", "$0.003", "$0.0046"):
        assert f">{line}<" in page, line


def test_counts_that_are_missing_are_not_zero(books: Books, serve: Serve) -> None:
    books.add(1, usage=Usage())
    page = serve().get("/requests/1").text
    assert "The provider did not say." in page and "missing usage" in page


def test_every_alert_leads_to_its_runbook_here(books: Books, serve: Serve) -> None:
    console = serve()
    for alert in alerts(RuleConfig()):
        answer = console.get(f"/runbooks/{alert.page}")
        assert answer.status == 200 and alert.name in answer.text
    assert console.get("/runbooks/cleanup-series").status == 200
    for name in ("..%2F..%2Fpyproject", "README", "none"):
        assert console.get(f"/runbooks/{name}").status == 404


def test_every_dashboard_is_listed() -> None:
    built = {(one["uid"], one["title"]) for one in dashboards(RuleConfig()).values()}
    assert {(d.uid, d.title) for d in DASHBOARDS} == {(u, t.removeprefix("Quotascope / ")) for u, t in built}


def test_every_link_of_every_page_leads_somewhere(books: Books, serve: Serve) -> None:
    books.add(3)
    books.fail(4, account_id="a/b c")
    with books.engine.begin() as connection:
        changes.add(connection, Description("ben", "env:BEN_KEY"), NOW)
    console = serve()
    seen: set[str] = set()
    waiting = ["/", "/accounts", "/keys", "/prices", "/health", "/dashboards", "/runbooks", "/usage"]
    while waiting and len(seen) < 150:
        path = waiting.pop(0)
        if path in seen:
            continue
        seen.add(path)
        answer = console.get(path)
        assert answer.status == 200, path
        if len(seen) < 12 and answer.headers["content-type"].startswith("text/html"):
            found = re.findall(r'(?:href|src|hx-get|data-live)="(/[^"]*)"', answer.text)
            links = [link.replace("&amp;", "&") for link in found]
            waiting += [link for link in links if not link.startswith(("/live", "/part/values"))]


def test_nothing_on_the_page_is_loaded_from_elsewhere() -> None:
    for path in (ROOT / "console/web/templates").glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r'(?:src|href)="https?:', text), path
        assert not re.search(r"\son[a-z]+=|<script>|style=", text), path


def test_the_vendored_library_is_the_published_one() -> None:
    import hashlib

    folder = Path(ROOT / "console/web/static")
    digest = hashlib.sha256((folder / "htmx.min.js").read_bytes()).hexdigest()
    assert digest == "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"
    assert (folder / "htmx.LICENSE").read_text(encoding="utf-8").startswith("Zero-Clause BSD")


def test_the_cost_step_leads_to_grafana_s_cost() -> None:
    from console.web.overview import COST_PANEL

    overview = next(one for one in dashboards(RuleConfig()).values() if one["uid"] == "quotascope-overview")
    titles = {panel.get("id"): panel.get("title", "") for panel in overview["panels"]}
    assert titles[COST_PANEL].startswith("Cost/day")
