"""One caller's request that no limit takes is that caller's alone: all others go on."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.proxy.conftest import Line, Message, Scene, Wire

OK = b'{"model":"gpt-4o","usage":{"input_tokens":1,"output_tokens":1}}'
TOO_LARGE = "Request too large for gpt-4o in organization org-x on tokens per min: Limit 300, Requested 500."
REACHED = (
    "Rate limit reached for gpt-4o in organization org-x on tokens per min: Limit 3, Used 3, Requested 1."
)


def refusal(message: str) -> bytes:
    return json.dumps(
        {"error": {"message": message, "type": "tokens", "param": None, "code": "rate_limit_exceeded"}}
    ).encode()


def provider(wire: type[Wire], refuses: Callable[[bytes], str | None]) -> Callable[[Line], Awaitable[None]]:
    """A provider that refuses by what a body says."""

    async def play(line: Line) -> None:
        while True:
            message: Message = await line.message()
            text = refuses(message.body)
            answer = (
                wire.answer(OK)
                if text is None
                else wire.answer(refusal(text), status="429 Too Many Requests")
            )
            await line.send(answer)

    return play


@pytest.fixture(autouse=True)
def accounts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for number in range(3):
        monkeypatch.setenv(f"K{number}", f"sk-{number}")
    return {name: {"credential": f"env:K{number}"} for number, name in enumerate("abc")}


def body(model: str, text: str = "hi") -> bytes:
    return json.dumps({"model": model, "input": text}).encode()


async def test_a_request_too_large_refuses_nobody_else(
    scene: Scene, wire: type[Wire], accounts: dict[str, Any]
) -> None:
    await scene.begin(
        provider(wire, lambda asked: TOO_LARGE if b"large" in asked else None), accounts=accounts
    )
    for _ in range(6):
        refused = await scene.ask(wire.request(body("gpt-4o", "large")))
        assert refused.start.startswith(b"HTTP/1.1 429")
        assert b"Request too large" in refused.body
    for model in ("gpt-4o", "gpt-4o-mini"):
        answer = await scene.ask(wire.request(body(model)))
        assert answer.start == b"HTTP/1.1 200 OK"


async def test_a_model_s_limit_refuses_no_other_model(
    scene: Scene, wire: type[Wire], accounts: dict[str, Any]
) -> None:
    text = f"{REACHED} Please try again in 60s."
    await scene.begin(provider(wire, lambda asked: text if b"gpt-4o" in asked else None), accounts=accounts)
    for _ in range(2):
        refused = await scene.ask(wire.request(body("gpt-4o")))
        assert refused.start.startswith(b"HTTP/1.1 429")
    assert len(scene.upstream.requests) == 3, "each account has said it once"
    (wait,) = refused.values(b"Retry-After")
    assert 50 <= int(wait) <= 60
    assert (await scene.ask(wire.request(body("o3")))).start == b"HTTP/1.1 200 OK"
