"""Where the marks of a time axis stand, and what they say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dashboards.preview.grafana_time import Range

_STEPS = tuple(
    timedelta(minutes=minutes)
    for minutes in (1, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1_440, 2_880, 10_080, 43_200)
)


def ticks(shown: Range, most: int) -> list[tuple[datetime, str]]:
    """Round times of the range's zone with their labels; a midnight says its day.

    Args:
        most: about how many there may be.
    """
    step = next((s for s in _STEPS if shown.length / s <= most), _STEPS[-1])
    marks = []
    mark = shown.start.replace(hour=0, minute=0, second=0, microsecond=0)
    while mark <= shown.end:
        # There and back: a time that the clocks jump over is moved to one that exists.
        existing = mark.astimezone(UTC).astimezone(mark.tzinfo)
        if existing >= shown.start:
            marks.append(
                (
                    existing,
                    f"{existing:%b %d}" if existing.hour == existing.minute == 0 else f"{existing:%H:%M}",
                )
            )
        mark += step
    return marks
