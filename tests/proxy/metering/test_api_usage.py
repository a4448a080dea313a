"""What each API reports, whole and streamed, arrives in the ledger and in the metrics in our terms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.proxy.conftest import Scene, Wire

CHAT = {
    "prompt_tokens": 1200,
    "completion_tokens": 340,
    "total_tokens": 1540,
    "prompt_tokens_details": {"cached_tokens": 200, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 40},
}
RESPONSES = {
    "input_tokens": 1200,
    "input_tokens_details": {"cached_tokens": 200},
    "output_tokens": 340,
    "output_tokens_details": {"reasoning_tokens": 40},
    "total_tokens": 1540,
}
MESSAGES = {
    "input_tokens": 700,
    "cache_creation_input_tokens": 300,
    "cache_read_input_tokens": 200,
    "output_tokens": 340,
}
FULL = (1200, 340, 200, 40)
COUNTS = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")

WHOLE = [
    pytest.param("/v1/chat/completions", {"model": "gpt-5.4", "usage": CHAT}, FULL, id="chat"),
    pytest.param("/v1/completions", {"model": "gpt-5.4", "usage": CHAT}, FULL, id="completions"),
    pytest.param("/v1/responses", {"model": "gpt-5.4", "usage": RESPONSES}, FULL, id="responses"),
    pytest.param(
        "/v1/embeddings",
        {"model": "gpt-5.4", "usage": {"prompt_tokens": 8, "total_tokens": 8}},
        (8, 0, None, None),
        id="embeddings",
    ),
    pytest.param(
        "/v1/messages",
        {"type": "message", "model": "gpt-5.4", "usage": MESSAGES},
        (1200, 340, 200, None),
        id="messages",
    ),
]


def responses_ending(kind: str, **fields: object) -> tuple[dict[str, Any], ...]:
    response = {"model": "gpt-5.4", "usage": RESPONSES, **fields}
    created = {"type": "response.created", "response": {"model": "gpt-5.4", "usage": None}}
    return (
        created,
        {"type": "response.output_text.delta", "delta": "x"},
        {"type": f"response.{kind}", "response": response},
    )


def deltas(choice: dict[str, Any]) -> dict[str, Any]:
    return {"model": "gpt-5.4", "choices": [choice], "usage": None}


STREAMED = [
    pytest.param(
        "/v1/chat/completions",
        (
            deltas({"delta": {"content": "x"}}),
            {"model": "gpt-5.4", "choices": [], "usage": CHAT},
            "[DONE]",
        ),
        FULL,
        id="chat",
    ),
    pytest.param(
        "/v1/completions",
        (deltas({"text": "x"}), {"model": "gpt-5.4", "choices": [], "usage": CHAT}, "[DONE]"),
        FULL,
        id="completions",
    ),
    pytest.param("/v1/responses", responses_ending("completed"), FULL, id="responses completed"),
    pytest.param("/v1/responses", responses_ending("incomplete"), FULL, id="responses incomplete"),
    pytest.param(
        "/v1/messages",
        (
            {
                "type": "message_start",
                "message": {"model": "gpt-5.4", "usage": {**MESSAGES, "output_tokens": 1}},
            },
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x"}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 340}},
            {"type": "message_stop"},
        ),
        (1200, 340, 200, None),
        id="messages",
    ),
    pytest.param(
        "/v1/messages",
        (
            {
                "type": "message_start",
                "message": {"model": "gpt-5.4", "usage": {"input_tokens": 5, "output_tokens": 1}},
            },
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x"}},
            {"type": "message_delta", "usage": MESSAGES},
            {"type": "message_stop"},
        ),
        (1200, 340, 200, None),
        id="messages that count everything at the end",
    ),
]


def counts(row: dict[str, Any]) -> tuple[int | None, ...]:
    return tuple(row[name] for name in COUNTS)


def check_metrics(scene: Scene, expected: tuple[int | None, ...]) -> None:
    samples = scene.proxy.samples()
    for kind, count in zip(("input", "output", "cached_input", "reasoning"), expected, strict=True):
        assert samples[f'codex_lb_proxy_tokens_total{{kind="{kind}",model="gpt-5.4"}}'] == (count or 0)


@pytest.mark.parametrize(("path", "document", "expected"), WHOLE)
async def test_a_whole_answer(
    scene: Scene, wire: type[Wire], path: str, document: dict[str, Any], expected: tuple[int | None, ...]
) -> None:
    await scene.begin(wire.answer(json.dumps(document).encode()))
    await scene.ask(wire.request(b'{"model": "asked-for"}', path=path))
    row = await scene.row()
    assert counts(row) == expected
    assert (row["status"], row["model"], row["latency_first_token_ms"]) == ("success", "gpt-5.4", None)
    check_metrics(scene, expected)


@pytest.mark.parametrize(("path", "documents", "expected"), STREAMED)
async def test_a_stream(
    scene: Scene,
    wire: type[Wire],
    path: str,
    documents: tuple[dict[str, Any] | str, ...],
    expected: tuple[int | None, ...],
) -> None:
    await scene.begin(wire.stream() + wire.chunk(wire.events(*documents)) + wire.end)
    await scene.ask(wire.request(path=path))
    row = await scene.row()
    assert counts(row) == expected
    assert (row["status"], row["end_reason"], row["model"]) == ("success", "done", "gpt-5.4")
    assert 0 < row["latency_first_token_ms"] <= row["latency_ms"]
    check_metrics(scene, expected)


async def test_a_response_that_failed_is_an_error_with_its_usage(scene: Scene, wire: type[Wire]) -> None:
    error = {"code": "server_error", "message": "The model failed."}
    documents = responses_ending("failed", error=error)
    await scene.begin(wire.stream() + wire.chunk(wire.events(*documents)) + wire.end)
    await scene.ask(wire.request())
    row = await scene.row()
    assert counts(row) == FULL
    assert (row["status"], row["http_status"], row["end_reason"]) == ("error", 200, "done")
    assert (row["error_code"], row["error_message"]) == ("server_error", "The model failed.")


async def test_the_served_model_and_tier_beat_the_requested_ones(scene: Scene, wire: type[Wire]) -> None:
    answer = {"model": "gpt-5.4-2026-03-05", "service_tier": "flex", "usage": RESPONSES}
    await scene.begin(wire.answer(json.dumps(answer).encode()))
    asked = {"model": "gpt-5.4", "service_tier": "auto", "reasoning": {"effort": "low"}}
    await scene.ask(wire.request(json.dumps(asked).encode()))
    row = await scene.row()
    assert (row["model"], row["service_tier"]) == ("gpt-5.4-2026-03-05", "flex")
    assert row["reasoning_effort"] == "low"


@pytest.mark.parametrize(
    ("method", "path", "template"),
    [
        ("GET", "/v1/responses/resp_1", "/v1/responses/{id}"),
        ("GET", "/v1/responses/resp_1?stream=true", "/v1/responses/{id}"),
        ("POST", "/v1/responses/resp_1/cancel", "/v1/responses/{id}"),
        ("GET", "/v1/chat/completions/chatcmpl-1", "/v1/chat/completions/{id}"),
    ],
)
async def test_a_stored_answer_that_is_read_again_is_not_counted_again(
    scene: Scene, wire: type[Wire], method: str, path: str, template: str
) -> None:
    document = json.dumps({"model": "gpt-5.4", "usage": RESPONSES}).encode()
    await scene.begin(wire.answer(document))
    assert (await scene.ask(wire.request(b"", path=path, method=method))).body == document
    row = await scene.row()
    assert (row["status"], row["request_kind"]) == ("success", "read")
    assert counts(row) == (None,) * 4
    samples = scene.proxy.samples()
    requests = {"method": method, "path": template, "status": "200"}
    labels = ",".join(f'{name}="{value}"' for name, value in requests.items())
    assert samples[f"http_requests_total{{{labels}}}"] == 1
    assert not [n for n, v in samples.items() if v and ("tokens_total" in n or "unpriced" in n)]


async def test_usage_that_a_stream_was_not_asked_for_counts_as_missing(
    scene: Scene, wire: type[Wire]
) -> None:
    events = wire.events(deltas({"delta": {"content": "x"}}), "[DONE]")
    await scene.begin(wire.stream() + wire.chunk(events) + wire.end)
    asked = b'{"model": "gpt-5.4", "stream": true, "stream_options": {"include_usage": false}}'
    answer = await scene.ask(wire.request(asked, path="/v1/chat/completions"))
    assert answer.body == events
    assert scene.upstream.requests[0].body == asked
    row = await scene.row()
    assert (row["status"], row["end_reason"], counts(row)) == ("success", "done", (None,) * 4)
    missing = 'codex_lb_proxy_unpriced_success_total{api="chat_completions",reason="missing_usage"}'
    assert scene.proxy.samples()[missing] == 1


async def test_the_usage_chunk_that_a_client_asked_for_stays_in_its_stream(
    scene: Scene, wire: type[Wire]
) -> None:
    events = wire.events({"model": "gpt-5.4", "choices": [], "usage": CHAT}, "[DONE]")
    await scene.begin(wire.stream() + wire.chunk(events) + wire.end)
    asked = b'{"model": "gpt-5.4", "stream": true, "stream_options": {"include_usage": true}}'
    assert (await scene.ask(wire.request(asked, path="/v1/chat/completions"))).body == events


@pytest.mark.parametrize("status", ["429 Too Many Requests", "500 Internal Server Error"])
async def test_an_http_error_that_carries_usage(scene: Scene, wire: type[Wire], status: str) -> None:
    error = {"type": "requests", "code": "slow_down", "message": "Slow down."}
    body = json.dumps({"error": error, "usage": RESPONSES}).encode()
    await scene.begin(wire.answer(body, status=status))
    assert (await scene.ask(wire.request())).body == body
    row = await scene.row()
    assert counts(row) == FULL
    assert (row["status"], row["error_code"], row["error_message"]) == ("error", "slow_down", "Slow down.")
    samples = scene.proxy.samples()
    assert samples['codex_lb_proxy_errors_total{error_code="slow_down"}'] == 1
    check_metrics(scene, FULL)
    assert not [n for n, v in samples.items() if v and n.startswith("token_usage")], "only of 200 answers"


ERRORS_INSIDE = [
    pytest.param(
        "/v1/chat/completions",
        {"error": {"message": "Broken.", "type": "server_error", "code": "server_error"}},
        id="chat",
    ),
    pytest.param(
        "/v1/responses", {"type": "error", "code": "server_error", "message": "Broken."}, id="responses"
    ),
    pytest.param(
        "/v1/messages",
        {"type": "error", "error": {"type": "server_error", "message": "Broken."}},
        id="messages",
    ),
]


@pytest.mark.parametrize(("path", "error"), ERRORS_INSIDE)
@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
async def test_an_error_inside_a_200_answer(
    scene: Scene, wire: type[Wire], path: str, error: dict[str, Any], streamed: bool
) -> None:
    begun = deltas({"delta": {"content": "x"}})
    whole = wire.answer(json.dumps(error).encode())
    stream = wire.stream() + wire.chunk(wire.events(begun, error)) + wire.end
    await scene.begin(stream if streamed else whole)
    assert (await scene.ask(wire.request(path=path))).complete
    row = await scene.row()
    assert (row["status"], row["http_status"]) == ("error", 200)
    assert (row["error_code"], row["error_message"]) == ("server_error", "Broken.")
    assert scene.proxy.samples()['codex_lb_proxy_errors_total{error_code="server_error"}'] == 1


UNREADABLE = [
    pytest.param(b'{"model": "\xff"}', id="not UTF-8"),
    pytest.param(b'{"model": ' + b"[" * 100_000, id="deeply nested"),
]


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"text"', b"{", b"\xff", *UNREADABLE])
async def test_an_answer_that_is_no_json_object_is_still_one_event(
    scene: Scene, wire: type[Wire], body: bytes
) -> None:
    await scene.begin(wire.answer(body))
    assert (await scene.ask(wire.request())).body == body
    row = await scene.row()
    assert (row["status"], counts(row)) == ("success", (None,) * 4)


@pytest.mark.parametrize("body", [b"null", b"{", b'{"model": 5}', b"\xff", *UNREADABLE])
async def test_a_request_that_is_no_json_object_is_still_one_event(
    scene: Scene, wire: type[Wire], body: bytes
) -> None:
    await scene.begin(wire.answer(b'{"error": {"code": "invalid_json"}}', status="400 Bad Request"))
    assert (await scene.ask(wire.request(body))).start == b"HTTP/1.1 400 Bad Request"
    assert scene.upstream.requests[0].body == body
    assert (await scene.row())["error_code"] == "invalid_json"
