"""One spelling for each path: whatever a server could make of it, it is decided on that here."""

from __future__ import annotations

from itertools import product
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Refused
from proxy.http.path import meaning, split_target
from proxy.http.routes import _DEFERRED, _GENERATING, REFUSED_METHODS, route
from tests.support.cases import each


@pytest.mark.parametrize(
    ("raw", "path", "query"),
    [
        ("/v1/models", "/v1/models", ""),
        ("/v1/models?", "/v1/models", "?"),
        ("/v1/a%2Fb%20c?x=%26&y=a?b", "/v1/a%2Fb%20c", "?x=%26&y=a?b"),
        ("/v1/models?next=/../x", "/v1/models", "?next=/../x"),
        ("/v1/...", "/v1/...", ""),
        ("/v1/.well-known/x..y", "/v1/.well-known/x..y", ""),
        ("/v1/files/%E2%82%AC", "/v1/files/%E2%82%AC", ""),
        ("/v1/files/€", "/v1/files/€", ""),
        ("//v1///chat//completions/", "/v1/chat/completions/", ""),
        ("/%76%31/chat/%63ompletions", "/v1/chat/completions", ""),
        ("/v1/models/a%3Ab%2Dc%2Ed", "/v1/models/a%3Ab-c.d", ""),
        ("http://elsewhere.example/v1/models?a", "/v1/models", "?a"),
        ("http://elsewhere.example", "/", ""),
        ("https://u:p@h:1//v1", "/v1", ""),
        ("*", "/", ""),
        ("elsewhere.example:443", "/", ""),
    ],
)
def test_a_target_has_one_spelling(raw: str, path: str, query: str) -> None:
    assert split_target(raw) == (path, query)
    assert split_target(path + query) == (path, query)


def over(text: str, times: int) -> str:
    """A text with every character percent-encoded, so many times over."""
    for number in range(times):
        text = "".join(f"%{ord(c):02x}" for c in text) if number == 0 else quote(text, safe="")
    return text


SLASHES = ["/", *(over("/", n) for n in (1, 2, 3)), "%2F", "%252F"]
BACKSLASHES = ["\\", *(over("\\", n) for n in (1, 2, 3)), "%5C"]
DOTS = ["..", ".", *(over(d, n) for d in ("..", ".") for n in (1, 2, 3)), ".%2e", "%2E.", "%252e%252e"]
ODD_DOTS = [
    "..;",
    "..;x=1",
    "..%3b",
    "%2e%2e;",
    "..%253b",
    ". ",
    "..%20",
    "\u2025",
    "\uff0e\uff0e",
    "%e2%80%a5",
]
"""Segments that some server takes for a dot segment."""


@each("dots", [*DOTS, *ODD_DOTS])
@each("before", [*SLASHES, *BACKSLASHES])
@each("behind", ["", *SLASHES, *BACKSLASHES])
def test_no_spelling_of_a_dot_segment_passes(before: str, dots: str, behind: str) -> None:
    for raw in (
        f"/v1/x{before}{dots}{behind}{'other' if behind else ''}",
        f"http://h/v1{before}{dots}{behind}",
    ):
        with pytest.raises(Refused) as refused:
            split_target(raw)
        assert (refused.value.status, refused.value.code) == (400, "invalid_path")


@pytest.mark.parametrize(
    "raw",
    [
        *("/v1\\x", "/v1/x#y", "/v1?x#y", "/v1/a%00", "/v1/a%0d%0ab", "/v1/%7f", "/v1/%c0%ae%c0%ae/x"),
        *("/v1/%ff", "/v1/\udcff", "/v1/%2525252561"),
    ],
)
def test_characters_that_no_path_needs_are_refused(raw: str) -> None:
    with pytest.raises(Refused):
        split_target(raw)


@given(
    st.lists(
        st.sampled_from(["v1", ".", "..", "%2e", "%2E%2e", "", "a.b", "%2f", "x", ";", "%25"]), max_size=6
    )
)
def test_whatever_passes_means_the_same_again(parts: list[str]) -> None:
    try:
        path, _ = split_target("/" + "/".join(parts))
    except Refused:
        return
    assert split_target(path) == (path, "")
    assert "//" not in path
    assert not {".", ".."} & set(meaning(path).split("/"))


