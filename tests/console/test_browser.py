"""What people do on the page, in a real browser."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from ledger.accounts import changes
from ledger.accounts.audit import Entry, entries
from ledger.accounts.configured import Description
from ledger.accounts.pool import read_fleet
from tests.console.conftest import Books, Console, Provider

Serve = Callable[..., Console]
Open = Callable[..., Any]


def incident(books: Books) -> None:
    """Forty good requests of three accounts, and one of these that is refused again and again."""
    for account in ("anna", "ben", "chloe"):
        books.add(40, timedelta(minutes=20), account_id=account, model="gpt-5.5")
        books.add(10, timedelta(minutes=10), account_id=account, api_key_id="team-b")
    books.fail(20, timedelta(minutes=5), account_id="ben", api_key_id="team-b", request_id="same")
    with books.engine.begin() as connection:
        described = Description("ben", "env:BEN_KEY", "ben@example.com", "plus")
        changes.add(connection, described, datetime.now(UTC) - timedelta(days=1))


def test_an_incident_in_six_steps(books: Books, serve: Serve, open_page: Open) -> None:
    incident(books)
    page = open_page(serve().url)
    page.get_by_role("link", name="1 h", exact=True).click()  # 1. the time
    assert "from=now-1h" in page.url
    cards = page.locator("#summary")  # 2. the summary, and what failures concentrate on
    assert "170" in cards.inner_text() and "20" in cards.inner_text()
    telling = page.locator(".failures ol")
    assert "Account ben 20 failures" in telling.inner_text()
    assert "API key team-b 20 failures" in telling.inner_text()
    page.get_by_role("link", name="ben", exact=True).first.click()  # 3. the account that is unhealthy
    assert "account_id=ben" in page.url
    page.get_by_role("link", name="team-b", exact=True).first.click()  # 4. its callers
    assert "api_key_id=team-b" in page.url and "account_id=ben" in page.url
    page.locator("#rows tr.error a.open").first.click()  # 5. one request
    panel = page.locator("#panel")
    panel.get_by_text("Rate limit reached.").wait_for()
    assert "rate_limit_exceeded" in panel.inner_text()
    assert "Attempts" in panel.inner_text()
    panel.get_by_role("link", name="ben", exact=True).click()  # 6. on to the account
    page.wait_for_url("**/accounts/ben")
    assert "Rate limit reached." in page.content()
    page.go_back()
    assert "account_id=ben" in page.url


def test_an_account_is_paused_and_resumed(books: Books, serve: Serve, open_page: Open) -> None:
    incident(books)
    page = open_page(f"{serve().url}/accounts")
    page.get_by_role("link", name="Pause ben").click()
    said = page.locator("#panel").get_by_text("within 2 seconds")
    said.wait_for()
    page.locator("#panel").get_by_role("button", name="Pause").click()
    page.wait_for_url("**/accounts/ben?done=pause")
    with books.engine.connect() as connection:
        assert [m.status for m in read_fleet(connection).members] == ["paused"]
        last = entries(connection, "ben", most=1)[0]
    assert (last.action, last.origin, last.actor) == ("pause", "console", "local")
    page.get_by_role("link", name="Resume ben").click()
    page.locator("#panel").get_by_role("button", name="Resume").click()
    page.wait_for_url("**/accounts/ben?done=resume")
    with books.engine.connect() as connection:
        assert [m.status for m in read_fleet(connection).members] == ["active"]


def test_a_running_proxy_obeys_within_two_seconds(
    books: Books, serve: Serve, open_page: Open, ask_proxy: Callable[..., str], provider: Provider
) -> None:
    ask_proxy(
        '[accounts.anna]\ncredential = "env:ANNA"\n[accounts.ben]\ncredential = "env:BEN"\n',
        {"ANNA": "key-of-anna", "BEN": "key-of-ben"},
    )

    def wait_until(true: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not true():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def act(name: str) -> float:
        page.get_by_role("link", name=f"{name} ben").first.click()
        with page.expect_response(lambda r: r.request.method == "POST" and r.status == 303):
            page.locator("#panel").get_by_role("button", name=name).click()
        done = time.monotonic()
        page.wait_for_url(f"**/accounts/ben?done={name.lower()}")
        return done

    def asked_after(moment: float) -> bool:
        return provider.asked[-1][0] > moment

    def of_ben(since: float) -> list[float]:
        return [at - since for at, key in list(provider.asked) if at >= since and key == "key-of-ben"]

    wait_until(lambda: {key for _, key in list(provider.asked)} == {"key-of-anna", "key-of-ben"})
    page = open_page(f"{serve().url}/accounts")
    slowest: list[float] = []
    for _ in range(6):  # another program may have both cores for a moment
        paused = act("Pause")
        wait_until(partial(asked_after, paused + 3))
        last = max(of_ben(paused), default=0.0)
        resumed = act("Resume")
        wait_until(partial(of_ben, resumed))
        slowest.append(max(last, of_ben(resumed)[0]))
        if slowest[-1] < 2:
            break
    assert min(slowest) < 2, slowest
    done = [(entry.action, entry.actor) for entry in entries_of(books)][:2]
    assert done == [("resume", "local"), ("pause", "local")]


def entries_of(books: Books) -> list[Entry]:
    with books.engine.connect() as connection:
        return [one for one in entries(connection, "ben", most=9) if one.origin == "console"]


def test_an_account_is_added_and_a_secret_in_its_place_is_not_shown(
    books: Books, serve: Serve, open_page: Open
) -> None:
    page = open_page(f"{serve().url}/accounts")
    page.locator("#add-title").click()
    page.get_by_label("Id", exact=True).fill("dora")
    page.get_by_label("Credential reference").fill("sk-proj-this-is-a-secret-0123456789")
    with page.expect_response(lambda r: r.request.method == "POST") as posted:
        page.get_by_role("button", name="Add", exact=True).click()
    assert posted.value.status == 409
    page.get_by_role("alert").wait_for()
    assert "not a reference" in page.content()
    assert "this-is-a-secret" not in page.content()


def test_new_requests_appear_by_themselves_within_a_second(
    books: Books, serve: Serve, open_page: Open
) -> None:
    books.add(3)
    page = open_page(serve().url)
    page.locator("#rows tr").nth(2).wait_for()
    page.wait_for_timeout(500)  # the stream opens
    stored = time.monotonic()
    books.add(1, timedelta(0), model="just-arrived")
    page.locator("#rows tr.new", has_text="just-arrived").wait_for()
    assert time.monotonic() - stored < 15  # also beside other tests
    assert page.locator("#rows tr").count() == 4
    page.get_by_role("button", name="Pause").click()
    books.add(1, timedelta(0), model="while-paused")
    page.wait_for_timeout(1_000)
    assert page.locator("#rows tr").count() == 4
    page.get_by_role("button", name="Go on").click()
    page.locator("#rows tr", has_text="while-paused").wait_for()


def test_by_keyboard_alone(books: Books, serve: Serve, open_page: Open) -> None:
    books.add(5, api_key_id="only-key")
    page = open_page(serve().url)
    page.locator("#rows tr").nth(4).wait_for()
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("only-key")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("text=only-key"))
    page.locator("#rows tr").nth(4).wait_for()
    while page.locator("#rows tr.here").count() == 0:
        page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.locator("#panel").get_by_text("Ended").wait_for()
    page.keyboard.press("Escape")
    assert not page.locator("#panel").is_visible()
    assert page.evaluate("document.activeElement.closest('tr.here') !== null")


def test_an_account_is_paused_by_keyboard_alone(books: Books, serve: Serve, open_page: Open) -> None:
    incident(books)
    page = open_page(f"{serve().url}/accounts")

    def tab_to(name: str) -> None:
        for _ in range(80):
            page.keyboard.press("Tab")
            said = page.evaluate(
                "(document.activeElement.ariaLabel || document.activeElement.innerText).trim()"
            )
            if said == name:
                return
        pytest.fail(f"no {name!r} is reached")

    tab_to("Pause ben")
    page.keyboard.press("Enter")
    page.locator("#panel").get_by_text("within 2 seconds").wait_for()
    page.keyboard.press("Escape")
    assert not page.locator("#panel").is_visible()
    assert page.evaluate("document.activeElement.ariaLabel") == "Pause ben"
    page.keyboard.press("Enter")
    page.locator("#panel").get_by_text("within 2 seconds").wait_for()
    tab_to("Pause")
    page.keyboard.press("Enter")
    page.wait_for_url("**/accounts/ben?done=pause")


def test_conversations_lead_to_their_requests_and_back(books: Books, serve: Serve, open_page: Open) -> None:
    for number in range(3):
        books.add(4, timedelta(minutes=5 + number), session_id=f"talk-{number}")
    books.fail(1, timedelta(minutes=1), session_id="talk-2")
    page = open_page(serve().url)
    page.get_by_role("link", name="Conversations").click()
    rows = page.locator("main tbody tr")
    assert [row.split("\t")[1:5:2] for row in rows.all_inner_texts()] == [
        ["talk-2", "5"],
        ["talk-0", "4"],
        ["talk-1", "4"],
    ]
    page.get_by_role("link", name="talk-2").click()
    page.locator("#rows tr").nth(4).wait_for()
    assert page.locator("#rows tr").count() == 5
    page.go_back()
    assert page.get_by_role("link", name="talk-0").is_visible()


def test_an_empty_ledger_says_what_to_look_at(books: Books, serve: Serve, open_page: Open) -> None:
    page = open_page(serve().url)
    assert "Why is there no data?" in page.content()
    found = page.locator(".checks li").all_inner_texts()
    assert any("The ledger is empty" in text for text in found)
    assert any("OPENAI_BASE_URL" in text or "Start it" in text for text in found)
    page.set_viewport_size({"width": 320, "height": 800})  # an address in a check is one long word
    page.evaluate("document.querySelector('.checks .fix').textContent = 'OPENAI_BASE_URL=' + 'x'.repeat(80)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_older_requests_without_an_end(books: Books, serve: Serve, open_page: Open) -> None:
    books.add(120)
    page = open_page(serve().url)
    seen: list[str] = []
    while True:
        page.locator("#rows tr").first.wait_for()
        seen += page.locator("#rows tr").evaluate_all("rows => rows.map(row => row.dataset.id)")
        older = page.get_by_role("link", name="Older")
        if older.count() == 0:
            break
        older.click()
        page.wait_for_load_state()
    assert len(seen) == len(set(seen)) == 120


def test_columns_are_remembered(books: Books, serve: Serve, open_page: Open) -> None:
    books.add(2)
    page = open_page(serve().url)
    page.locator("details.columns summary").click()
    page.get_by_role("checkbox", name="Session").check()
    page.get_by_role("button", name="Apply").click()
    page.wait_for_load_state()
    assert "conversation-1" in page.locator("#rows").inner_text()
    page.reload()
    assert "conversation-1" in page.locator("#rows").inner_text()


def test_a_narrow_screen_does_not_scroll_sideways(books: Books, serve: Serve, open_page: Open) -> None:
    incident(books)
    url = serve().url
    page = open_page(url, viewport={"width": 375, "height": 800})
    widths = {}
    for path, opened in PLACES:
        page.goto(url + path)
        if opened:
            page.locator(opened).first.click()
            page.wait_for_timeout(200)
        widths[f"{path} {opened}"] = page.evaluate("document.documentElement.scrollWidth")
    assert {place: width for place, width in widths.items() if width > 375} == {}


HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">",
    "'\"><svg/onload=alert(1)>{{7*7}}${7*7}",
    "\x1b[31mred\x1b[0m\x07",
    "\u202egnp.exe\u2066",
    "=cmd|' /C calc'!A0",
)


def test_hostile_texts_are_shown_harmlessly(books: Books, serve: Serve, open_page: Open) -> None:
    for text in HOSTILE:
        books.fail(
            model=text[:200],
            api_key_id=text[:40],
            user_agent=text[:200],
            error_code=text[:60],
            error_message=text * 20_000,
            session_id=text[:200],
        )
    console = serve()
    page = open_page(f"{console.url}/?from=now-1h&to=now")
    page.locator("#rows tr").nth(len(HOSTILE) - 1).wait_for()
    assert page.title() == "Requests · Quotascope"
    assert len(page.content()) < 300_000
    assert "\x1b" not in page.content() and "\u202e" not in page.locator("main").inner_text()
    page.locator("#rows a.open").first.click()
    page.locator("#panel .facts").wait_for()
    assert page.title() == "Requests · Quotascope"
    assert page.locator("main script, #panel script, main img, #panel img").count() == 0


PLACES: tuple[tuple[str, str], ...] = (
    *(("/", ""), ("/", "#rows a.open"), ("/", "details.all summary"), ("/", "details.columns summary")),
    *(("/?model=none", ""), ("/conversations", ""), ("/accounts", ""), ("/accounts", "a.button.open")),
    *(("/accounts", "#add-title"), ("/accounts/ben", ""), ("/keys", ""), ("/prices", ""), ("/health", "")),
    *(("/runbooks", ""), ("/runbooks/too-many-errors", ""), ("/dashboards", ""), ("/usage", "")),
    *(("/requests/1", ""), ("/?from=banana", "")),
)
"""Addresses, and what is clicked there before one looks."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(books: Books, serve: Serve, open_page: Open, axe: str, scheme: str) -> None:
    incident(books)
    books.add(1, model="nobody-knows-me", requested_model="another")
    url = serve().url
    page = open_page(url, color_scheme=scheme, bypass_csp=True)
    wrong = {}
    for path, opened in PLACES:
        page.goto(url + path)
        if opened:
            page.locator(opened).first.click()
            page.wait_for_timeout(200)
        page.evaluate(axe)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        if found:
            wrong[f"{path} {opened}"] = [(o["id"], [n["html"][:150] for n in o["nodes"][:3]]) for o in found]
    assert wrong == {}, json.dumps(wrong, indent=1)
