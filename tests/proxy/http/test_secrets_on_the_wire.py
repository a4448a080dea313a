"""Every way in which a secret may come, and every place in which a provider may repeat it: none keeps it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.proxy.conftest import Message, Scene, Wire

SECRETS = {
    "words": "a-secret-of-plain-words",
    "openai": "sk-proj-Abc_123-xyz0",
    "groq": "gsk_0123456789abcdefCANARY",
    "uuid": "f47ac10b-58cc-4372-a567-0e02b2CANARY",
    "letters": "AbCdEfGhIjKlMnOp",
}

COMES: dict[str, tuple[str, str]] = {
    "Authorization": ("Authorization: Bearer {}", ""),
    "Authorization bare": ("Authorization: {}", ""),
    "x-api-key": ("x-api-key: {}", ""),
    "api-key": ("api-key: {}", ""),
    "x-goog-api-key": ("x-goog-api-key: {}", ""),
    "X-Auth-Token": ("X-Auth-Token: {}", ""),
    "Ocp-Apim": ("Ocp-Apim-Subscription-Key: {}", ""),
    "Cookie": ("Cookie: a=1; session={}", ""),
    "subprotocol": ("Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{}", ""),
    "?key": ("Accept: */*", "?key={}"),
}

GOES: dict[str, Callable[[str], dict[str, Any]]] = {
    "a message": lambda s: {
        "error": {"message": f"Incorrect API key provided: {s}. Check it.", "code": "bad"}
    },
    "a message that echoes": lambda s: {
        "error": {"message": f"got x-foo={s} in /v1/responses", "code": "bad"}
    },
    "a part": lambda s: {"error": {"message": f"the key that begins {s[:14]}", "code": "bad"}},
    "the end of a long message": lambda s: {"error": {"message": "no " * 1350 + s * 9, "code": "bad"}},
    "a code": lambda s: {"error": {"message": "no", "code": s}},
    "a type": lambda s: {"error": {"message": "no", "type": s}},
    "a text": lambda s: {"error": s},
    "a detail": lambda s: {"detail": f"Unauthorized {s}"},
}


def kept(scene: Scene, caplog: pytest.LogCaptureFixture) -> str:
    """All that the proxy stored, logged and exposes."""
    rows = json.dumps(scene.proxy.rows(), default=str)
    files = [
        path.read_bytes().decode("latin-1") for path in scene.database.parent.iterdir() if path.is_file()
    ]
    return "".join((rows, scene.proxy.log.getvalue(), caplog.text, str(scene.proxy.samples()), *files))


@pytest.mark.parametrize("comes", COMES)
@pytest.mark.parametrize("secret", SECRETS.values(), ids=list(SECRETS))
async def test_a_caller_s_secret_is_kept_nowhere(
    scene: Scene, wire: type[Wire], caplog: pytest.LogCaptureFixture, comes: str, secret: str
) -> None:
    answers = [wire.answer(json.dumps(goes(secret)).encode(), status="401 No") for goes in GOES.values()]
    await scene.begin(*answers)
    header, query = (text.replace("{}", secret) for text in COMES[comes])
    for _ in GOES:
        answer: Message = await scene.ask(wire.request(b"{}", header, path=f"/v1/responses{query}"))
        assert answer.start == b"HTTP/1.1 401 No"
    assert len(await scene.rows(len(GOES))) == len(GOES)
    assert secret[:12] not in kept(scene, caplog)


@pytest.mark.parametrize("goes", GOES)
async def test_an_account_s_secret_is_kept_nowhere(
    scene: Scene,
    wire: type[Wire],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    goes: str,
) -> None:
    secret = SECRETS["words"]
    monkeypatch.setenv("KEY_ANNA", secret)
    body = json.dumps(GOES[goes](secret)).encode()
    answers = [wire.answer(body, status=f"{status} No") for status in (400, 500, 429, 401)]
    await scene.begin(*answers, accounts={"anna": {"credential": "env:KEY_ANNA"}})
    for _ in answers:
        await scene.ask(wire.request(b"{}"))
    assert len(await scene.rows(4)) == 4
    await scene.end()  # marks are written by then
    assert secret[:12] not in kept(scene, caplog)


async def test_our_own_key_is_kept_nowhere(
    scene: Scene, wire: type[Wire], caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps(GOES["a message"](SECRETS["words"])).encode()
    own: Any = {"openai_api_key": SECRETS["words"]}
    await scene.begin(wire.answer(body, status="401 No"), **own)
    await scene.ask(wire.request(b"{}"))
    assert scene.upstream.requests[0].values(b"Authorization") == [f"Bearer {SECRETS['words']}".encode()]
    assert SECRETS["words"] not in kept(scene, caplog)


REPEATS = [
    "User-Agent: agent {}",
    "session_id: {}",
    "x-client-request-id: id-{}",
    "x-request-id: {}",
    "X-Project: {}",
]


@pytest.mark.parametrize("repeats", REPEATS)
async def test_a_key_in_what_is_stored_of_every_request_is_left_out(
    scene: Scene, wire: type[Wire], caplog: pytest.LogCaptureFixture, repeats: str
) -> None:
    secret = SECRETS["words"]
    said = json.dumps({"model": secret, "service_tier": secret, "usage": {"input_tokens": 1}}).encode()
    await scene.begin(wire.answer(said, f"x-request-id: {secret}", "Content-Type: application/json"))
    headers = (f"Authorization: Bearer {secret}", repeats.replace("{}", secret))
    asked = json.dumps({"model": secret, "reasoning": {"effort": secret}}).encode()
    assert (await scene.ask(wire.request(asked, *headers))).start == b"HTTP/1.1 200 OK"
    assert len(await scene.rows(1)) == 1
    assert secret not in kept(scene, caplog)


async def test_a_secret_in_a_stream_s_error_is_kept_nowhere(
    scene: Scene, wire: type[Wire], caplog: pytest.LogCaptureFixture
) -> None:
    secret = SECRETS["words"]
    failed = {"type": "response.failed", "response": {"error": {"code": secret, "message": f"no {secret}"}}}
    await scene.begin(wire.stream() + wire.chunk(wire.events(failed)) + wire.end)
    await scene.ask(wire.request(b'{"stream":true}', f"x-api-key: {secret}"))
    (row,) = await scene.rows(1)
    assert row["error_code"] == "redacted"
    assert secret not in kept(scene, caplog)


@pytest.mark.parametrize("value", ["Basic \xff\xfe", "Basic caf\xe9", "gpt-5.4-whatever\xff", "\xe9" * 20])
@pytest.mark.parametrize("name", ["Authorization", "X-Auth-Token", "x-api-key"])
async def test_what_is_no_text_keeps_no_request_from_being_metered(
    scene: Scene, wire: type[Wire], name: str, value: str
) -> None:
    counts = {"input_tokens": 50, "output_tokens": 9}
    said = {"object": "response", "model": "gpt-5.4-whatever", "usage": counts, "service_tier": "\xe9" * 20}
    await scene.begin(wire.answer(json.dumps(said).encode()))
    request = wire.request(b'{"model":"gpt-5.4"}', f"{name}: {value}")
    assert (await scene.ask(request)).start == b"HTTP/1.1 200 OK"
    assert (await scene.row())["input_tokens"] == 50
