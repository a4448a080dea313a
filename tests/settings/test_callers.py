"""The guard of every server of ours: who may use what it lends."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from settings.callers import Guard, host_name, network_of, preflight, shared_with
from settings.errors import SettingsError
from settings.load import load
from settings.model import Settings, guard

LOCAL = guard(Settings(), "127.0.0.1:8787")
EXPOSED = guard(Settings(), "0.0.0.0:8787")
PAGE = "https://chat.example.org"
CONFIGURED = Settings.model_validate(
    {"callers": {"hosts": ["usage.example.org"], "origins": [PAGE], "proxies": ["10.0.0.0/8", "::1"]}}
)
PLAIN = (("User-Agent", "x"), ("Authorization", "Bearer x"), ("Content-Type", "application/json"))


def code(rule: Guard, *headers: tuple[str, str], peer: str = "127.0.0.1", known: bool = False) -> str | None:
    refusal = rule.refusal(CIMultiDict((*PLAIN, *headers)), peer, known=known)
    return refusal.code if refusal else None


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8787",
        "127.8.9.1:1",
        "localhost",
        "LocalHost:8787",
        "localhost.",
        "usage.localhost:8787",
        "[::1]",
        "[::1]:8787",
        "[::ffff:127.0.0.1]:8787",
    ],
)
def test_names_of_this_machine(host: str) -> None:
    assert code(LOCAL, ("Host", host)) is None
    assert code(EXPOSED, ("Host", host)) is None


FOREIGN = [
    "evil.example",
    "evil.example:8787",
    "127.0.0.1.evil.example:8787",
    "localhost.evil.example",
    "evillocalhost.example",
    "127.0.0.1@evil.example",
    "evil.example#127.0.0.1",
    "evil.example:8787:127.0.0.1",
    "localhost/evil.example",
    "127.0.0.1, evil.example",
    "127.0.0.1 evil.example",
    "[evil.example]",
    "[::1]evil.example",
    "::1",
    "",
    ":8787",
    ".",
    "localhost..",
    "local\u212aost.example",
]


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("rule", [LOCAL, EXPOSED], ids=["local", "exposed"])
def test_every_other_name_is_refused(rule: Guard, host: str) -> None:
    assert code(rule, ("Host", host)) == "host_not_allowed"


@given(st.text(st.characters(codec="latin-1"), max_size=30))
def test_whatever_comes_as_host_a_foreign_domain_stays_foreign(text: str) -> None:
    for host in (f"{text}.evil.example", f"evil.example{text}", f"{text}evil.example:80"):
        if host_name(host) not in ("127.0.0.1", "localhost"):
            assert code(LOCAL, ("Host", host)) == "host_not_allowed"


def test_no_host_and_two_are_refused() -> None:
    assert code(LOCAL) == "host_not_allowed"
    assert code(LOCAL, ("Host", "127.0.0.1"), ("host", "127.0.0.1")) == "host_not_allowed"


@pytest.mark.parametrize("host", ["192.168.1.5:8787", "[fd00::5]:8787", "proxy:8787", "0.0.0.0:8787"])
def test_what_the_network_calls_this_machine_is_for_an_exposed_server(host: str) -> None:
    assert code(EXPOSED, ("Host", host)) is None
    assert code(LOCAL, ("Host", host)) == "host_not_allowed"


def test_configured_names_are_ours() -> None:
    rule = guard(CONFIGURED, "127.0.0.1:8787")
    assert code(rule, ("Host", "Usage.Example.org:443")) is None
    assert code(rule, ("Host", "other.example.org")) == "host_not_allowed"
    assert code(guard(Settings(), "usage.lan:8787"), ("Host", "usage.lan:8787")) is None


ORIGINS = [
    "https://evil.example",
    "http://evil.example:8787",
    "http://127.0.0.1:3000",
    "http://localhost:8787",
    "http://127.0.0.1:8787.evil.example",
    "http://127.0.0.1",
    "null",
    "",
    "127.0.0.1:8787",
    "file://127.0.0.1:8787",
    "chrome-extension://abcdef",
    "http://127.0.0.1:8787 ",
    "http://127.0.0.1:8787, https://evil.example",
]


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("own", [False, True], ids=["alone", "beside its own"])
def test_a_page_of_another_origin_is_refused(origin: str, known: bool, own: bool) -> None:
    headers = [("Host", "127.0.0.1:8787"), ("Origin", origin)]
    if own:
        headers.insert(1, ("Origin", "http://127.0.0.1:8787"))
    assert code(LOCAL, *headers, known=known) == "origin_not_allowed"


def test_a_page_of_the_server_itself_may_ask() -> None:
    headers = (("Host", "127.0.0.1:8787"), ("Origin", "http://127.0.0.1:8787"))
    assert code(LOCAL, *headers) is None
    assert code(LOCAL, *headers, ("Sec-Fetch-Site", "same-origin")) is None


def test_a_page_that_is_its_own_host_by_rebinding_is_refused() -> None:
    headers = (("Host", "evil.example:8787"), ("Origin", "http://evil.example:8787"))
    assert code(LOCAL, *headers, ("Sec-Fetch-Site", "same-origin")) == "host_not_allowed"


@pytest.mark.parametrize("origin", [PAGE, "HTTPS://chat.example.org", "https://Chat.Example.ORG"])
def test_configured_pages_may_use_the_servers_that_share_with_them(origin: str) -> None:
    headers = (("Host", "127.0.0.1:8787"), ("Origin", origin), ("Sec-Fetch-Site", "cross-site"))
    assert code(guard(CONFIGURED, "127.0.0.1:8787", pages=True), *headers) is None
    assert code(guard(CONFIGURED, "127.0.0.1:8787"), *headers) == "origin_not_allowed"


@pytest.mark.parametrize(
    ("site", "refused"),
    [
        ("none", None),
        ("same-origin", None),
        ("same-site", "origin_not_allowed"),
        ("cross-site", "origin_not_allowed"),
        ("Same-Origin", "origin_not_allowed"),
        ("whatever comes", "origin_not_allowed"),
    ],
)
def test_what_a_browser_says_of_the_asking_page(site: str, refused: str | None) -> None:
    assert code(LOCAL, ("Host", "localhost"), ("Sec-Fetch-Site", site)) == refused


FORWARDED = ["X-Forwarded-For", "X-Forwarded-Host", "x-forwarded-anything", "Forwarded", "X-Real-IP"]


@pytest.mark.parametrize("name", FORWARDED)
@pytest.mark.parametrize(
    ("peer", "trusted"),
    [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("::1", True), ("127.0.0.1", False), ("", False)],
)
def test_only_configured_proxies_may_pass_requests_on(name: str, peer: str, trusted: bool) -> None:
    headers = (("Host", "localhost"), (name, "8.8.8.8"))
    assert code(LOCAL, *headers, peer=peer) == "proxy_not_allowed"
    found = code(guard(CONFIGURED, "127.0.0.1:8787"), *headers, peer=peer)
    assert found == (None if trusted else "proxy_not_allowed")


def test_who_proved_who_it_is_may_come_by_any_name_and_any_way() -> None:
    assert code(LOCAL, ("Host", "usage.example.org"), ("X-Forwarded-For", "8.8.8.8"), known=True) is None


def test_a_refusal_names_what_came_and_the_key_that_would_allow_it() -> None:
    refusal = LOCAL.refusal(CIMultiDict({"Host": "evil.example"}), "127.0.0.1")
    assert refusal is not None
    assert "evil.example" in refusal.message
    assert "callers.hosts" in refusal.message
    long = LOCAL.refusal(CIMultiDict({"Host": "127.0.0.1", "Origin": "\n\x1b" + "x" * 9_000}), "127.0.0.1")
    assert long is not None
    assert len(long.message) < 300
    assert long.message.isprintable()


def test_what_a_configured_page_is_told() -> None:
    assert dict(shared_with(PAGE))["Access-Control-Allow-Origin"] == PAGE
    answer = dict(preflight(PAGE, "authorization, x-stainless-os"))
    assert answer["Access-Control-Allow-Headers"] == "authorization, x-stainless-os"
    assert "POST" in answer["Access-Control-Allow-Methods"]
    assert dict(preflight(PAGE, "a\r\nX-Evil: 1"))["Access-Control-Allow-Headers"] == "content-type"


@pytest.mark.parametrize(
    "line",
    [
        'hosts = ["a:80"]',
        'hosts = ["https://a"]',
        'hosts = ["*"]',
        'hosts = [""]',
        'hosts = "a"',
        'origins = ["*"]',
        'origins = ["null"]',
        'origins = ["https://a/path"]',
        'origins = ["https://"]',
        'origins = ["chat.example.org"]',
        'proxies = ["10.0.0.1/8"]',
        'proxies = ["nginx"]',
        'proxies = ["*"]',
    ],
)
def test_what_cannot_be_meant_stops_the_start_with_what_is_allowed(line: str, tmp_path: Path) -> None:
    path = tmp_path / "usage.toml"
    path.write_text(f"[callers]\n{line}\n")
    with pytest.raises(SettingsError, match=rf"callers\.{line.split()[0]}.*allowed: "):
        load(path, {})


def test_ports_that_browsers_leave_out_are_left_out() -> None:
    table = {"callers": {"origins": ["https://a.example:443", "http://b.example:80", "app://obsidian.md"]}}
    found = Settings.model_validate(table).callers.origins
    assert found == ("https://a.example", "http://b.example", "app://obsidian.md")


def test_a_network_is_a_network() -> None:
    assert str(network_of("10.0.0.0/8")) == "10.0.0.0/8"
    assert str(network_of("::1")) == "::1/128"
