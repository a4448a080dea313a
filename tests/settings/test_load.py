from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from settings.errors import SettingsError
from settings.load import ENVIRONMENT, load
from settings.model import Settings

OVERRIDES: dict[str, tuple[str, Callable[[Settings], object], object]] = {
    "CODEX_USAGE_LISTEN_ADDR": ("127.0.0.1:1", lambda s: s.server.listen_addr, "127.0.0.1:1"),
    "CODEX_USAGE_UPSTREAM_BASE_URL": ("http://h/v1", lambda s: s.server.upstream_base_url, "http://h/v1"),
    "CODEX_USAGE_LOG_FILE": ("env.jsonl", lambda s: s.server.request_log_path, Path("env.jsonl")),
    "CODEX_USAGE_DB_PATH": ("env.db", lambda s: s.storage.database_path, Path("env.db")),
    "CODEX_USAGE_DATABASE_URL": (
        "postgresql://env/usage",
        lambda s: s.storage.database_url,
        "postgresql://env/usage",
    ),
    "CODEX_USAGE_INSTANCE_ID": ("env", lambda s: s.storage.instance_id, "env"),
    "CODEX_LB_METRICS_ACCOUNT_IDENTITY_MODE": (
        "account_id",
        lambda s: s.metrics.account_identity_mode,
        "account_id",
    ),
    "OPENAI_API_KEY": (
        "sk-1",
        lambda s: s.openai_api_key and s.openai_api_key.get_secret_value(),
        "sk-1",
    ),
}
"""Variable -> a value, where it goes, and its effect."""

FILE = """
[server]
listen_addr = "127.0.0.1:2"
upstream_base_url = "http://file"
request_log_path = "file.jsonl"
[storage]
database_path = "file.db"
[metrics]
account_identity_mode = "email"
"""


def test_every_variable_is_tried_below() -> None:
    assert set(OVERRIDES) == set(ENVIRONMENT)


@pytest.mark.parametrize("variable", OVERRIDES)
@pytest.mark.parametrize("text", ["", FILE], ids=["no file key", "file key"])
def test_a_variable_overrides_the_file(written: Callable[[str], Path], variable: str, text: str) -> None:
    given, find, expected = OVERRIDES[variable]
    path = written(text)
    assert find(load(path, {})) != expected
    assert find(load(path, {variable: given})) == expected


@pytest.mark.parametrize("variable", OVERRIDES)
def test_an_empty_variable_is_none(written: Callable[[str], Path], variable: str) -> None:
    path = written(FILE)
    assert load(path, {variable: ""}) == load(path, {})


def test_a_database_file_from_the_environment_replaces_a_database_url(
    written: Callable[[str], Path],
) -> None:
    path = written('[storage]\ndatabase_url = "postgresql://db/usage"')
    storage = load(path, {"CODEX_USAGE_DB_PATH": "env.db"}).storage
    assert (storage.database_path, storage.database_url) == (Path("env.db"), None)


