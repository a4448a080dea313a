"""What pages, exports and checks say is what the ledger has."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import pytest
from sqlalchemy import URL, update

from console.web.keys import key_list
from console.web.pages.documents import DASHBOARDS
from dashboards.build import dashboards
from ledger.accounts import candidates, changes
from ledger.accounts.configured import Description
from ledger.accounts.pool import read_fleet
from ledger.pricing.files import current_book
from ledger.schema import request_rows
from ledger.store import migrate, writer
from ledger.values import Usage
from prometheus.alerts import alerts
from prometheus.config import RuleConfig
from settings.model import ProxyKey
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
    with books.engine.begin() as connection:
        changes.add(connection, Description("anna", "env:ANNA_KEY"), NOW - timedelta(days=1))
    for number, canary in enumerate(CANARIES):
        books.fail(error_message=f"Incorrect key provided: {canary} is wrong", session_id=f"s{number}")
        books.fail(
            error_message=canary * 40, error_class="auth", error_code="invalid_api_key", http_status=401
        )
        books.fail(error_message=json.dumps({"error": {"message": f"no {canary}", "header": canary}}))
    with books.engine.begin() as connection:  # as another program, or an earlier version, would have left it
        for number, canary in enumerate(CANARIES, start=1):
            where = request_rows.c.id == number * 3
            connection.execute(update(request_rows).where(where).values(error_message=f"x {canary} y"))
    console = serve()
    paths = [
        "/",
        "/?text=canary",
        "/conversations",
        "/accounts",
        "/accounts/anna",
        "/keys",
        "/prices",
        "/usage",
    ]
    paths += ["/requests?before=9999999999999999-9", "/part/summary", "/part/values?of=error_code"]
    paths += ["/health", "/health/checks", "/export.jsonl", "/export.csv", "/export.jsonl?text=canary"]
    paths += [f"/requests/{number}" for number in range(1, 3 * len(CANARIES) + 1)]
    for path in paths:
        answer = console.get(path)
        assert answer.status == 200, path
        clean = answer.text.lower().replace("atlantic/canary", "").replace("text=canary", "")
        assert "canary" not in clean.replace('value="canary"', "").replace("<bdi>canary</bdi>", "").replace(
            "remove search canary", ""
        ), (path, clean[max(0, clean.find("canary") - 80) :][:200])
    assert "Incorrect key" in console.get("/requests/1").text


HOSTILE = "\x1b[31mred\x9b2J\x07\u202egnp.exe\u2066<script>alert(1)</script>'\"&"


def test_exports_of_hostile_texts_are_harmless_in_a_terminal(books: Books, serve: Serve) -> None:
    books.fail(
        model=HOSTILE,
        api_key_id=HOSTILE,
        user_agent=HOSTILE,
        error_code=HOSTILE,
        error_message=HOSTILE * 30_000,
        session_id=HOSTILE,
        account_id=HOSTILE,
    )
    console = serve()
    for path in ("/export.jsonl", "/export.csv", "/health/checks", "/part/values?of=model"):
        text = console.get(path).text
        assert not set(text) & set("\x1b\x9b\x07\u202e\u2066"), path
        assert len(text) < 100_000
    (row,) = console.get("/export.jsonl").text.splitlines()
    assert json.loads(row)["model"] == HOSTILE
    for path in ("/", "/conversations", "/accounts", "/keys", "/prices", "/requests/1"):
        text = console.get(path).text
        assert not set(text) & set("\x1b\x9b\x07\u202e\u2066"), path
        assert "<script>alert" not in text and len(text) < 300_000, path


def test_the_ledger_may_be_a_postgresql(postgres_url: URL, tmp_path: Path, serve: Serve) -> None:
    engine = writer(postgres_url)
    try:
        migrate(engine)
        books = Books(tmp_path / "none.db", engine)
        with engine.begin() as connection:
            changes.add(connection, Description("ben", "env:BEN_KEY"), NOW - timedelta(days=1))
        books.add(60, model="gpt-5.4")
        books.add(3, model="nobody-knows-me")
        books.fail(4, account_id="ben", http_status=401, error_code="invalid_api_key", error_class="auth")
        here, url = tmp_path / "here.db", postgres_url.render_as_string(hide_password=False)
        console = serve(ledger=f'database_url = "{url}"\ndatabase_path = "{here}"')
        pages = (
            "/",
            "/conversations",
            "/accounts",
            "/accounts/ben",
            "/keys",
            "/prices",
            "/health",
            "/requests/1",
        )
        filters = ("/?text=gpt", "/?auth_file=(none)", "/?http_status=401&min_latency_ms=1", "/?cache=hit")
        for path in (
            *pages,
            *filters,
            "/?session_id=conversation-1",
            "/part/values?of=model",
            "/part/quota/ben",
        ):
            answer = console.get(path)
            assert answer.status == 200 and "part failed" not in answer.text and "alert" not in answer.text, (
                path
            )
        page = console.get("/").text
        assert re.search(r"<h2>Requests</h2>\s*<p class=\"value\">67</p>", page)
        assert len(console.get("/export.jsonl").text.splitlines()) == 67
        assert console.post("/accounts/ben/pause").status == 303
        with engine.connect() as connection:
            assert [m.status for m in read_fleet(connection).members] == ["paused"]
        with closing(HTTPConnection("127.0.0.1", console.port, timeout=20)) as live:
            live.request("GET", "/live?after=0", headers={"Cookie": console.cookie})
            stream = live.getresponse()
            seen = ""
            while "just-arrived" not in seen:
                line = stream.readline().decode()
                if "event: rows" in line and "just-arrived" not in seen:
                    books.add(1, timedelta(0), model="just-arrived")
                seen += line
    finally:
        engine.dispose()


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


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("modle=x", "is not a filter"),
        ("from=yesterday", "allowed: now"),
        ("from=now&to=now-1h", "is not before"),
        ("from=0001-01-01", "1970 to 2199"),
        ("from=now-9999M", "1970 to 2199"),
        ("to=9999-12-31T23:59:59&zone=Asia/Tokyo", "1970 to 2199"),
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
    assert by_name["range_and_filters"]["fix"] == "Choose a longer time range."
    books.add(1)
    found = json.loads(console.get("/health/checks?model=none-such").text)
    by_name = {check["name"]: check for check in found["checks"]}
    assert by_name["range_and_filters"]["fix"].startswith("Remove filters")


def test_the_action_queue_proposes_and_a_person_decides(books: Books, serve: Serve) -> None:
    with books.engine.begin() as connection:
        changes.add(connection, Description("ben", "env:BEN_KEY"), NOW - timedelta(days=1))
    books.fail(4, account_id="ben", http_status=401, error_code="invalid_api_key", error_class="auth")
    console = serve()
    page = console.get("/accounts").text
    assert "Action queue" in page and "invalid_api_key" in page and "investigate" in page
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


def test_a_price_in_force_is_the_one_of_the_provider_that_was_used(books: Books, serve: Serve) -> None:
    books.add(1, model="own-model", provider="azure")
    rates = "prompt_per_1m = {}\ncompletion_per_1m = 9\n"
    prices = f'[pricing.models.own-model]\nprovider = "azure"\n{rates.format("7.25")}'
    page = serve(prices).get("/prices").text
    row = page.partition('aria-labelledby="prices-title"')[2].partition("own-model")[2].partition("</tr>")[0]
    assert "azure" in row and "$7.25" in row, page


def test_a_request_says_what_it_costs_line_by_line(books: Books, serve: Serve) -> None:
    books.add(1)
    page = serve().get("/requests/1").text
    for line in ("$0.0015", "$0.0001", "$0.003", "$0.0046"):
        assert f">{line}<" in page, line


def test_counts_that_are_missing_are_not_zero(books: Books, serve: Serve) -> None:
    books.add(1, usage=Usage())
    page = serve().get("/requests/1").text
    assert "Not reported by the provider." in page and "missing usage" in page


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


def test_links_and_forms_ask_for_what_the_page_was_asked_for(books: Books, serve: Serve) -> None:
    books.add(2, model="a+b")
    books.add(1)
    since = (NOW - timedelta(days=1)).astimezone(timezone(timedelta(hours=1))).isoformat()
    console = serve()
    page = console.get("/?" + urlencode({"zone": "Etc/GMT+5", "model": "a+b", "from": since}))
    links = re.findall(r'href="(/[^"]*zone=[^"]*model=[^"]*)"', page.text)
    assert len(links) > 10
    for link in (links[0], next(link for link in links if "status=success" in link)):
        assert len(re.findall("<tr data-id", console.get(link.replace("&amp;", "&")).text)) == 2, link
    assert page.text.count('<input type="hidden" name="zone" value="Etc/GMT+5">') == 1


def test_an_account_that_only_requests_name_is_neither_removed_nor_unknown(
    books: Books, serve: Serve
) -> None:
    books.add(1, timedelta(days=20), account_id="old")
    books.fail(3, timedelta(days=3), account_id="quiet")
    console = serve()
    for name in ("old", "quiet"):
        page = console.get(f"/accounts/{name}")
        assert (page.status, "No account of this name is configured" in page.text) == (200, True)
    row = console.get("/accounts").text.partition("account_id=quiet")[2].partition("</tr>")[0]
    assert re.findall('<td class="n">(.*?)</td>', row)[1:] == ["0", "0"]  # of the last 24 hours
    assert console.get("/accounts/nobody").status == 404


def test_a_failure_without_a_code_leads_to_failures_of_its_class(books: Books, serve: Serve) -> None:
    books.fail(2, error_code=None)
    books.add(2)
    console = serve()
    link = re.findall(r'<a class="bad" href="(/\?[^"]*error_class=[^"]*)"', console.get("/").text)[0]
    assert len(re.findall("<tr data-id", console.get(link.replace("&amp;", "&")).text)) == 2


def test_no_key_is_shown_without_its_requests_because_others_cost_more(books: Books) -> None:
    """Two hundred and fifty others, each dearer than the configured one."""
    now = datetime.now(UTC)
    books.add(1, api_key_id="team-a", usage=Usage(10, 0, 1, 0))
    for number in range(250):
        books.add(1, api_key_id=f"key-{number}", account_id=f"account-{number}")
    book = current_book({})
    with books.engine.connect() as connection:
        keys = {"team-a": ProxyKey(sha256="0" * 64)}
        found = key_list(connection, book, keys, now, "key-0")
        assert found[0].week.requests == 1
        assert found[-1].week.requests == 1 and "key-0" in {one.name for one in found}


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


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/nowhere", 404, "no such page"),
        ("/requests/99999999999999999999", 404, "no such page"),
        ("/requests?before=99999999999999999999-1", 400, "allowed: what an earlier page gave"),
        ("/requests?before=1-99999999999999999999", 400, "allowed: what an earlier page gave"),
        ("/accounts/nobody/pause", 404, "no such account"),
        ("/?session_id=%00&model=%FF%FE", 200, "No matching requests"),
        ("/?from=2026-03-29T02:30&to=2026-03-29T04:00&zone=Europe/Berlin", 200, "03:30:00"),
    ],
)
def test_wrong_input_is_answered_for_a_person(
    books: Books, serve: Serve, path: str, status: int, says: str
) -> None:
    answer = serve().get(path)
    assert (answer.status, "Unexpected error" in answer.text) == (status, False)
    assert says in answer.text


def test_a_ledger_of_an_older_version_says_what_to_do(books: Books, serve: Serve) -> None:
    with books.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE request_changes")
    console = serve()
    for path in ("/", "/accounts", "/health/checks"):
        assert "start the proxy of this one" in console.get(path).text, path
