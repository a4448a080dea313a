"""`[pricing]`: prices that override the known ones."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from settings.kinds import Rate, Section


class ModelPrice(Section):
    provider: str | None = Field(
        None, max_length=40, description="whose model it is; without it whatever the provider of a request"
    )
    prompt_per_1m: Rate = Field(description="US dollars per million input tokens")
    cached_prompt_per_1m: Rate | None = Field(
        None, description="US dollars per million cached input tokens; without it the input rate"
    )
    cache_write_per_1m: Rate | None = Field(
        None,
        description="US dollars per million input tokens written to a cache; without it the input rate",
    )
    cache_write_1h_per_1m: Rate | None = Field(
        None, description="the same for an hour; without it as `cache_write_per_1m`"
    )
    completion_per_1m: Rate = Field(description="US dollars per million output tokens")


class Pricing(Section):
    currency: Literal["USD"] = Field("USD", description="the currency of all prices; only USD")
    models: dict[str, ModelPrice] = Field(
        default_factory=dict, description="prices by model name; they override the seeded ones"
    )
