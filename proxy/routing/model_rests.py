"""Accounts that rest for one model alone, as their provider limits so: others of its models go on.

Kept by each process for itself. A limit of this kind lasts seconds or minutes, and a process that has not met
with it yet learns of it by one request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from proxy.routing.failure import LONGEST, backoff

MAX_MODELS = 64
"""Of one account; whoever asks for more meets with limits of their own."""


@dataclass(frozen=True, slots=True)
class Rest:
    """A rest of one account for one model; epoch seconds.

    Attributes:
        failures: in a row.
        marked_at: when it was noticed.
    """

    until: float
    failures: int
    marked_at: float


class ModelRests:
    """The rests of all accounts."""

    def __init__(self) -> None:
        self._models: dict[str, dict[str, Rest]] = {}

    def limited(
        self, account_id: str, model: str, wait: float | None, began_at: float, now: float, draw: float
    ) -> None:
        """The account met with a limit of a model.

        Args:
            wait: seconds, where the provider says so.
            began_at: epoch seconds at which the attempt was sent: what was under way when the last limit was
                noticed tells of the same one.
            draw: from 0 to 1, for the jitter of pauses.
        """
        known = self._models.get(model, {}).get(account_id)
        failures = 1
        if known is not None and now - known.until < LONGEST:
            failures = known.failures if began_at <= known.marked_at else known.failures + 1
        until = max(known.until if known else 0.0, now + (wait or backoff(failures, draw)))
        if known is None:
            self._make_room(account_id)
        self._models.setdefault(model, {})[account_id] = Rest(until, failures, now)

    def succeeded(self, account_id: str, model: str, began_at: float) -> None:
        """The account answered well for a model, in an attempt that was sent at an epoch second."""
        rests = self._models.get(model, {})
        known = rests.get(account_id)
        if known is not None and began_at > known.marked_at:
            self._forget(model, account_id)

    def resting(self, model: str | None, now: float) -> Mapping[str, float]:
        """The accounts that rest for a model, and until when."""
        if not self._models or model is None:
            return {}
        return {name: rest.until for name, rest in self._models.get(model, {}).items() if rest.until > now}

    def resumed(self, account_ids: Iterable[str]) -> None:
        """A person says that these are well."""
        for account_id in account_ids:
            for model in [model for model, rests in self._models.items() if account_id in rests]:
                self._forget(model, account_id)

    def _make_room(self, account_id: str) -> None:
        own = [
            (rests[account_id].until, model) for model, rests in self._models.items() if account_id in rests
        ]
        if len(own) >= MAX_MODELS:
            self._forget(min(own)[1], account_id)

    def _forget(self, model: str, account_id: str) -> None:
        rests = self._models[model]
        del rests[account_id]
        if not rests:
            del self._models[model]
