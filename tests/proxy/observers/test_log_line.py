"""One line for each request: names and counts, and nothing that could pass for another field."""

from __future__ import annotations

import io
import re
import shlex
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.values import NO_USAGE
from proxy.observers.log_line import LogLines, line

if TYPE_CHECKING:
    from tests.proxy.conftest import MakeEvent


def test_a_request(make_event: MakeEvent) -> None:
    assert line(make_event(latency_first_token_ms=99.6)) == (
        '2026-11-01T12:00:00Z status=success http=200 end=done route="POST /v1/responses" key=sk-a...wxyz '
        "account=default ms=1234 model=gpt-5.4 input=1000 cached=200 output=100 reasoning=50 "
        "first_token_ms=100"
    )


def test_what_is_unknown_is_left_out(make_event: MakeEvent) -> None:
    text = line(make_event(model=None, usage=NO_USAGE, status="error", http_status=502, error_code="broken"))
    assert text.endswith("ms=1234 error=broken")
    assert "input=" not in text


def test_no_content_and_no_message(make_event: MakeEvent) -> None:
    told = line(make_event(error_code="x", error_message="the prompt", session_id="s-1", user_agent="agent"))
    assert not {"prompt", "s-1", "agent"} & set(re.split(r"\W+", told))


@given(st.text(max_size=200), st.text(max_size=200))
@example("", "'\"")
@example("\x7f\\", "a\nb")
def test_whatever_callers_send_it_stays_one_line_of_fields(
    make_event: MakeEvent, model: str, code: str
) -> None:
    told = line(make_event(model=model, error_code=code, status="error"))
    assert told.isascii() and told.isprintable()
    fields = [field.partition("=")[0] for field in shlex.split(told)[1:]]
    assert fields == [
        *("status", "http", "end", "route", "key", "account", "ms", "model"),
        *("input", "cached", "output", "reasoning", "error"),
    ]


def test_lines_of_a_batch_are_flushed(make_event: MakeEvent) -> None:
    out = io.StringIO()
    lines = LogLines(out)
    lines([make_event(), make_event(model="other")])
    lines.deliver()
    assert [("model=gpt-5.4" in t, "model=other" in t) for t in out.getvalue().splitlines()] == [
        (True, False),
        (False, True),
    ]


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("kind", ["closed", "broken"])
def test_a_stream_that_is_gone_costs_only_the_lines(make_event: MakeEvent, kind: str) -> None:
    out = io.StringIO() if kind == "closed" else Broken()
    if kind == "closed":
        out.close()
    lines = LogLines(out)
    lines([make_event()])
    lines.deliver()
