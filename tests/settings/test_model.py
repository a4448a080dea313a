"""Every key: a value that it takes, values that it refuses, and the line that says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from settings.errors import SettingsError
from settings.load import BRIEF, OTHERS, brief
from settings.model import Settings, is_loopback, split_address
from settings.rules import Rules
from tests.support.cases import each

ADDRESS = "allowed: HOST:PORT with a port from 0 to 65535"
URL = "allowed: http://HOST or https://HOST"
HASH = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"

GOOD: dict[str, tuple[str, object]] = {
    "server.listen_addr": ('"[::1]:80"', "[::1]:80"),
    "server.upstream_base_url": ('"http://10.0.0.1:9/base/v1/"', "http://10.0.0.1:9/base/v1"),
    "server.upstream_exact_path": ("true", True),
    "server.public_base_path": ('"/openai/v1/"', "/openai/v1"),
    "server.backend_base_url": ('"https://h/base/"', "https://h/base"),
    "server.request_log_path": ('"log/bodies.jsonl"', Path("log/bodies.jsonl")),
    "server.connect_timeout_seconds": ("2.5", 2.5),
    "server.idle_timeout_seconds": ("60", 60.0),
    "server.include_usage": ("true", True),
    "server.max_request_bytes": ("1024", 1024),
    "server.max_concurrent_requests": ("1000000", 1_000_000),
    "server.body_timeout_seconds": ("2.5", 2.5),
    "server.min_body_bytes_per_second": ("1", 1),
    "server.workers": ("256", 256),
    "server.shutdown_timeout_seconds": ("0", 0.0),
    "storage.database_path": ('"/var/lib/usage.db"', Path("/var/lib/usage.db")),
    "storage.database_url": ('"postgresql://me@db/usage"', "postgresql://me@db/usage"),
    "storage.flush_interval_seconds": ("60", 60.0),
    "storage.buffer_size": ("100", 100),
    "storage.instance_id": ('"machine-1"', "machine-1"),
    "storage.outbox": ("false", False),
    "storage.outbox_path": ('"/var/lib/outbox.db"', Path("/var/lib/outbox.db")),
    "storage.outbox_max_bytes": ("1048576", 2**20),
    "notify.alertmanager": ('"h:9093"', "h:9093"),
    "notify.webhook_url": ('"https://h/x"', "https://h/x"),
    "notify.ntfy_url": ('"https://h/topic"', "https://h/topic"),
    "notify.slack_url_file": ('"/run/secrets/slack"', Path("/run/secrets/slack")),
    "notify.slack_channel": ('"#ops"', "#ops"),
    "notify.mail_to": ('"a@b.c"', "a@b.c"),
    "notify.mail_from": ('"a@b.c"', "a@b.c"),
    "notify.mail_server": ('"h:25"', "h:25"),
    "notify.mail_password_file": ('"/run/secrets/mail"', Path("/run/secrets/mail")),
    "notify.watchdog_url": ('"https://h/w"', "https://h/w"),
    "rules.services": ('["exporter"]', ("exporter",)),
    "storage.failure_bodies": ("true", True),
    "storage.failure_body_days": ("0.5", 0.5),
    "storage.retention.requests": ('"90d"', "90d"),
    "storage.retention.hourly": ('"forever"', "forever"),
    "exporter.listen_addr": ('"localhost:0"', "localhost:0"),
    "exporter.store": ('"codex-lb:store.db"', "codex-lb:store.db"),
    "quota.start_grace_minutes": ("10080", 10_080.0),
    "quota.start_percent": ("0", 0.0),
    "quota.jump_percent": ("100", 100.0),
    "quota.jump_gap_minutes": ("10080", 10_080.0),
    "quota.method": ('"clean_steps"', "clean_steps"),
    "quota.capacity.m.primary_credits": ("0", 0.0),
    "quota.capacity.m.secondary_credits": ("1e12", 1e12),
    "console.listen_addr": ('"127.0.0.2:65535"', "127.0.0.2:65535"),
    "console.base_url": ('"https://usage.example.org/q/"', "https://usage.example.org/q"),
    "console.proxy_url": ('"http://proxy:8787/"', "http://proxy:8787"),
    "console.exporter_url": ('"http://exporter:8789/"', "http://exporter:8789"),
    "console.prometheus_url": ('"http://prometheus:9090/"', "http://prometheus:9090"),
    "console.view_password_hash": (f'"{HASH}"', SecretStr(HASH)),
    "console.operate_password_hash": (f'"{HASH}"', SecretStr(HASH)),
    "console.user_header": ('"X-Forwarded-User"', "x-forwarded-user"),
    "console.operators": ('["anna"]', ("anna",)),
    "console.time_zone": ('"Europe/Berlin"', "Europe/Berlin"),
    "console.public": ("true", True),
    "console.session_hours": ("720", 720.0),
    "pricing.currency": ('"USD"', "USD"),
    "pricing.models.m.provider": ('"groq"', "groq"),
    "pricing.models.m.prompt_per_1m": ("0", Decimal(0)),
    "pricing.models.m.cache_write_per_1m": ("6.25", Decimal("6.25")),
    "pricing.models.m.cache_write_1h_per_1m": ("10", Decimal(10)),
    "pricing.models.m.cached_prompt_per_1m": ('"0.1"', Decimal("0.1")),
    "pricing.models.m.completion_per_1m": ("10000", Decimal(10_000)),
    "metrics.account_identity_mode": ('"account_id"', "account_id"),
    "metrics.token": ('"12345678"', SecretStr("12345678")),
    "metrics.public": ("true", True),
    "metrics.max_models": ("1", 1),
    "metrics.max_api_keys": ("10000", 10_000),
    "metrics.max_error_codes": ("1", 1),
    "routing.tier_weights.pro": ("1000", 1000.0),
    "routing.tier_weights.plus": ("0.001", 0.001),
    "routing.tier_weights.free": ("1", 1.0),
    "routing.sticky": ('"db"', "db"),
    "routing.sticky_hours": ("720", 720.0),
    "routing.snapshot_refresh_seconds": ("0.1", 0.1),
    "routing.quota_cooldown_seconds": ("604800", 604_800.0),
    "routing.max_attempts": ("1", 1),
    "routing.poll_seconds": ("0", 0.0),
    "routing.token_url": ('"http://127.0.0.1:9/token"', "http://127.0.0.1:9/token"),
    "routing.require_proxy_key": ("true", True),
    "routing.budget_without_ledger": ('"allow"', "allow"),
    "routing.budget_unpriced_models": ('"allow"', "allow"),
    "routing.forward_headers": ('["X-Title"]', ("x-title",)),
    "routing.forward_parameters": ('["$Skip"]', ("$skip",)),
    "accounts.m.credential": ('"codex:~/.codex/auth.json"', "codex:~/.codex/auth.json"),
    "accounts.m.email": ('"a@example.com"', "a@example.com"),
    "accounts.m.plan": ('"pro"', "pro"),
    "accounts.m.upstream_base_url": ('"http://h/v1/"', "http://h/v1"),
    "accounts.m.pool": ('"pinned"', "pinned"),
    "collector.listen_addr": ('"[::1]:0"', "[::1]:0"),
    "collector.inbox_path": ('"/var/lib/inbox.db"', Path("/var/lib/inbox.db")),
    "collector.keep_raw_days": ("0", 0),
    "collector.batch_size": ("10000", 10_000),
    "collector.poll_seconds": ("0.1", 0.1),
    "collector.max_waiting": ("256", 256),
    "collector.gateways.m.url": ('"https://h:8317/"', "https://h:8317"),
    "collector.gateways.m.key": ('"file:~/key"', "file:~/key"),
    "collector.gateways.m.transport": ('"http"', "http"),
    "collector.gateways.m.ca_file": ('"/etc/ca.pem"', Path("/etc/ca.pem")),
    "callers.hosts": ('["Usage.example.org", "::1"]', ("usage.example.org", "::1")),
    "callers.origins": ('["https://a.example"]', ("https://a.example",)),
    "callers.proxies": ('["127.0.0.1", "10.0.0.0/8"]', ("127.0.0.1/32", "10.0.0.0/8")),
    "metering.project_headers": ('["X-Team"]', ("X-Team",)),
    "metering.trace_headers": ("[]", ()),
    "proxy_keys.m.sha256": (f'"{"AB" * 32}"', "ab" * 32),
    "proxy_keys.m.daily_usd": ("0.01", Decimal("0.01")),
    "proxy_keys.m.weekly_usd": ("10000000", Decimal(10_000_000)),
}
"""Key -> its text in the file, and the value that becomes of it; for numbers a bound."""

BAD: dict[str, list[tuple[str, str]]] = {
    "server.listen_addr": [
        ('"8787"', ADDRESS),
        ('":1"', ADDRESS),
        ('"h:65536"', ADDRESS),
        ('" :1"', ADDRESS),
        ('"h:٣"', ADDRESS),
        ("1", "text in quotes"),
    ],
    "server.upstream_base_url": [
        ('"ftp://h"', URL),
        ('"h"', URL),
        ('"http://h?a=1"', URL),
        ('"http://h:65536"', URL),
        ('"http://[::1"', URL),
        ('"http://a..b"', URL),
        ("[]", "text in quotes"),
    ],
    "server.upstream_exact_path": [("1", "true or false")],
    "server.public_base_path": [('"v1"', "begins with /"), ('"/"', "begins with /"), ("1", "text in quotes")],
    "server.backend_base_url": [('"ftp://h"', URL), ("1", "text in quotes")],
    "server.request_log_path": [("true", "path")],
    "server.connect_timeout_seconds": [("0", "more than 0"), ('"1"', "number")],
    "server.idle_timeout_seconds": [("0", "more than 0"), ('"1"', "number")],
    "server.include_usage": [("1", "true or false"), ('"yes"', "true or false")],
    "server.max_request_bytes": [("1023", "1024 or more"), ("1e6", "a whole number")],
    "server.max_concurrent_requests": [("0", "more"), ("1000001", "less")],
    "server.body_timeout_seconds": [("0", "more"), ("3601", "less")],
    "server.min_body_bytes_per_second": [("0", "more"), ("1000001", "less")],
    "server.workers": [("0", "more"), ("257", "less"), ("true", "a whole number")],
    "server.shutdown_timeout_seconds": [("-1", "0 or more"), ('"1"', "number")],
    "storage.database_path": [("1", "path")],
    "storage.database_url": [("1", "text in quotes")],
    "storage.flush_interval_seconds": [("0", "more than 0"), ("60.1", "less"), ("nan", "less")],
    "storage.instance_id": [("1", "text in quotes"), (f'"{"a" * 201}"', "at most 200 characters")],
    "storage.outbox": [("1", "true or false")],
    "storage.outbox_path": [("1", "path")],
    "storage.outbox_max_bytes": [("1048575", "more"), ("1e9", "a whole number")],
    "notify.alertmanager": [('"h"', "HOST:PORT"), ("1", "text in quotes")],
    **{
        f"notify.{name}_url": [('"h"', URL), ("1", "text in quotes")]
        for name in ("webhook", "ntfy", "watchdog")
    },
    "notify.slack_url_file": [("1", "path")],
    "notify.slack_channel": [('""', "1 or more characters"), ("1", "text in quotes")],
    "notify.mail_to": [('"anna"', "one address, like oncall@example.org")],
    "notify.mail_from": [('"a@b.c, d@e.f"', "one address, like oncall@example.org")],
    "notify.mail_server": [('"h"', "HOST:PORT"), ("1", "text in quotes")],
    "notify.mail_password_file": [("1", "path")],
    "rules.services": [('"proxy"', "array")],
    "storage.failure_bodies": [("1", "true or false")],
    "storage.failure_body_days": [("0", "more than 0"), ("3651", "less")],
    "storage.retention.requests": [('"13d"', "at least"), ('"90"', "days, like"), ("90", "text in quotes")],
    "storage.retention.hourly": [('"9y"', "forever"), ('"1d"', "at least")],
    "storage.buffer_size": [("99", "more"), ("5000001", "less"), ("1e3", "a whole number")],
    "exporter.listen_addr": [
        ('"x"', ADDRESS),
        ('"a..b:8789"', ADDRESS),
        ('"[127.0.0.1:8789"', ADDRESS),
        ("1", "text in quotes"),
    ],
    "exporter.store": [("1", "text in quotes")],
    "quota.start_grace_minutes": [("-1", "more"), ("10081", "less"), ('"1"', "number")],
    "quota.start_percent": [("-0.1", "more"), ("100.1", "less")],
    "quota.jump_percent": [("0", "more"), ("101", "less")],
    "quota.jump_gap_minutes": [("0", "more"), ("10081", "less")],
    "quota.method": [('"guess"', "'whole_cycle' or 'clean_steps'")],
    "quota.capacity.m.primary_credits": [("-1", "more"), ('"x"', "number")],
    "quota.capacity.m.secondary_credits": [("2000000000000.0", "less"), ("true", "number")],
    "console.listen_addr": [('"x"', ADDRESS), ("1", "text in quotes")],
    "console.base_url": [('"usage.example.org"', URL), ("1", "text in quotes")],
    "console.proxy_url": [('"h"', URL), ("1", "text in quotes")],
    "console.exporter_url": [('"h"', URL), ("1", "text in quotes")],
    "console.prometheus_url": [('"ftp://h"', URL), ("1", "text in quotes")],
    "console.view_password_hash": [('"hunter2hunter2"', "hash-password"), ("12345678", "text in quotes")],
    "console.operate_password_hash": [
        ('"$2b$12$abcdefghijklmnop"', "hash-password"),
        ("12345678", "text in quotes"),
    ],
    "console.user_header": [('"X User"', "name of a header"), ("1", "text in quotes")],
    "console.operators": [("1", "array"), ("[1]", "text in quotes")],
    "console.time_zone": [('"Berlin"', "Europe/Berlin"), ("1", "text in quotes")],
    "console.public": [("1", "true or false"), ('"yes"', "true or false")],
    "console.session_hours": [("0", "more than 0"), ("721", "less")],
    "pricing.currency": [('"EUR"', "'USD'")],
    "pricing.models.m.provider": [("7", "text in quotes"), (f'"{"x" * 41}"', "40")],
    "pricing.models.m.cache_write_per_1m": [("-0.1", "more"), ("true", "a number")],
    "pricing.models.m.cache_write_1h_per_1m": [("10000.1", "less"), ("nan", "finite")],
    "pricing.models.m.prompt_per_1m": [("-0.1", "more"), ("nan", "finite"), ('"x"', "a number")],
    "pricing.models.m.cached_prompt_per_1m": [("10000.1", "less"), ("true", "a number")],
    "pricing.models.m.completion_per_1m": [("-1", "more"), ("inf", "finite")],
    "metrics.account_identity_mode": [('"name"', "'email' or 'account_id'"), ("1", "'email'")],
    "metrics.token": [('"1234567"', "8 characters or more"), ("12345678", "text in quotes")],
    "metrics.public": [('"yes"', "true or false"), ("1", "true or false")],
    "metrics.max_models": [("0", "more"), ("10001", "less"), ("true", "a whole number")],
    "metrics.max_api_keys": [("0", "more"), ("10001", "less")],
    "metrics.max_error_codes": [("0", "more"), ("10001", "less")],
    "routing.tier_weights.pro": [("0", "more"), ("1000.1", "less")],
    "routing.tier_weights.plus": [("0", "more"), ('"1"', "number")],
    "routing.tier_weights.free": [("-1", "more"), ("nan", "less")],
    "routing.sticky": [('"disk"', "'memory', 'db' or 'none'")],
    "routing.sticky_hours": [("0", "more"), ("721", "less")],
    "routing.snapshot_refresh_seconds": [("0", "more"), ("301", "less")],
    "routing.quota_cooldown_seconds": [("0", "more"), ("604801", "less")],
    "routing.max_attempts": [("0", "more"), ("4", "less"), ("1.5", "a whole number")],
    "routing.poll_seconds": [("-1", "more"), ("86401", "less")],
    "routing.token_url": [('"token"', URL), ("1", "text in quotes")],
    "routing.require_proxy_key": [('"yes"', "true or false")],
    "routing.budget_without_ledger": [('"open"', "'refuse' or 'allow'")],
    "routing.budget_unpriced_models": [('"free"', "'refuse' or 'allow'")],
    "routing.forward_headers": [('"x-title"', "array"), ('["a: b"]', "a name"), ('["Host"]', "neither")],
    "routing.forward_parameters": [("1", "array"), ('["a=b"]', "a name"), ('[""]', "a name")],
    "accounts.m.credential": [("19283", "text in quotes")],
    "accounts.m.email": [("1", "text in quotes")],
    "accounts.m.plan": [("1", "text in quotes")],
    "accounts.m.upstream_base_url": [('"h"', URL), ("1", "text in quotes")],
    "accounts.m.pool": [('"best"', "'pinned' or 'full'")],
    "collector.listen_addr": [('"8790"', ADDRESS), ("8790", "text in quotes")],
    "collector.inbox_path": [("1", "path")],
    "collector.keep_raw_days": [("-1", "more"), ("3651", "less"), ('"7"', "number")],
    "collector.batch_size": [("0", "more"), ("10001", "less"), ("1.5", "a whole number")],
    "collector.poll_seconds": [("0", "more"), ("31", "less"), ('"1"', "number")],
    "collector.max_waiting": [("255", "more"), ("1000001", "less"), ("true", "a whole number")],
    "collector.gateways.m.url": [
        ('"h:8317"', URL),
        ('"http://h/v1"', "without a path"),
        ("1", "text in quotes"),
    ],
    "collector.gateways.m.key": [
        ('"sk-19283"', "env:NAME"),
        ('"codex:x"', "env:NAME"),
        ("19283", "text in quotes"),
    ],
    "collector.gateways.m.transport": [('"redis"', "'auto', 'subscribe', 'resp' or 'http'")],
    "collector.gateways.m.ca_file": [("1", "path")],
    "callers.hosts": [('"a"', "an array"), ('["a:80"]', "without a port"), ('["*"]', "a host name")],
    "callers.origins": [("1", "array"), ('["null"]', "SCHEME://HOST"), ('["https://a/b"]', "SCHEME://HOST")],
    "callers.proxies": [("1", "array"), ('["nginx"]', "an IP address"), ('["10.0.0.1/8"]', "a network")],
    "metering.project_headers": [('"X-Team"', "an array"), ('["X Team"]', "the name of an HTTP header")],
    "metering.trace_headers": [("1", "array"), ('[""]', "the name of an HTTP header")],
    "proxy_keys.m.sha256": [('"sk-19283"', "64 hexadecimal digits"), ("19283", "text in quotes")],
    "proxy_keys.m.daily_usd": [("0", "more"), ("nan", "finite"), ('"x"', "a number")],
    "proxy_keys.m.weekly_usd": [("-1", "more"), ("10000001", "less")],
}
"""Key -> texts that it refuses, each with a part of the line that says what is allowed."""

SECRETS = (
    "metrics.token",
    "accounts.m.credential",
    "proxy_keys.m.sha256",
    "collector.gateways.m.key",
    "console.view_password_hash",
    "console.operate_password_hash",
)
"""Keys whose values are never shown."""

NEEDED = {
    "pricing": {"prompt_per_1m": "1", "completion_per_1m": "1"},
    "accounts": {"credential": '"env:KEY"'},
    "quota": {"primary_credits": "1", "secondary_credits": "1"},
    "collector": {"url": '"http://h"', "key": '"env:KEY"'},
    "proxy_keys": {"sha256": f'"{"0" * 64}"'},
}
"""What a table with a name of its own cannot do without."""

BESIDES = {
    "notify.alertmanager": ('webhook_url = "https://h/x"',),
    "notify.mail_to": ('mail_from = "a@b.c"', 'mail_server = "h:25"'),
    "routing.require_proxy_key": ("[proxy_keys.m]", f'sha256 = "{"0" * 64}"'),
}
"""What a key asks for elsewhere in the file."""


def fields(table: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key that a file may hold, as the model has it; `m` stands for a name that the file chooses."""
    for name, field in table.model_fields.items():
        kind: Any = field.annotation
        if get_origin(kind) is dict:
            yield from fields(get_args(kind)[1], f"{prefix}{name}.m.")
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from fields(kind, f"{prefix}{name}.")
        elif name != "openai_api_key":
            yield prefix + name, field


