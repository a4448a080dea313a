"""Durations as Prometheus and Grafana write them: one number, one unit."""

from __future__ import annotations

from datetime import timedelta

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


def promql(value: timedelta) -> str:
    """The duration in the largest unit that leaves it whole: `15s`, `5m`, `1d`, `90m`, `250ms`.

    Raises: ValueError where it is not a positive number of milliseconds.
    """
    milliseconds, rest = divmod(value, timedelta(milliseconds=1))
    if milliseconds <= 0 or rest:
        raise ValueError(f"{value!r} is not a positive number of milliseconds")
    unit, size = next((unit, size) for unit, size in _UNITS if milliseconds % size == 0)
    return f"{milliseconds // size}{unit}"
