"""Who may come in, and what nobody can be made to do."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from console.web.passwords import hashed
from console.web.sessions import (
    ATTEMPTS,
    ATTEMPTS_OF_ALL,
    MAX_SLOW,
    SLOW_SECONDS,
    WINDOW_SECONDS,
    Attempts,
)
from ledger.accounts import changes
from ledger.accounts.configured import Description
from ledger.accounts.pool import read_fleet
from tests.console.conftest import ROOT, Books, Console

Serve = Callable[..., Console]
PASSWORD = "correct horse battery"
LOOKER = "only looking around"


@pytest.fixture(scope="module")
def login() -> str:
    return f"operate_password_hash = '{hashed(PASSWORD)}'\nview_password_hash = '{hashed(LOOKER)}'\n"


def with_ben(books: Books) -> None:
    with books.engine.begin() as connection:
        changes.add(connection, Description("ben", "env:BEN_KEY"), datetime.now(UTC))


def status_of_ben(books: Books) -> str:
    with books.engine.connect() as connection:
        return read_fleet(connection).members[0].status


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8788", "127.0.0.1.evil.example", ""])
def test_a_strange_name_that_leads_here_is_refused(books: Books, serve: Serve, host: str) -> None:
    assert serve().get("/", Host=host).status in (400, 403)


def test_another_site_reads_nothing_and_a_link_of_it_leads_here(books: Books, serve: Serve) -> None:
    console = serve()
    fetched = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    assert console.get("/export.jsonl", **fetched).status == 403
    framed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    assert console.get("/", **framed).status == 403
    followed = {**framed, "Sec-Fetch-Dest": "document"}
    answer = console.get("/", **followed)
    assert answer.status == 200
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_an_action_needs_the_token_of_our_own_page(books: Books, serve: Serve) -> None:
    with_ben(books)
    console = serve()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert console.ask("POST", "/accounts/ben/pause", b"", form).status == 403
    console.get("/accounts")  # a cookie, and no token
    assert console.ask("POST", "/accounts/ben/pause", b"csrf=" + b"0" * 64, form).status == 403
    foreign = {"Origin": "http://evil.example"}
    assert console.post("/accounts/ben/pause", headers=foreign).status == 403
    assert status_of_ben(books) == "active"
    assert console.post("/accounts/ben/pause").status == 303
    assert status_of_ben(books) == "paused"


def test_a_cookie_is_strict_and_out_of_reach_of_scripts(books: Books, serve: Serve) -> None:
    cookie = serve().get("/").headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere(books: Books, serve: Serve) -> None:
    policy = serve().get("/").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "http" not in policy


def test_what_is_passed_on_by_a_reverse_proxy_is_not_of_this_machine(books: Books, serve: Serve) -> None:
    console = serve('[callers]\nproxies = ["127.0.0.1"]')
    answer = console.get("/", **{"X-Forwarded-For": "192.0.2.1"})
    assert (answer.status, answer.headers["location"]) == (303, "/login?next=/")


def test_two_roles(books: Books, serve: Serve, login: str) -> None:
    with_ben(books)
    console = serve(console=login)
    assert console.get("/accounts").headers["location"] == "/login?next=/accounts"
    assert console.get("/export.csv").status == 401
    assert console.get("/healthz").status == 200
    answer = console.post("/login", password=LOOKER, next="/accounts")
    assert (answer.status, answer.headers["location"]) == (303, "/accounts")
    assert "ben" in console.get("/accounts").text
    assert "env:BEN_KEY" not in console.get("/accounts/ben").text
    assert console.post("/accounts/ben/pause").status == 403
    assert console.post("/accounts/ben/queue", kind="review", decision="ignored").status == 403
    assert console.post("/login", password=PASSWORD).status == 303
    assert console.post("/accounts/ben/pause").status == 303
    assert status_of_ben(books) == "paused"
    was = console.cookie
    console.post("/logout")
    console.cookie = was
    assert console.get("/accounts").status == 303


def test_a_link_from_elsewhere_leads_to_this_server_alone(books: Books, serve: Serve, login: str) -> None:
    console = serve(console=login)
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert console.get("/?model=a", **followed).headers["refresh"] == "0;url=/?model=a"
    assert console.get("//evil.example/", **followed).headers["refresh"] == "0;url=/"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded", b"\xff\xfe=1"),
        ("application/x-www-form-urlencoded; charset=none-such", b"a=b"),
        ("multipart/form-data", b"a"),
        ("multipart/form-data; boundary=a", b"a"),
    ],
)
def test_a_body_that_is_no_form_is_answered_for_a_person(
    books: Books, serve: Serve, kind: str, body: bytes
) -> None:
    console = serve()
    for path in ("/login", "/usage", "/columns", "/accounts"):
        answer = console.ask("POST", path, body, {"Content-Type": kind})
        assert answer.status == 400 and "cannot be read as a form" in answer.text, (path, answer)


@pytest.mark.parametrize(
    "next_page", ["//evil.example", "//[", "https://evil.example", "/\\evil.example", "x"]
)
def test_a_login_leads_nowhere_else(books: Books, serve: Serve, login: str, next_page: str) -> None:
    answer = serve(console=login).post("/login", password=PASSWORD, next=next_page)
    assert answer.headers["location"] == "/"


def test_nobody_on_this_machine_locks_the_others_out(books: Books, serve: Serve, login: str) -> None:
    console = serve(console=login)
    assert [console.post("/login", password=f"guess {n}").status for n in range(5)] == [403] * 5
    assert console.post("/usage", key="guess").status == 403
    assert console.post("/login", password=PASSWORD).status == 303


def test_other_addresses_are_locked_out(books: Books, serve: Serve, login: str) -> None:
    console = serve('[callers]\nproxies = ["127.0.0.1"]', login)
    console.headers = {"X-Forwarded-For": "192.0.2.7"}
    said = [console.post("/login", password=f"guess {n}").status for n in range(7)]
    assert said == [403] * 5 + [429] * 2
    assert console.post("/login", password=PASSWORD).status == 429
    console.headers = {"X-Forwarded-For": "192.0.2.8"}
    assert console.post("/login", password=PASSWORD).status == 303


class Clock:
    """A clock that stands still, and a sleep that somebody else ends."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []
        self.go = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.go.wait()


