"""Reading usage out of one JSON document: the counts of every API, and no harm from junk."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.values import NO_USAGE, Usage
from proxy.metering.asked import NOTHING_ASKED, Asked, read_request
from proxy.metering.numbers import MAX_TOKENS
from proxy.metering.usage import NOTHING, read_answer, tokens

NAMES = [
    *("type", "model", "usage", "response", "message", "error", "code", "reasoning", "service_tier"),
    *("input_tokens", "prompt_tokens", "output_tokens_details", "cached_tokens", "cache_read_input_tokens"),
    "anything_else",
]
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)  # fmt: skip
APIS = st.sampled_from(["responses", "chat_completions", "messages", "embeddings"])


@given(JUNK, APIS)
def test_json_of_any_shape_never_raises(document: object, api: str) -> None:
    body = json.dumps(document).encode()
    report = read_answer(body, api)
    read_request(body)
    for count in (
        report.usage.input_tokens,
        report.usage.output_tokens,
        report.usage.cached_input_tokens,
        report.usage.reasoning_tokens,
    ):
        assert count is None or 0 <= count <= 3 * MAX_TOKENS
    assert report.model is None or isinstance(report.model, str)


@given(st.binary(max_size=60).filter(bytes.isascii))
def test_ascii_that_is_no_json_says_nothing(body: bytes) -> None:
    assert read_request(b"{" + body) == NOTHING_ASKED or body.strip().endswith(b"}")


NOT_UTF8 = b'{"model": "\xff", "usage": {"input_tokens": 1}}'
DEEP = b'{"model": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
LONE_SURROGATE = b'{"model": "\\ud800"}'


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            NOT_UTF8,
            id="not UTF-8",
        ),
        pytest.param(DEEP, id="deep"),
        pytest.param(
            b'{"type": []}',
            id="a type that is none",
        ),
        pytest.param(LONE_SURROGATE, id="a lone surrogate"),
    ],
)
def test_bytes_that_are_almost_json_say_nothing(body: bytes) -> None:
    assert read_request(body) == NOTHING_ASKED
    assert read_answer(body, "responses") == NOTHING


@pytest.mark.parametrize(
    ("usage", "api", "expected"),
    [
        (None, "responses", NO_USAGE),
        ([], "responses", NO_USAGE),
        ({"prompt_tokens": 8, "total_tokens": 8}, "embeddings", Usage(8, 0)),
        ({"prompt_tokens": 8}, "chat_completions", Usage(8, None)),
        ({"input_tokens": 10, "output_tokens": 2}, "responses", Usage(10, 2)),
        (
            {"input_tokens": 10, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 4}},
            "responses",
            Usage(10, 2, 4),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 20,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 7},
            },
            "chat_completions",
            Usage(10, 20, 4, 7),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 5}, "chat", Usage(9, 1, 5)),
        (
            {
                "input_tokens": 10,
                "cache_creation_input_tokens": 30,
                "cache_read_input_tokens": 200,
                "output_tokens": 2,
            },
            "messages",
            Usage(240, 2, 200, None, 30),
        ),
        ({"input_tokens": -1, "output_tokens": True}, "responses", NO_USAGE),
        ({"input_tokens": 1.5, "output_tokens": "7"}, "responses", NO_USAGE),
        ({"input_tokens": MAX_TOKENS + 1, "output_tokens": 2**80}, "responses", NO_USAGE),
        ({"input_tokens": 5, "input_tokens_details": None}, "responses", Usage(5)),
        ({"input_tokens": 5, "input_tokens_details": [1]}, "responses", Usage(5)),
    ],
)
def test_tokens(usage: object, api: str, expected: Usage) -> None:
    assert tokens(usage, api) == expected


@pytest.mark.parametrize(
    ("document", "code", "message"),
    [
        ({"error": {"code": "c", "type": "t", "message": "m"}}, "c", "m"),
        ({"error": {"code": None, "type": "t", "message": "m"}}, "t", "m"),
        ({"error": {"code": 429, "message": "m"}}, "error", "m"),
        ({"error": {}}, "error", None),
        ({"error": "broken"}, "error", "broken"),
        ({"error": None}, None, None),
        ({"type": "error", "code": "c", "message": "m"}, "c", "m"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, "overloaded_error", "m"),
        ({"type": "response.failed", "response": {"error": {"code": "c", "message": "m"}}}, "c", "m"),
        ({"type": "response.completed", "response": {"error": None}}, None, None),
    ],
)
def test_errors(document: dict[str, Any], code: str | None, message: str | None) -> None:
    report = read_answer(json.dumps(document).encode(), "responses")
    assert (report.error_code, report.error_message) == (code, message)


@pytest.mark.parametrize(
    ("kind", "final"),
    [
        ("response.completed", True),
        ("response.incomplete", True),
        ("response.failed", True),
        ("message_stop", True),
        ("error", True),
        ("response.created", False),
        ("message_delta", False),
        (None, False),
    ],
)
def test_final_events(kind: str | None, final: bool) -> None:
    assert read_answer(json.dumps({"type": kind}).encode(), "responses").final is final


def test_what_a_request_asks_for() -> None:
    document = {
        "model": "gpt-5.4",
        "stream": True,
        "stream_options": {"include_usage": True},
        "reasoning": {"effort": "high"},
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "input": "never looked at",
    }
    asked = read_request(json.dumps(document).encode())
    assert asked == Asked("gpt-5.4", True, True, "high", "flex", "k", len("never looked at"))
    assert read_request(b'{"reasoning_effort": "low"}').reasoning_effort == "low"


HALF = r'"\ud800"'


@pytest.mark.parametrize(
    "usage", [f"{HALF}:1", f'"completion_tokens":{HALF}', f'"prompt_tokens_details":{HALF}', f'"x":[{HALF}]']
)
def test_halves_of_letters_keep_no_count_from_being_read(usage: str) -> None:
    error = r'"error":{"message":"\ud800"}'
    report = read_answer(f'{{"usage":{{"prompt_tokens":3,{usage}}},{error}}}'.encode(), "chat_completions")
    assert (report.usage.input_tokens, report.error_message) == (3, "?")
