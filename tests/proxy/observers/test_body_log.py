"""The opt-in log of bodies, and that without it no payload is written anywhere."""

from __future__ import annotations

import asyncio
import base64
import json
import stat
import threading
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.errors import BodyLogError
from proxy.observers import body_log
from proxy.observers.body_log import BodyLog, Entry
from simulator.provider.script import Answer, Refuse, Script
from simulator.provider.upstream import serve

CANARY = "the-canary-sings"
SECRETS = {
    "Authorization": "Bearer sk-secret-authorization",
    "Proxy-Authorization": "Basic secret-proxy",
    "X-Api-Key": "secret-x-api-key",
    "api-key": "secret-api-key",
    "Cookie": "theme=secret-cookie",
    "X-Goog-Api-Key": "secret-google",
    "Ocp-Apim-Subscription-Key": "secret-azure",
    "X-Auth-Token": "secret-token",
    "Sec-WebSocket-Protocol": "realtime, openai-insecure-api-key.secret-insecure",
}


async def ask(proxy: Any, body: bytes) -> None:
    headers = {**SECRETS, "Content-Type": "application/json"}
    async with aiohttp.ClientSession() as session:
        async with session.post(
            proxy.base_url + "/responses?limit=1&key=secret-query", data=body, headers=headers
        ) as answer:
            await answer.read()


async def test_requests_and_responses_are_logged_without_secrets(start_proxy: Any, tmp_path: Path) -> None:
    path = tmp_path / "bodies.ndjson"
    answers = Answer(headers=(("Set-Cookie", "secret-set-cookie"),))
    async with serve(Script((answers,))) as upstream:
        proxy = await start_proxy(upstream.base_url, server={"request_log_path": str(path)})
        await ask(proxy, json.dumps({"model": "gpt-5.4", "input": CANARY}).encode())
        await ask(proxy, b"\xff\xfe not text")
        sent = upstream.log[0].sent
        await asyncio.sleep(0.3)  # the log's thread writes what waits
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [entry["event"] for entry in entries] == ["request", "response"] * 2
    assert entries[0]["id"] == entries[1]["id"] != entries[2]["id"]
    assert CANARY in entries[0]["body"]
    assert entries[1]["body"].encode() == sent
    assert base64.b64decode(entries[2]["body_base64"]) == b"\xff\xfe not text"
    assert "secret" not in path.read_text(encoding="utf-8")
    assert path.read_text(encoding="utf-8").count("[redacted]") >= 11
    assert entries[0]["target"] == "/v1/responses?limit=1&key=[redacted]"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_without_it_no_payload_is_written(
    start_proxy: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    refused = Refuse(400, "invalid_value", "invalid_request_error", f"Invalid value: '{CANARY}'.")
    async with serve(Script((Answer(word=CANARY), Answer(fault=refused)))) as upstream:
        proxy = await start_proxy(upstream.base_url)
        for _ in range(2):
            await ask(proxy, json.dumps({"model": "gpt-5.4", "input": CANARY}).encode())
        ok, failed = proxy.rows()
        written = proxy.log.getvalue() + "".join(capfd.readouterr())
    assert failed["error_message"] == "Invalid value: [...]"
    for text in (
        str(ok),
        str(failed),
        written,
        *(p.read_bytes().decode("latin-1") for p in tmp_path.iterdir()),
    ):
        assert CANARY not in text
        assert "sk-secret-authorization" not in text


def test_overflow_drops_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_log, "MAX_WAITING", 2)
    log = BodyLog(tmp_path / "bodies")
    for number in range(5_000):
        log.put(Entry({"number": number}, b"", 0))
    log.close()
    written = (tmp_path / "bodies").read_text().splitlines()
    assert log.dropped > 0
    assert len(written) + log.dropped == 5_000
    assert log.new_losses() == log.dropped
    assert log.new_losses() == 0


def test_a_long_body_is_cut_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_log, "MAX_BODY", 10)
    log = BodyLog(tmp_path / "bodies")
    record = log.record("one")
    record.request("POST", "/v1/responses", [])
    for _ in range(3):
        record.feed(b"abcdefg")
    record.end()
    log.close()
    entry = json.loads((tmp_path / "bodies").read_text())
    assert (entry["body"], entry["truncated_from_bytes"]) == ("abcdefgabc", 21)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(BodyLogError, match=r"request_log_path .*: Is a directory"):
        BodyLog(tmp_path)


@pytest.mark.parametrize("name", [*SECRETS, "?key"])
async def test_a_secret_that_a_body_repeats_is_left_out(start_proxy: Any, tmp_path: Path, name: str) -> None:
    path = tmp_path / "bodies.ndjson"
    secret = SECRETS.get(name, "secret-query").rpartition(" ")[2].rpartition("=")[2].rpartition("key.")[2]
    said = Refuse(401, "invalid_api_key", "invalid_request_error", f"Incorrect API key: {secret}.")
    async with serve(Script((Answer(fault=said),))) as upstream:
        proxy = await start_proxy(upstream.base_url, server={"request_log_path": str(path)})
        await ask(proxy, json.dumps({"model": "gpt-5.4", "input": f"I am {secret}"}).encode())
        proxy.service.instruments.body_log.close()
    request, response = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    assert "I am [redacted]" in request["body"]
    assert "Incorrect API key: [redacted]." in response["body"]


async def test_so_is_an_account_s(start_proxy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_ANNA", "a-secret-of-words")
    path = tmp_path / "bodies.ndjson"
    said = Refuse(400, "bad", "invalid_request_error", "Incorrect API key: a-secret-of-words.")
    async with serve(Script((Answer(fault=said),))) as upstream:
        accounts = {"anna": {"credential": "env:KEY_ANNA"}}
        proxy = await start_proxy(
            upstream.base_url, server={"request_log_path": str(path)}, accounts=accounts
        )
        async with aiohttp.ClientSession() as session:
            async with session.post(proxy.base_url + "/responses", json={"model": "gpt-5.4"}) as answer:
                assert "a-secret-of-words" in await answer.text()  # to the caller it goes as it came
        proxy.service.instruments.body_log.close()
    assert "a-secret-of-words" not in path.read_text(encoding="utf-8")
    assert "[redacted]" in path.read_text(encoding="utf-8")


def test_bodies_that_a_slow_disk_keeps_waiting_are_bounded_and_nobody_waits_for_it_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_log, "MAX_WAITING_BYTES", 250)
    monkeypatch.setattr(body_log, "CLOSE_SECONDS", 0.05)
    go_on, line = threading.Event(), Entry.line

    def slowly(entry: Entry) -> str:
        go_on.wait(30)
        return line(entry)

    monkeypatch.setattr(Entry, "line", slowly)
    log = BodyLog(tmp_path / "bodies.ndjson")
    for number in range(5):
        log.put(Entry({"id": number}, b"x" * 100, 100))
    assert log.dropped == 3
    log.close()
    go_on.set()
    log._thread.join(30)
    log.put(Entry({"id": 9}, b"x" * 100, 100))
    assert log.dropped == 3, "what was written makes room"
    log._file.close()
    assert len((tmp_path / "bodies.ndjson").read_text().splitlines()) == 2