def spellings(tail: str) -> list[str]:
    """Ways to write one path that lenient servers read alike."""
    first, last = tail[1:2], tail[-1:]
    return [
        tail,
        tail + "/",
        "/" + tail,
        tail.replace("/", "//"),
        tail + "//",
        tail.upper(),
        tail.title(),
        f"/%{ord(first):x}{tail[2:]}",
        f"{tail[:-1]}%{ord(last):X}",
        f"{tail[:-1]}%25{ord(last):x}",
        "/" + tail[1:].replace("/", "%2f"),
        "/" + tail[1:].replace("/", "%252F"),
        f"{tail};x=1",
        f"{tail};",
        f"{tail}%3Bx",
        f"{tail}%3fx=1",
        tail.replace("/", "/%20", 1),
        tail.replace("c", "\uff43").replace("r", "\uff52"),
    ]


@pytest.mark.parametrize("tail", sorted(_GENERATING))
def test_every_spelling_of_every_route_is_that_route(tail: str) -> None:
    for written, method in product(spellings(tail), ("POST", "PUT", "PATCH")):
        path, _ = split_target(f"/v1{written}")
        assert route(method, path.removeprefix("/v1")) == route(method, tail)
        assert route(method, tail).billable


@pytest.mark.parametrize("pattern", sorted(_DEFERRED))
def test_every_spelling_of_deferred_work_is_known(pattern: str) -> None:
    tail = pattern.replace("*:", "/models/m:").replace("*", "abc")
    for written in spellings(tail):
        path, _ = split_target(f"/v1{written}")
        assert route("POST", path.removeprefix("/v1")).work == "deferred"


@pytest.mark.parametrize(
    "prefix",
    [
        "/openai/deployments/gpt",
        "/openai/v1",
        "/engines/davinci",
        "/deployments/x",
        "/v1",
        "/anything/at/all",
    ],
)
@pytest.mark.parametrize("tail", sorted(_GENERATING))
def test_a_generating_path_is_one_behind_any_prefix(prefix: str, tail: str) -> None:
    found, plain = route("POST", prefix + tail), route("POST", tail)
    assert (found.api, found.work, found.billable) == (plain.api, "generates", True)
    assert found.template == f"/v1/{{prefix}}{tail}"


@pytest.mark.parametrize("method", sorted(REFUSED_METHODS))
@pytest.mark.parametrize("target", ["/v1/responses", "/healthz", "elsewhere.example:443"])
async def test_methods_that_echo_or_tunnel_are_refused(
    scene: Any, wire: Any, method: str, target: str
) -> None:
    await scene.begin(wire.answer())
    message = await scene.ask(wire.request(b"", path=target, method=method))
    assert message.start.split()[1] in (b"405", b"400")
    assert scene.upstream.requests == []


@pytest.mark.parametrize(
    "path", ["/v1/..%2f..%2fother", "/v1/..%5cother", "/v1/..;/other", "/v1/%252e%252e/other"]
)
async def test_path_tricks_never_reach_the_provider(scene: Any, wire: Any, path: str) -> None:
    await scene.begin(wire.answer())
    message = await scene.ask(wire.request(b"", path=path, method="GET"))
    assert message.start.split()[1] == b"400"
    assert b'"invalid_path"' in message.body
    assert scene.upstream.requests == []


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("/v1//responses", b"/v1/responses"),
        ("/v1/%72esponses", b"/v1/responses"),
        ("//v1/responses/", b"/v1/responses/"),
        ("/v1/responses/compact", b"/v1/responses/compact"),
        ("/v1/batches", b"/v1/batches"),
        ("/v1/engines/davinci/completions", b"/v1/engines/davinci/completions"),
    ],
)
async def test_what_comes_back_is_metered_wherever_it_comes_from(
    scene: Any, wire: Any, written: str, sent: bytes
) -> None:
    await scene.begin(wire.answer(b'{"model":"gpt-5.4","usage":{"input_tokens":7,"output_tokens":5}}'))
    await scene.ask(wire.request(b'{"model":"gpt-5.4"}', path=written))
    row = await scene.row()
    assert (row["input_tokens"], row["output_tokens"], row["request_kind"]) == (7, 5, "normal")
    assert scene.upstream.requests[0].start.split()[1] == sent