@pytest.mark.parametrize(
    ("variable", "given", "line"),
    [
        (
            "CODEX_USAGE_LISTEN_ADDR",
            "8787",
            "CODEX_USAGE_LISTEN_ADDR: server.listen_addr = '8787': allowed: ",
        ),
        (
            "CODEX_USAGE_UPSTREAM_BASE_URL",
            "h",
            "CODEX_USAGE_UPSTREAM_BASE_URL: server.upstream_base_url = 'h'",
        ),
        (
            "CODEX_LB_METRICS_ACCOUNT_IDENTITY_MODE",
            "name",
            "CODEX_LB_METRICS_ACCOUNT_IDENTITY_MODE: metrics.account_identity_mode = 'name': ",
        ),
    ],
)
def test_a_wrong_variable_is_named(
    written: Callable[[str], Path], variable: str, given: str, line: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(written(""), {variable: given})
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_the_key_of_the_environment_is_not_in_the_representation(written: Callable[[str], Path]) -> None:
    assert "sk-secret" not in repr(load(written(""), {"OPENAI_API_KEY": "sk-secret"}))


def test_without_any_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(None, {}) == Settings()


def test_the_file_of_the_working_directory_is_read(
    written: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(written(FILE).parent)
    assert load(None, {}).server.upstream_base_url == "http://file"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "colour = 1",
            "unknown key; allowed here: accounts, callers, collector, console, exporter, metering, metrics, "
            "notify, pricing, proxy_keys, quota, routing, rules, server, storage",
        ),
        ("[exporter]\nport = 1", "exporter.port: unknown key; allowed here: listen_addr, store"),
        (
            "[pricing.models.m]\nprompt_per_1m = 1\ncompletion_per_1m = 1\nimages = 1",
            "pricing.models.m.images: unknown key; "
            "allowed here: cache_write_1h_per_1m, cache_write_per_1m, cached_prompt_per_1m, "
            "completion_per_1m, prompt_per_1m, provider",
        ),
        (
            "[pricing.models.m]\nprompt_per_1m = 1",
            "pricing.models.m.completion_per_1m: missing; it is required",
        ),
        ("server = 3", "server = 3: allowed: a table"),
        ("[sever]\nx = 1", "sever: unknown key; did you mean server? allowed here: accounts, "),
        ("[server]\nlisten_addr = 1", "server.listen_addr = 1: allowed: text in quotes"),
        ("[server]\nworkers = 'two'", "server.workers = 'two': allowed: a whole number"),
        ("[server]\ninclude_usage = 'si'", "server.include_usage = 'si': allowed: true or false"),
        ("[storage]\ndatabase_path = 3", "storage.database_path = 3: allowed: a path in quotes"),
        ("[routing]\nmax_attempts = 0", "routing.max_attempts = 0: allowed: 1 or more"),
        ("[metrics]\naccount_identity_mode = 'x'", "'x': allowed: 'email' or 'account_id'"),
        ("[server", "not valid TOML: "),
        ('openai_api_key = "sk-1"', "which holds no secrets; set the environment variable OPENAI_API_KEY"),
    ],
)
def test_a_wrong_file_is_one_line(loaded: Callable[[str], Settings], text: str, line: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(text)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "sk-1" not in str(caught.value)


def test_each_mistake_has_its_line(loaded: Callable[[str], Settings]) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded('[server]\nlisten_addr = "x"\n[metrics]\npublic = 3')
    assert [line.split(" = ")[0].split(": ")[1] for line in str(caught.value).splitlines()] == [
        "server.listen_addr",
        "metrics.public",
    ]


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: no such file; leave out --config"):
        load(tmp_path / "none.toml", {})


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot be read: .*Is a directory"):
        load(tmp_path, {})


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "codex-usage.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"cannot be read: not UTF-8 at byte 0"):
        load(path, {})


@pytest.mark.parametrize(
    "text", ["sk-OWN\r\nX-Evil: 1", "sk-a\nb", "sk-\x01", "sk-é", "sk a", "sk-\x7f", "sk-\u200b"]
)
def test_a_key_of_the_environment_is_one_word(text: str, tmp_path: Path) -> None:
    (tmp_path / "usage.toml").write_text("")
    with pytest.raises(SettingsError) as caught:
        load(tmp_path / "usage.toml", {"OPENAI_API_KEY": text})
    line = str(caught.value)
    assert line == "OPENAI_API_KEY: openai_api_key = (hidden): allowed: a key, one word on one line"


def test_white_space_around_a_key_is_none_of_it(tmp_path: Path) -> None:
    (tmp_path / "usage.toml").write_text("")
    key = load(tmp_path / "usage.toml", {"OPENAI_API_KEY": " sk-own\n"}).openai_api_key
    assert key is not None
    assert key.get_secret_value() == "sk-own"


def test_a_key_by_its_old_name_is_read_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "codex-usage.toml"
    path.write_text("[routing]\nmost_attempts = 2\n")
    assert load(path, {}).routing.max_attempts == 2
    warning = "routing.most_attempts is now called routing.max_attempts; the old name will be "
    assert capsys.readouterr().err == f"{path}: {warning}removed in the next release\n"


def test_a_key_that_does_nothing_any_more_is_accepted_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "codex-usage.toml"
    path.write_text("[quota]\nfell_percent = 7\nreset_wobble_seconds = 30\njump_percent = 9.0\n")
    assert load(path, {}).quota.jump_percent == 9.0
    assert capsys.readouterr().err.splitlines() == [
        f"{path}: quota.{key} no longer does anything; the next release refuses it"
        for key in ("fell_percent", "reset_wobble_seconds")
    ]


def test_an_old_name_beside_the_new_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "codex-usage.toml"
    path.write_text("[routing]\nmost_attempts = 2\nmax_attempts = 3\n")
    with pytest.raises(
        SettingsError, match=r"routing\.most_attempts is the old name of routing\.max_attempts"
    ):
        load(path, {})


def test_a_value_under_an_old_name_is_checked_as_under_the_new(tmp_path: Path) -> None:
    path = tmp_path / "codex-usage.toml"
    path.write_text("[routing]\nmost_attempts = 9\n")
    with pytest.raises(SettingsError, match=r"routing\.max_attempts = 9: allowed: 3 or less"):
        load(path, {})
