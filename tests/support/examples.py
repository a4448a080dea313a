"""How many examples a property is tried on: the numbers of the tests are those of the whole suite."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

OF_UNITS = 15
"""Percent of them that the lane of unit tests takes, which is to last seconds."""


def set_up(*, unit: bool) -> None:
    """No example fails for its time: the machine may be busy."""
    settings.register_profile(
        "quotascope",
        deadline=None,
        max_examples=OF_UNITS if unit else 100,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("quotascope")


def examples(number: int) -> settings:
    """So many, each of which leaves a test's fixtures as it found them."""
    kept = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    return settings(max_examples=max(2, number * settings().max_examples // 100), suppress_health_check=kept)
