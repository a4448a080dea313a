"""Targets of requests: passed as they were written, or refused."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import Refused
from proxy.metering.usage import NOTHING_ASKED
from proxy.relay.body import asked, split_target


@pytest.mark.parametrize(
    ("raw", "path", "query"),
    [
        ("/v1/models", "/v1/models", ""),
        ("/v1/models?", "/v1/models", "?"),
        ("/v1/a%2Fb%20c?x=%26&y=a?b", "/v1/a%2Fb%20c", "?x=%26&y=a?b"),
        ("/v1/models?next=/../x", "/v1/models", "?next=/../x"),
        ("/v1/...", "/v1/...", ""),
        ("/v1/.well-known/x..y", "/v1/.well-known/x..y", ""),
        ("http://elsewhere.example/v1/models?a", "/v1/models", "?a"),
        ("http://elsewhere.example", "/", ""),
        ("https://u:p@h:1//v1", "//v1", ""),
        ("*", "/", ""),
        ("elsewhere.example:443", "/", ""),
    ],
)
def test_a_target(raw: str, path: str, query: str) -> None:
    assert split_target(raw) == (path, query)


DOTS = ["/v1/..", "/v1/../x", "/./v1", "/v1/%2e%2E/x", "/v1/%2e./x", "/v1/.%2E", "http://h/v1/../x"]


@pytest.mark.parametrize("raw", [*DOTS, "/v1\\x", "/v1/x#y", "/v1?x#y"])
def test_a_path_that_means_another_one_is_refused(raw: str) -> None:
    with pytest.raises(Refused) as refused:
        split_target(raw)
    assert (refused.value.status, refused.value.code) == (400, "invalid_path")


@given(st.lists(st.sampled_from(["v1", ".", "..", "%2e", "%2E%2e", "", "a.b", "%2f", "x"]), max_size=6))
@settings(deadline=None)
def test_no_target_that_passes_has_a_dot_segment(segments: list[str]) -> None:
    try:
        path, _ = split_target("/" + "/".join(segments))
    except Refused:
        return
    assert not {".", ".."} & {part.lower().replace("%2e", ".") for part in path.split("/")}


@pytest.mark.parametrize(
    ("body", "encoding", "model"),
    [
        (b'{"model": "gpt-5.4"}', "", "gpt-5.4"),
        (gzip.compress(b'{"model": "gpt-5.4"}'), "gzip", "gpt-5.4"),
        (b'{"model": "gpt-5.4"}', "gzip", None),
        (b'{"model": "gpt-5.4"}', "compress", None),
        (b"model=gpt-5.4", "", None),
    ],
)
def test_what_a_body_asks_for(body: bytes, encoding: str, model: str | None) -> None:
    found = asked(body, encoding)
    assert found.model == model
    assert model or found is NOTHING_ASKED