async def attempt(attempts: Attempts, peer: str = "127.0.0.1", *, local: bool = True) -> int:
    async with attempts.turn(peer, local=local) as wait:
        if not wait:
            attempts.failed(peer, local=local)
        return wait


async def test_attempts_from_this_machine_take_turns() -> None:
    clock = Clock()
    attempts = Attempts(lambda: clock.now, clock.sleep)
    assert [await attempt(attempts) for _ in range(ATTEMPTS)] == [0] * ATTEMPTS
    assert clock.slept == []
    waiting = [asyncio.create_task(attempt(attempts)) for _ in range(MAX_SLOW + 2)]
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result() for task in done] == [int(MAX_SLOW * SLOW_SECONDS)] * 2
    assert clock.slept == [SLOW_SECONDS]
    clock.go.set()
    assert sorted(await asyncio.gather(*waiting)) == [0] * MAX_SLOW + [int(MAX_SLOW * SLOW_SECONDS)] * 2
    assert clock.slept == [SLOW_SECONDS] * MAX_SLOW
    clock.now += WINDOW_SECONDS + 1
    assert await attempt(attempts) == 0
    assert len(clock.slept) == MAX_SLOW


async def test_others_wait_whoever_else_tries() -> None:
    clock = Clock()
    attempts = Attempts(lambda: clock.now, clock.sleep)
    for number in range(ATTEMPTS_OF_ALL):
        assert await attempt(attempts, f"192.0.2.{number}", local=False) == 0
    assert await attempt(attempts, "198.51.100.1", local=False) == WINDOW_SECONDS + 1
    clock.go.set()
    assert await attempt(attempts) == 0
    clock.now += WINDOW_SECONDS
    for _ in range(ATTEMPTS_OF_ALL):
        assert await attempt(attempts) == 0
    assert await attempt(attempts, "198.51.100.1", local=False) == 0


def test_a_name_of_the_reverse_proxy_is_believed_of_it_alone(books: Books, serve: Serve) -> None:
    header = 'user_header = "x-user"\noperators = ["anna"]'
    with_ben(books)
    strange = serve('[callers]\nproxies = ["192.0.2.1"]', header)
    assert strange.get("/", **{"X-User": "anna"}).status == 303
    console = serve('[callers]\nproxies = ["127.0.0.1"]', header)
    assert console.get("/").status == 303
    console.headers = {"X-User": "someone"}
    assert console.get("/").status == 200
    assert console.post("/accounts/ben/pause").status == 403
    console.headers = {"X-User": "anna"}
    assert console.post("/accounts/ben/pause").status == 303
    assert "anna" in console.get("/accounts/ben").text


def test_the_holder_of_a_key_sees_this_key_alone(books: Books, serve: Serve, login: str) -> None:
    books.add(3, api_key_id="team-a", account_id="secret-account")
    books.add(5, api_key_id="team-b")
    digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    console = serve(f'[proxy_keys."team-a"]\nsha256 = "{digest}"\ndaily_usd = 5', login)
    assert console.get("/usage", Authorization="Bearer wrong").status == 401
    answer = console.get("/usage", Authorization="Bearer test")
    assert '"requests":3' in answer.text and "secret-account" not in answer.text
    assert '"limit_usd":5' in answer.text
    assert console.post("/usage", key="wrong").status == 403
    assert console.post("/usage", key="test").status == 303
    page = console.get("/usage")
    assert "Usage of <bdi>team-a" in page.text and "secret-account" not in page.text
    assert "3 requests" in page.text
    for path in ("/", "/accounts", "/keys", "/export.jsonl", "/live", "/requests/1", "/health/checks"):
        assert console.get(path).status in (303, 401), path


def test_a_password_is_hashed_by_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "console", "--hash-password"],
        input=PASSWORD + "\n",
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("$argon2id$") and PASSWORD not in done.stdout


def test_secrets_are_in_no_page(books: Books, serve: Serve, login: str) -> None:
    console = serve(console=login)
    console.post("/login", password=PASSWORD)
    for path in ("/", "/accounts", "/keys", "/prices", "/health", "/login"):
        assert "argon2" not in console.get(path).text, path
