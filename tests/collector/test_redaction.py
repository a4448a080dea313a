"""No clear key stays in an event, wherever and however it stands there; everything else keeps its bytes."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from collector.inbox_file import pack, unpack
from collector.redaction import masked, redact, token
from tests.support.gateway.records import encoded, record

CALLER = "ck-live/+9fQ2<x>&Zt7LmB4"
UPSTREAM = "up_Kq83nVw0Lr5Tz6Yb"


def event(**changed: Any) -> dict[str, Any]:
    made = record(1, datetime(2026, 11, 28, tzinfo=UTC), random.Random(1))
    return {**made, "api_key": CALLER, "source": UPSTREAM, **changed}


def spellings(secret: str) -> list[bytes]:
    once = json.dumps(secret)[1:-1]
    as_go = once.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return [text.encode() for text in (secret, once, as_go, json.dumps(as_go)[1:-1])]


QUOTES = {
    "as it is": "refused: {}",
    "in JSON": '{{"error":{{"message":"Incorrect API key provided: {}."}}}}',
    "twice": "{} and again {}",
    "in a URL": "Post https://h/v1?key={}: EOF",
}


@pytest.mark.parametrize("quote", QUOTES.values(), ids=QUOTES.keys())
@pytest.mark.parametrize("secret", [CALLER, UPSTREAM])
@pytest.mark.parametrize("write", [encoded, lambda e: json.dumps(e).encode()])
def test_a_key_is_nowhere(quote: str, secret: str, write: Any) -> None:
    inner = json.dumps(secret)[1:-1] if quote.startswith("{{") else secret
    raw = write(event(fail={"status_code": 401, "body": quote.format(inner, inner)}))
    clean = redact(raw)
    assert not [form for form in spellings(secret) if form in clean]
    assert json.loads(clean)["fail"]["status_code"] == 401


def test_a_key_stays_one_key_and_its_mask_can_be_read() -> None:
    clean = json.loads(redact(encoded(event())))
    assert clean["api_key"] == token(CALLER) == json.loads(redact(encoded(event(model="x"))))["api_key"]
    assert masked(clean["api_key"]) == "ck-l...LmB4"
    assert token(CALLER) != token(CALLER + "x")


def test_everything_else_keeps_its_bytes() -> None:
    raw = b'{"timestamp" : "2026",\n "tokens":{"a":1.0}, "api_key":"' + b"k" * 20 + b'","x":[1, 2]}'
    expected = raw.replace(b"k" * 20, token("k" * 20).encode())
    assert redact(raw) == expected
    assert redact(b'{"refresh":true}') == b'{"refresh":true}'


def test_the_address_of_a_login_stays() -> None:
    assert json.loads(redact(encoded(event(source="anna@example.org"))))["source"] == "anna@example.org"


@pytest.mark.parametrize("key", ["model", "usage", "failed", "a", "x1", "tokens"])
def test_a_key_that_is_a_word_breaks_nothing(key: str) -> None:
    raw = encoded(event(api_key=key))
    clean = json.loads(redact(raw))
    assert clean["api_key"] == "short_key"
    assert clean["model"] == json.loads(raw)["model"]


@pytest.mark.parametrize(
    "raw",
    [
        f'{{"api_key":"{UPSTREAM}","cut'.encode(),
        f'{{"api_key":"{UPSTREAM}'.encode(),
        f'not json, "api_key": "{UPSTREAM}" {UPSTREAM}'.encode(),
        b'{"a":"Authorization: Bearer ' + UPSTREAM.encode() + b'"}',
        b'{"error":"sk-proj-' + UPSTREAM.encode() + b'"}',
        b'{"response_headers":{"Set-Cookie":["' + UPSTREAM.encode() + b'; Path=/"]}}',
        b'{"new":{"refresh_token":"' + UPSTREAM.encode() + b'"}}',
    ],
)
def test_what_is_no_record_of_ours_keeps_no_key_either(raw: bytes) -> None:
    assert UPSTREAM.encode() not in redact(raw)


def test_short_keys_are_not_hashed() -> None:
    assert token("secret-12") == "secr...t-12"
    assert token("secret") == "short_key"
    assert masked(None) == "unknown"


@pytest.mark.parametrize("raw", [b"", b"{}", encoded(event()), b"\x00\xff" * 300, b"x"])
def test_what_is_packed_is_unpacked(raw: bytes) -> None:
    assert unpack(pack(raw)) == raw


def test_a_usual_event_packs_well() -> None:
    rng = random.Random(2)
    raws = [redact(encoded(record(n, datetime.now(UTC), rng))) for n in range(50)]
    assert sum(map(len, map(pack, raws))) < sum(map(len, raws)) / 3


def test_damaged_bytes_are_said_to_be() -> None:
    with pytest.raises(ValueError, match="damaged"):
        unpack(b"\x01\xff\xff\xff")
    with pytest.raises(ValueError, match="newer version"):
        unpack(b"\x09abc")
