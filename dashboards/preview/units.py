"""Numbers as Grafana writes them, for the units that our panels use."""

from __future__ import annotations

from collections.abc import Callable

_SHORT = ((1e9, " Bil"), (1e6, " Mil"), (1e3, " K"))
_MONEY = ((1e9, "B"), (1e6, "M"), (1e3, "K"))
_TIMES = ((86_400_000.0, " d"), (3_600_000.0, " h"), (60_000.0, " min"), (1_000.0, " s"), (1.0, " ms"))


def formatted(value: float, unit: str, decimals: int | None = None) -> str:
    """The value with its unit.

    Args:
        unit: Grafana's id; `suffix:TEXT` stands behind the number, an unknown one is a plain number.
        decimals: None keeps three significant digits.
    """
    kind, _, own = unit.partition(":")
    if kind == "suffix":
        return f"{_number(value, decimals)} {own}"
    return _FORMATS.get(unit, _short)(value, decimals)


def _short(value: float, decimals: int | None) -> str:
    return _scaled(value, decimals, _SHORT)


def _usd(value: float, decimals: int | None) -> str:
    return f"{'-' if value < 0 else ''}${_scaled(abs(value), decimals, _MONEY)}"


def _locale(value: float, decimals: int | None) -> str:
    return f"{value:,.{3 if decimals is None else decimals}f}"


def _percent(value: float, decimals: int | None) -> str:
    return f"{_number(value * 100, decimals)}%"


def _milliseconds(value: float, decimals: int | None) -> str:
    size, suffix = next(((s, x) for s, x in _TIMES if abs(value) >= s), _TIMES[-1])
    return _number(value / size, decimals) + suffix


def _per_minute(value: float, decimals: int | None) -> str:
    return f"{_short(value, decimals)} req/min"


def _scaled(value: float, decimals: int | None, scale: tuple[tuple[float, str], ...]) -> str:
    size, suffix = next(((size, suffix) for size, suffix in scale if abs(value) >= size), (1.0, ""))
    return _number(value / size, decimals) + suffix


def _number(value: float, decimals: int | None) -> str:
    if decimals is not None:
        return f"{value:.{decimals}f}"
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    text = f"{value:.{2 if abs(value) < 10 else 1}f}" if abs(value) >= 0.1 else f"{value:.2g}"
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def _seconds(value: float, decimals: int | None) -> str:
    return _milliseconds(value * 1_000, decimals)


def _duration(value: float, decimals: int | None) -> str:
    """The two largest parts, as Grafana writes a duration with one decimal: `2 days, 4 hours`."""
    parts: list[str] = []
    left = round(value)
    for name, seconds in (("week", 604_800), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        number, left = divmod(left, seconds)
        if number or parts:
            parts.append(f"{number} {name}{'' if number == 1 else 's'}")
        if len(parts) == 1 + (decimals or 0):
            break
    return ", ".join(parts) or "0 seconds"


def _days_and_time(value: float, decimals: int | None) -> str:
    """`2 d 04:10:30`"""
    days, left = divmod(round(value), 86_400)
    clock = f"{left // 3_600:02}:{left // 60 % 60:02}:{left % 60:02}"
    return f"{days} d {clock}" if days else clock


def _bytes(value: float, decimals: int | None) -> str:
    scale = ((2.0**30, " GiB"), (2.0**20, " MiB"), (2.0**10, " KiB"))
    return _scaled(value, decimals, scale) if value >= 2**10 else f"{_number(value, decimals)} B"


def _plain(value: float, decimals: int | None) -> str:
    return _number(value, decimals)


def _operations_per_minute(value: float, decimals: int | None) -> str:
    return f"{_short(value, decimals)} ops/m"


def _scientific(value: float, decimals: int | None) -> str:
    return f"{value:.{1 if decimals is None else decimals}e}"


def _whole_percent(value: float, decimals: int | None) -> str:
    return f"{_number(value, decimals)}%"


_FORMATS: dict[str, Callable[[float, int | None], str]] = {
    "bytes": _bytes,
    "currencyUSD": _usd,
    "locale": _locale,
    "ms": _milliseconds,
    "none": _plain,
    "percent": _whole_percent,
    "percentunit": _percent,
    "opm": _operations_per_minute,
    "reqpm": _per_minute,
    "s": _seconds,
    "dtdurations": _duration,
    "dtdhms": _days_and_time,
    "sci": _scientific,
    "short": _short,
}
