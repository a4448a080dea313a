"""The configuration in the words of this folder. Pure."""

from __future__ import annotations

from ledger.accounts.configured import Description, described
from proxy.relay.access import Key, KeyRing
from proxy.routing.router import Rules
from proxy.routing.score import Weights
from settings.model import Settings


def descriptions(settings: Settings) -> tuple[Description, ...]:
    """The accounts of the file, unchecked; `ledger.accounts.changes.synchronise` checks them."""
    return tuple(described(name, table) for name, table in settings.accounts.items())


def rules(settings: Settings) -> Rules:
    """What selection goes by."""
    weights = settings.routing.tier_weights
    return Rules(Weights(weights.pro, weights.plus, weights.free), settings.routing.quota_cooldown_seconds)


def key_ring(settings: Settings) -> KeyRing:
    """The proxy keys."""
    keys = (
        Key(name, table.sha256, table.daily_usd, table.weekly_usd)
        for name, table in settings.proxy_keys.items()
    )
    return KeyRing(keys, required=settings.routing.require_proxy_key)
