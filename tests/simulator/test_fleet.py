"""The cast agrees with the proxy's own rules."""

from __future__ import annotations

from random import Random

import pytest

from ledger.privacy import mask_key
from ledger.requests.error_codes import error_class as proxys_error_class
from simulator.failures import FAILURES, Failure, error_class
from simulator.history.fleet import FLEET, KEYS, SECRETS, busy_caller


def test_keys_are_the_masked_secrets() -> None:
    assert tuple(mask_key(secret) for secret in SECRETS) == KEYS
    assert len(set(KEYS)) == len(KEYS)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda f: f.code)
def test_failures_are_of_the_class_that_the_proxy_gives_them(failure: Failure) -> None:
    assert proxys_error_class(failure.code, failure.http_status) == failure.error_class
    assert error_class(failure.code) == failure.error_class


def test_accounts_are_told_apart() -> None:
    assert len({a.id for a in FLEET}) == len({a.email for a in FLEET}) == len(FLEET)


def test_the_first_caller_is_the_busiest() -> None:
    rng = Random(1)
    drawn = [busy_caller(4, rng) for _ in range(8_000)]
    counts = [drawn.count(i) for i in range(4)]
    assert counts == sorted(counts, reverse=True)
    assert counts[1] / counts[0] == pytest.approx(0.75, abs=0.05)
