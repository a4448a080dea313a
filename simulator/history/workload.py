"""What models are asked for: plausible token counts and latencies, drawn at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random

from msgspec import structs

from ledger.values import Usage


@dataclass(frozen=True, slots=True)
class Workload:
    """How one model is used.

    Attributes:
        share: relative number of requests.
        apis: relative number of requests by API.
        input_tokens, output_tokens: medians; the counts are spread log-normally around them. No output
            stands for embeddings.
        cached: mean share of the input that is cached.
        written: mean share of the rest of the input that is written to a cache; 0 where that is not told.
        reasoning: mean share of the output that is reasoning; 0 for models that do not reason.
        first_token_ms: median time to the first token.
        tokens_per_second: median speed of the output.
        tiers: relative number of requests by service tier; empty where the API has none.
    """

    model: str
    share: float
    apis: Mapping[str, float]
    input_tokens: int
    output_tokens: int
    cached: float
    written: float = 0.0
    reasoning: float = 0.0
    first_token_ms: float = 600.0
    tokens_per_second: float = 80.0
    tiers: Mapping[str, float] = field(default_factory=lambda: {"default": 1.0})


WORKLOADS: tuple[Workload, ...] = (
    Workload(
        "gpt-6.1-sol",
        share=34,
        apis={"responses": 9, "chat_completions": 1},
        input_tokens=14_000,
        output_tokens=650,
        cached=0.72,
        written=0.8,
        reasoning=0.45,
        first_token_ms=1_400,
    ),
    Workload(
        "gpt-5.5",
        share=16,
        apis={"responses": 8, "chat_completions": 2},
        input_tokens=16_000,
        output_tokens=800,
        cached=0.65,
        reasoning=0.5,
        first_token_ms=2_200,
        tokens_per_second=55,
        tiers={"default": 9, "priority": 1},
    ),
    Workload(
        "gpt-5.4-mini",
        share=26,
        apis={"responses": 4, "chat_completions": 6},
        input_tokens=3_500,
        output_tokens=350,
        cached=0.4,
        reasoning=0.25,
        first_token_ms=500,
        tokens_per_second=140,
        tiers={"default": 8, "flex": 2},
    ),
    Workload(
        "gpt-4o-mini",
        share=12,
        apis={"chat_completions": 1},
        input_tokens=1_800,
        output_tokens=220,
        cached=0.2,
        first_token_ms=350,
        tokens_per_second=110,
    ),
    Workload(
        "text-embedding-3-small",
        share=12,
        apis={"embeddings": 1},
        input_tokens=700,
        output_tokens=0,
        cached=0.0,
        first_token_ms=90,
        tiers={},
    ),
)
"""A team that mostly codes, with some chat and some search."""

EFFORTS = ("low", "medium", "high")


@dataclass(frozen=True, slots=True)
class Draw:
    """One request's worth: `latency_ms` and `first_token_ms` count from the request's arrival;
    `first_token_ms` is None where the answer is no stream."""

    usage: Usage
    latency_ms: float
    first_token_ms: float | None
    effort: str | None
    tier: str | None


def draw(workload: Workload, streamed: bool, rng: Random) -> Draw:
    """One request's token counts and times, consistent with each other."""
    input_tokens = spread(workload.input_tokens, 0.8, rng)
    output = spread(workload.output_tokens, 0.9, rng) if workload.output_tokens else 0
    cached = part(input_tokens, workload.cached, rng)
    reasoning = part(output, workload.reasoning, rng)
    first = workload.first_token_ms * rng.lognormvariate(0, 0.4)
    rest = output / (workload.tokens_per_second * rng.lognormvariate(0, 0.25)) * 1_000
    drawn = Draw(
        usage=Usage(input_tokens, output, cached, reasoning) if output else Usage(input_tokens, 0),
        latency_ms=round(first + rest, 3),
        first_token_ms=round(first, 3) if streamed and output else None,
        effort=rng.choice(EFFORTS) if workload.reasoning else None,
        tier=choose(workload.tiers, rng) if workload.tiers else None,
    )
    if not workload.written:
        return drawn
    written = part(input_tokens - cached, workload.written, rng)
    return replace(drawn, usage=structs.replace(drawn.usage, cache_write_tokens=written))


def spread(median: float, sigma: float, rng: Random) -> int:
    """A whole number of at least 1, spread log-normally around its median."""
    return max(1, round(median * rng.lognormvariate(0, sigma)))


def part(whole: int, mean: float, rng: Random) -> int:
    """A part of a whole number, spread around its mean share; a mean of 0 is always 0."""
    return int(whole * rng.betavariate(4 * mean, 4 * (1 - mean))) if mean > 0 else 0


def choose(weights: Mapping[str, float], rng: Random) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]
