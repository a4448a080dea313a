"""The log of the process holds no secret, whoever writes to it."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from ledger.process_log import FORMAT, MAX_LINE, WithoutSecrets

SECRETS = ["gsk_0123456789abcdefCANARY", "xai-0123456789CANARY", "Zq8Xw3Rt6Yp1Lm9Nk4Vb7Cd2Fg5Hj0Ks"]


def record(text: str, error: BaseException | None = None) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("aiohttp.server", logging.ERROR, __file__, 1, text, None, info)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("frame", ["b'Authorization: Bearer {}\\x01'", "GET /v1/x?key={} HTTP/1.1", "{}"])
def test_messages_and_tracebacks_lose_secrets(secret: str, frame: str) -> None:
    text = frame.format(secret)
    try:
        raise ValueError(text)
    except ValueError as error:
        line = WithoutSecrets(FORMAT).format(record(f"cannot read {text}", error))
    assert secret not in line
    assert "Traceback" in line
    assert "test_messages_and_tracebacks" in line
    assert "aiohttp.server" in line


def test_what_it_says_stays() -> None:
    text = "account 'anna': cannot read /run/secrets/anna: No such file or directory"
    assert WithoutSecrets(FORMAT).format(record(text)).endswith(f"ERROR [aiohttp.server] {text}")


@pytest.mark.parametrize("logger", ["quotascope.credentials", "aiohttp.session", "x.token", "cookie"])
def test_the_name_of_a_logger_hides_nothing_behind_it(logger: str) -> None:
    one = logging.LogRecord(logger, logging.WARNING, __file__, 1, "account 'anna' stays", None, None)
    assert WithoutSecrets(FORMAT).format(one).endswith(f"WARNING [{logger}] account 'anna' stays")


def test_a_record_has_an_end() -> None:
    assert len(WithoutSecrets(FORMAT).format(record("long " * 100_000))) <= MAX_LINE


@pytest.mark.parametrize("service", ["proxy", "exporter", "collector", "console"])
def test_every_service_logs_through_it(service: str) -> None:
    """Each service's main() in a process of its own; what a library logs later goes through the formatter."""
    code = (
        f"import logging, sys; from {service}.__main__ import main\n"
        "result = main(['--config', '/nonexistent/codex-usage.toml'])\n"
        f"logging.getLogger('aiohttp.server').error('Authorization: Bearer {SECRETS[0]}')\n"
        "sys.exit(result)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "ERROR [aiohttp.server]" in done.stderr
    assert SECRETS[0] not in done.stderr
