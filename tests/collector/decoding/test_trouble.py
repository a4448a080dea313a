"""An item of the errors channel -> what it says of an account; as a real CLIProxyAPI words it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from collector.decoding.trouble import Trouble, trouble_of
from tests.support.gateway.records import trouble

AT = datetime(2026, 11, 28, 12, tzinfo=UTC)
LIMITED = '{"error":{"message":"The input exceeds the context window.","code":"context_length_exceeded"}}'


def decoded(**changed: Any) -> Trouble | None:
    return trouble_of(trouble("abc123", AT, **changed), "c-1", "cpa")


@pytest.mark.parametrize(
    ("status", "body", "code", "said", "kind"),
    [
        (400, LIMITED, "request_scoped", "context_length_exceeded", "invalid_request"),
        (500, "unexpected EOF", "connection_lifecycle", "upstream_broken", "upstream"),
        (500, 'Post "http://h/v1": EOF', "connection_lifecycle", "upstream_broken", "upstream"),
        (408, "stream error: stream disconnected before completion", "request_scoped", "upstream_broken",
         "upstream"),
        (500, 'Post "http://h/v1": dial tcp 127.0.0.1:9: connect: connection refused', "",
         "upstream_unreachable", "upstream"),
        (503, "", "auth_unavailable", "auth_unavailable", "upstream"),
    ],
)  # fmt: skip
def test_the_providers_own_code_before_the_gateways(
    status: int, body: str, code: str, said: str, kind: str
) -> None:
    found = decoded(status_code=status, body=body, code=code)
    assert found is not None
    assert (found.failure.code, found.failure.error_class, found.failure.http_status) == (said, kind, status)


@pytest.mark.parametrize("status", [499, 500])
def test_a_client_that_left_is_no_accounts_trouble(status: int) -> None:
    assert decoded(status_code=status, body="context canceled", code="connection_lifecycle") is None
