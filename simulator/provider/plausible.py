"""A provider as it behaves on a usual day: plausible usage and times, now and then a failure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from msgspec import structs

from simulator.failures import FAILURES
from simulator.history.workload import WORKLOADS, Workload, draw
from simulator.provider.script import Answer, Asked, Cut, Fault, Pace, Refuse

MAX_EVENTS = 80
"""Text deltas of the longest stream: enough to look like one, few enough to be cheap."""

_BY_MODEL = {w.model: w for w in WORKLOADS}
_PROVIDERS_OWN = tuple(f for f in FAILURES if f.end_reason == "done")


@dataclass(frozen=True, slots=True)
class Plausible:
    """Answers drawn at random, the same for the same seed and number of request.

    Attributes:
        speed: how many times faster than a real provider.
        errors, cut, missing_usage: shares of the requests that are refused, whose connection breaks, and
            that do not report their usage.
        spared: classes of errors with which nothing is refused.
    """

    seed: int = 1
    speed: float = 1.0
    errors: float = 0.03
    cut: float = 0.003
    missing_usage: float = 0.005
    spared: tuple[str, ...] = ()

    def answer(self, asked: Asked) -> Answer:
        """One answer; a model that is not known works like the first that is."""
        rng = Random(f"{self.seed}/{asked.number}")
        workload = _BY_MODEL.get(asked.model, WORKLOADS[0])
        answer = self._success(workload, asked.stream, rng)
        return replace(answer, fault=self._fault(rng), reports_usage=rng.random() >= self.missing_usage)

    def _success(self, workload: Workload, stream: bool, rng: Random) -> Answer:
        drawn = draw(workload, stream, rng)
        events = max(1, min(MAX_EVENTS, (drawn.usage.output_tokens or 0) // 8))
        whole = drawn.latency_ms / 1_000 / self.speed
        first = whole if drawn.first_token_ms is None else drawn.first_token_ms / 1_000 / self.speed
        pace = Pace(first, (whole - first) / events)
        usage = structs.replace(drawn.usage, cache_write_tokens=None)  # its answers tell of none
        return Answer(usage=usage, service_tier=drawn.tier, events=events, pace=pace)

    def _fault(self, rng: Random) -> Fault | None:
        fate = rng.random()
        if fate < self.errors:
            known = [f for f in _PROVIDERS_OWN if f.error_class not in self.spared]
            failure = rng.choices(known, [f.share for f in known])[0]
            return Refuse(failure.http_status, failure.code, failure.error_class, failure.message)
        return Cut(after_events=3) if fate < self.errors + self.cut else None