def document(key: str, text: str) -> str:
    """A file that sets one key, and what it cannot do without."""
    *table, name = key.split(".")
    needed = NEEDED.get(table[0], {}) if "m" in table else {}
    lines = [f"{k} = {v}" for k, v in {**needed, name: text}.items()]
    return "\n".join([f"[{'.'.join(table)}]", *lines, *BESIDES.get(key, ())])


def value(settings: Settings, key: str) -> object:
    found: Any = settings
    for part in key.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    return found


def rule_keys() -> Iterator[tuple[str, tuple[str, Any], list[tuple[str, str]]]]:
    """Every key of `[rules]` with a value that it takes and some that it does not, by its kind."""
    for name, field in Rules.model_fields.items():
        key = f"rules.{name}"
        if name == "services":
            continue
        if name.startswith("burn_"):
            yield key, ("1.5", 1.5), [("1", "more"), ("1001", "less")]
        elif name.endswith("_url"):
            yield key, ('"https://h/x"', "https://h/x"), [('"h"', URL), ("1", "text in quotes")]
        elif name.endswith("_job"):
            yield key, ('"my-job.2"', "my-job.2"), [('"a b"', "1 to 100 letters"), ("1", "text in quotes")]
        elif isinstance(field.default, str):
            yield (
                key,
                ('"90s"', timedelta(seconds=90)),
                [('"1.5m"', "a duration like 30s"), ('"0s"', "a duration"), ("5", "text in quotes")],
            )
        elif isinstance(field.default, int):
            yield key, ("7", 7), [("0", "1 or more"), ("1.5", "a whole number")]
        elif isinstance(field.default, float):
            yield (
                key,
                ("0.25", 0.25),
                [("-0.1", "more"), ("20000000", "less"), ('"1"', "number")],
            )
    yield "rules.alerts.m.enabled", ("false", False), [("0", "true or false")]
    yield "rules.alerts.m.severity", ('"info"', "info"), [('"page"', "'critical', 'warning' or 'info'")]


