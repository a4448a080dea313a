"""Credentials are read from where they are kept, and shown nowhere."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ledger.accounts.configured import Reference, reference
from proxy.accounts.credentials import read_credential
from proxy.errors import CredentialError

SECRET = "hunter2-hunter2"


def read(text: str, **environ: str) -> tuple[tuple[str, str], ...]:
    return read_credential("anna", reference("anna", text), environ).headers


def refusal(text: str, **environ: str) -> str:
    with pytest.raises(CredentialError) as caught:
        read(text, **environ)
    error: BaseException | None = caught.value
    while error is not None:  # the causes too
        assert SECRET not in f"{error!s}{error!r}"
        error = error.__cause__
    assert str(caught.value).startswith("account 'anna': ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def auth(tmp_path: Path, document: object) -> Path:
    path = tmp_path / "auth.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_an_environment_variable() -> None:
    assert read_credential("anna", reference("anna", "env:KEY"), {"KEY": SECRET}).kind == "key"
    assert read("env:KEY", KEY=SECRET) == (("Authorization", f"Bearer {SECRET}"),)


def test_a_file_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{SECRET}\n")
    assert read(f"file:{tmp_path}/key") == (("Authorization", f"Bearer {SECRET}"),)


def test_a_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key").write_text(SECRET)
    assert read("file:~/key") == (("Authorization", f"Bearer {SECRET}"),)


def test_a_chatgpt_login(tmp_path: Path) -> None:
    tokens = {"access_token": SECRET, "refresh_token": "r", "account_id": "acc-1"}
    path = auth(tmp_path, {"OPENAI_API_KEY": None, "tokens": tokens})
    assert read(f"codex:{path}") == (("Authorization", f"Bearer {SECRET}"), ("chatgpt-account-id", "acc-1"))
    found = read_credential("anna", reference("anna", f"codex:{path}"), {})
    assert (found.can_refresh, found.kind) == (True, "login")


def test_a_chatgpt_login_that_cannot_be_refreshed_is_one_all_the_same(tmp_path: Path) -> None:
    path = auth(tmp_path, {"tokens": {"access_token": SECRET}})
    found = read_credential("anna", reference("anna", f"codex:{path}"), {})
    assert (found.can_refresh, found.kind) == (False, "login")


def test_an_api_key_in_an_auth_json(tmp_path: Path) -> None:
    path = auth(tmp_path, {"OPENAI_API_KEY": SECRET, "tokens": None})
    assert read(f"codex:{path}") == (("Authorization", f"Bearer {SECRET}"),)
    found = read_credential("anna", reference("anna", f"codex:{path}"), {})
    assert (found.can_refresh, found.kind) == (False, "key")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    assert "the environment variable KEY is not set" in refusal("env:KEY")
    assert "the environment variable KEY is not set" in refusal("env:KEY", KEY="  ")
    assert f"cannot read {tmp_path}/no: No such file" in refusal(f"file:{tmp_path}/no")
    assert f"cannot read {tmp_path}: Is a directory" in refusal(f"codex:{tmp_path}")


def test_a_path_that_names_nothing(tmp_path: Path) -> None:
    assert "there is no such home directory" in refusal("file:~nobody-of-this-name/key")
    for place in (f"{tmp_path}/\x00key", f"{tmp_path}/\ud800"):
        with pytest.raises(CredentialError, match="cannot be the name of a file"):
            read_credential("anna", Reference("file", place), {})


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """Opening a pipe waits for who writes to it, and /dev/zero never ends."""
    os.mkfifo(tmp_path / "pipe")
    assert "it is not a regular file" in refusal(f"file:{tmp_path}/pipe")
    assert "it is not a regular file" in refusal(f"codex:{tmp_path}/pipe")
    assert "it is not a regular file" in refusal("file:/dev/zero")


@pytest.mark.parametrize(
    "text", ["", f"{SECRET} {SECRET}", f"{SECRET}\n{SECRET}", f"ü{SECRET}", f"{SECRET}\x00"]
)
def test_what_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    assert "does not hold a key" in refusal(f"file:{tmp_path}/key")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(SECRET.encode() + b"\xff")
    assert "is not text" in refusal(f"file:{tmp_path}/key")


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (f'{{"tokens": "{SECRET}', "is not the auth.json"),
        ([SECRET], "is not the auth.json"),
        ("[" * 100_000, "is not the auth.json"),
        ({"tokens": SECRET}, "holds neither a login nor a key"),
        ({"tokens": {"refresh_token": SECRET}}, "holds neither a login nor a key"),
        ({"tokens": {"access_token": f"{SECRET}\r\nX: y"}}, "does not hold a key"),
        ({"tokens": {"access_token": "a", "account_id": f"{SECRET}\n"}}, "does not hold a key"),
    ],
)
def test_an_auth_json_that_is_none(tmp_path: Path, document: object, says: str) -> None:
    assert says in refusal(f"codex:{auth(tmp_path, document)}")


def test_a_credential_does_not_show_itself(tmp_path: Path) -> None:
    path = auth(tmp_path, {"tokens": {"access_token": SECRET, "refresh_token": SECRET, "account_id": SECRET}})
    found = read_credential("anna", reference("anna", f"codex:{path}"), {})
    assert SECRET not in f"{found} {found!r}"