for _key, _good, _bad in rule_keys():
    GOOD[_key], BAD[_key] = _good, _bad


def test_every_key_is_tried_below() -> None:
    assert set(GOOD) == set(BAD) == {key for key, _ in fields()}


@each("key", GOOD)
def test_a_key_takes_its_value(loaded: Callable[[str], Settings], key: str) -> None:
    text, expected = GOOD[key]
    assert value(loaded(document(key, text)), key) == expected


@each(("key", "text", "allowed"), [(k, *case) for k, cases in BAD.items() for case in cases])
@pytest.mark.slow
def test_a_key_refuses_in_one_line(
    loaded: Callable[[str], Settings], key: str, text: str, allowed: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(document(key, text))
    (line,) = str(caught.value).splitlines()
    assert f"codex-usage.toml: {key} = " in line
    assert allowed in line


# A command that asks once reads three tables


def test_every_table_is_known_to_who_reads_three() -> None:
    assert {*BRIEF, *OTHERS} == set(Settings.model_fields)


@each("key", [key for key in GOOD if key.startswith(BRIEF)])
def test_three_tables_are_read_as_all_are(
    loaded: Callable[[str], Settings], written: Callable[[str], Path], key: str
) -> None:
    text = document(key, GOOD[key][0])
    found, whole = brief(written(text), {}), loaded(text)
    assert (found.storage, found.console, found.pricing) == (whole.storage, whole.console, whole.pricing)


@each(
    "text",
    [
        *(document(key, case[0]) for key, cases in BAD.items() if key.startswith(BRIEF) for case in cases),
        "[stores]",
        "[storage]\nx = 1",
        "console = 1",
    ],
)
def test_three_tables_are_refused_as_all_are(
    loaded: Callable[[str], Settings], written: Callable[[str], Path], text: str
) -> None:
    with pytest.raises(SettingsError) as expected:
        loaded(text)
    with pytest.raises(SettingsError) as caught:
        brief(written(text), {})
    assert str(caught.value) == str(expected.value)


@each("key", [key for key in BAD if key not in SECRETS])
def test_the_line_shows_what_was_given(loaded: Callable[[str], Settings], key: str) -> None:
    text, _ = BAD[key][0]
    shown = {"true": "True"}.get(text, text.replace('"', "'"))
    with pytest.raises(SettingsError) as caught:
        loaded(document(key, text))
    assert f"{key} = {shown}: " in str(caught.value)


@pytest.mark.parametrize(("key", "text"), [(key, text) for key in SECRETS for text, _ in BAD[key]])
def test_a_secret_is_never_shown(loaded: Callable[[str], Settings], key: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(document(key, text))
    assert text.strip('"') not in str(caught.value)
    assert "(hidden)" in str(caught.value)


@pytest.mark.parametrize("secret", ["hunter2", "hun/ter2", "hun@ter2"])
def test_the_credentials_of_a_url_are_never_shown(loaded: Callable[[str], Settings], secret: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(document("server.upstream_base_url", f'"https://me:{secret}@h/v1"'))
    assert "server.upstream_base_url = 'https://(hidden)@h/v1': allowed: " in str(caught.value)


def test_a_secret_is_not_in_the_representation(loaded: Callable[[str], Settings]) -> None:
    assert "12345678" not in repr(loaded(document("metrics.token", '"12345678"')))


def test_settings_do_not_change(loaded: Callable[[str], Settings]) -> None:
    with pytest.raises(ValueError, match="frozen"):
        loaded("").server.listen_addr = "127.0.0.1:1"  # type: ignore[misc]


@pytest.mark.parametrize("key", [key for key in GOOD if key.endswith("listen_addr")])
def test_by_default_nothing_is_reachable_from_outside(loaded: Callable[[str], Settings], key: str) -> None:
    assert is_loopback(str(value(loaded(""), key)))


def test_the_page_is_not_for_everybody(loaded: Callable[[str], Settings]) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded('[console]\nlisten_addr = "0.0.0.0:1"')
    assert "console.listen_addr = '0.0.0.0:1' is reachable from outside" in str(caught.value)


@pytest.mark.parametrize("open_to", [f'operate_password_hash = "{HASH}"', "public = true"])
def test_the_page_is_for_those_who_are_let_in(loaded: Callable[[str], Settings], open_to: str) -> None:
    assert (
        loaded(f'[console]\nlisten_addr = "0.0.0.0:1"\n{open_to}\n').console.address == "http://127.0.0.1:1"
    )


@pytest.mark.parametrize("table", ["server", "exporter", "collector"])
@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "example.org:1"])
def test_open_metrics_beyond_loopback_are_a_decision(
    loaded: Callable[[str], Settings], table: str, address: str
) -> None:
    text = f'[{table}]\nlisten_addr = "{address}"\n'
    with pytest.raises(SettingsError) as caught:
        loaded(text)
    (line,) = str(caught.value).splitlines()
    assert f"{table}.listen_addr = '{address}' is reachable from outside" in line
    assert value(loaded(text + "[metrics]\npublic = true"), f"{table}.listen_addr") == address
    assert value(loaded(text + '[metrics]\ntoken = "12345678"'), f"{table}.listen_addr") == address


@pytest.mark.parametrize(
    ("address", "parts"),
    [("127.0.0.1:8787", ("127.0.0.1", 8787)), ("[::1]:0", ("::1", 0)), ("localhost:80", ("localhost", 80))],
)
def test_addresses_come_apart(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize(
    ("address", "loopback"),
    [("127.8.9.1:1", True), ("[::1]:1", True), ("localhost:1", True), ("10.0.0.1:1", False), ("h:1", False)],
)
def test_what_is_loopback(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


def test_accounts_are_not_for_everybody(loaded: Callable[[str], Settings]) -> None:
    text = (
        '[server]\nlisten_addr = "0.0.0.0:1"\n[metrics]\npublic = true\n[accounts.a]\ncredential = "env:A"\n'
    )
    with pytest.raises(SettingsError, match="every caller would use the accounts") as caught:
        loaded(text)
    assert "\n" not in str(caught.value)
    key = f'[routing]\nrequire_proxy_key = true\n[proxy_keys.team]\nsha256 = "{"0" * 64}"\n'
    assert loaded(text + key).routing.require_proxy_key


def test_a_key_that_is_required_exists(loaded: Callable[[str], Settings]) -> None:
    with pytest.raises(SettingsError, match="nobody could come in"):
        loaded("[routing]\nrequire_proxy_key = true\n")


def keys(*names: str, digest: str = "") -> str:
    return "".join(
        f'[proxy_keys."{name}"]\nsha256 = "{digest or f"{number:064x}"}"\n'
        for number, name in enumerate(names)
    )


@pytest.mark.parametrize("name", ["team", "a" * 40, "Büro 3", "a.b@c", "unknowns"])
def test_a_proxy_key_has_a_name_that_the_books_can_hold(loaded: Callable[[str], Settings], name: str) -> None:
    assert list(loaded(keys(name)).proxy_keys) == [name]


@pytest.mark.parametrize(
    "name", ["", " ", "team ", "a" * 41, "a\\nb", "a\\u0007", "unknown", "short_key", "other", "sk-a...wxyz"]
)
def test_a_proxy_key_with_another_name_is_refused_in_one_line(
    loaded: Callable[[str], Settings], name: str
) -> None:
    """What is longer is cut in the books, and what stands there for other callers would be taken for it:
    such a key's budget would never hold, or hold for others."""
    with pytest.raises(SettingsError) as caught:
        loaded(keys("team", name))
    (line,) = str(caught.value).splitlines()
    assert "codex-usage.toml: [proxy_keys.NAME]: " in line
    assert "allowed: a name of 1 to 40 printable characters" in line


def test_two_proxy_keys_are_two_keys(loaded: Callable[[str], Settings]) -> None:
    assert len(loaded(keys("team", "lab")).proxy_keys) == 2
    with pytest.raises(SettingsError) as caught:
        loaded(keys("team", "lab", digest="ab" * 32))
    (line,) = str(caught.value).splitlines()
    assert "proxy_keys 'team' and 'lab' have the same sha256" in line
    assert "ab" * 32 not in line


def test_what_it_writes_it_reads() -> None:
    settings = Settings.model_validate({"rules": {"rate_window": "90m", "quota_reset_at_least": "36h"}})
    written = settings.model_dump(mode="json", exclude_none=True)
    assert (written["rules"]["rate_window"], written["rules"]["quota_reset_at_least"]) == ("90m", "36h")
    assert Settings.model_validate(written) == settings
