"""Samples -> the text that Prometheus reads, as plain text or as OpenMetrics.

Written here and not by prometheus_client because a thousand accounts have some fifteen thousand values,
and building an object for each takes longer than reading them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from metrics.exporter import FAMILIES
from metrics.family import MetricFamily


@dataclass(frozen=True, slots=True)
class Samples:
    """What one scrape knows of one family.

    Attributes:
        values: label values in the order of the family's labels -> value in the family's unit. A family
            without labels has the one key (); a value that is not known has no key.
    Raises: ValueError where a key does not fit the labels.
    """

    family: MetricFamily
    values: Mapping[tuple[str, ...], float]

    def __post_init__(self) -> None:
        if set(map(len, self.values)) - {len(self.family.labels)}:
            wrong = next(key for key in self.values if len(key) != len(self.family.labels))
            raise ValueError(f"{self.family} has the labels {self.family.labels}, not {wrong}")


PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

MAX_STARTS = 50_000
"""Lines of one family whose beginning is remembered; accounts come and go."""

Histograms = Mapping[tuple[str, ...], tuple[Sequence[int], float]]

_ODD = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def content_type(accept: str) -> str:
    """The format for a header Accept: OpenMetrics for who asks for it and does not prefer plain text."""
    wanted: dict[str, float] = {}
    for entry in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in entry.split(";"))
        wanted[kind] = max(wanted.get(kind, 0.0), _quality(parameters))
    asked = wanted.get("application/openmetrics-text", 0.0)
    return OPENMETRICS if asked and asked >= wanted.get("text/plain", 0.0) else PLAIN


def _quality(parameters: Iterable[str]) -> float:
    try:
        return next((float(part[2:]) for part in parameters if part.startswith("q=")), 1.0)
    except ValueError:
        return 1.0


class Beginnings:
    """When series of counters began that this process has seen appear.

    What a scrape lacks of a family that it could read was 0 then. Only OpenMetrics has a place for such a
    moment; Prometheus can count the first request of a new series by it.
    """

    def __init__(self) -> None:
        self._known: dict[str, dict[tuple[str, ...], float | None]] = {}
        self._last: dict[str, float] = {}

    def look(self, family: MetricFamily, keys: Iterable[tuple[str, ...]], now: float) -> None:
        """Note the series that a scrape at that unix time has of a counter or histogram."""
        known, before = self._known.setdefault(family.name, {}), self._last.get(family.name)
        if len(known) >= MAX_STARTS:
            known.clear()
            before = None
        for key in keys:
            known.setdefault(key, before)
        self._last[family.name] = now

    def of(self, family: MetricFamily, key: tuple[str, ...]) -> float | None:
        """Unix time at which the series was 0; None where nobody saw."""
        return self._known.get(family.name, {}).get(key)


@dataclass(frozen=True, slots=True)
class Exposition:
    """What one scrape knows, in whichever format it is asked for.

    Attributes:
        samples: of counters and gauges.
        histograms: by label values each bucket's count with those below it, +Inf last, and the sum.
        families: every one that is declared, histograms left out.
    """

    samples: Sequence[Samples]
    beginnings: Beginnings
    histograms: Mapping[MetricFamily, Histograms] = field(default_factory=dict)
    families: Sequence[MetricFamily] = FAMILIES

    def look(self, now: float) -> Exposition:
        """Note which series there are at that unix time; returns itself."""
        for each in self.samples:
            if each.family.kind == "counter":
                self.beginnings.look(each.family, each.values, now)
        for family, values in self.histograms.items():
            self.beginnings.look(family, values, now)
        return self

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """The text of the scrape and its content type, for a header Accept."""
        kind = content_type(accept)
        beginnings = self.beginnings if kind == OPENMETRICS else None
        parts = [render(self.samples, self.families, beginnings)]
        parts += [histogram(*each, beginnings) for each in self.histograms.items()]
        return b"".join((*parts, b"# EOF\n") if beginnings is not None else parts), kind


def render(
    samples: Iterable[Samples],
    families: Sequence[MetricFamily] = FAMILIES,
    beginnings: Beginnings | None = None,
) -> bytes:
    """Every declared family with its help and type, without values where nothing is known of it.

    Args:
        beginnings: makes it OpenMetrics, but for the line at its end.
    Raises: KeyError for a family that is not declared in `metrics.exporter`.
    """
    lines = {family.name: [_head(family, beginnings)] for family in families}
    for each in samples:
        family, starts = each.family, _starts(each.family)
        if beginnings is not None and family.kind == "counter":
            lines[family.name] += _counters(each, starts, beginnings)
        else:
            found = each.values.items()
            lines[family.name] += [f"{starts[key]}{_number(value)}\n" for key, value in found]
    return "".join("".join(part) for part in lines.values()).encode()


def _counters(samples: Samples, starts: _Starts, beginnings: Beginnings) -> Iterator[str]:
    for key, value in samples.values.items():
        yield f"{starts[key]}{_number(value)}\n"
        if (since := beginnings.of(samples.family, key)) is not None:
            yield _created(samples.family, starts[key][len(samples.family.name) : -1], since)


def _created(family: MetricFamily, labels: str, since: float) -> str:
    return f"{family.name.removesuffix('_total')}_created{labels} {_number(since)}\n"


class _Starts(dict[tuple[str, ...], str]):
    """Label values -> how their line begins: `name{label="value",...} `. The same from scrape to scrape."""

    def __init__(self, family: MetricFamily) -> None:
        self._family = family

    def __missing__(self, key: tuple[str, ...]) -> str:
        if len(self) >= MAX_STARTS:
            self.clear()
        pairs = zip(self._family.labels, (value.translate(_ESCAPES) for value in key), strict=True)
        labels = "{" + ",".join(f'{name}="{value}"' for name, value in pairs) + "}" if key else ""
        start = self[key] = f"{self._family.name}{labels} "
        return start


@cache
def _starts(family: MetricFamily) -> _Starts:
    return _Starts(family)


def _head(family: MetricFamily, beginnings: Beginnings | None) -> str:
    name, text = family.name, family.help
    if beginnings is not None:
        name = name.removesuffix("_total") if family.kind == "counter" else name
        text = text.replace('"', r"\"")
    return f"# HELP {name} {text}\n# TYPE {name} {family.kind}\n"


def _number(value: float) -> str:
    text = repr(float(value))
    return _ODD.get(text, text)


def histogram(family: MetricFamily, values: Histograms, beginnings: Beginnings | None = None) -> bytes:
    """The text of one histogram; see `Exposition` and `render`."""
    lines = [_head(family, beginnings)]
    bounds = [*map(_number, family.buckets), "+Inf"]
    for key, (counts, total) in values.items():
        pairs = list(zip(family.labels, (value.translate(_ESCAPES) for value in key), strict=True))
        labels = ",".join(f'{name}="{value}"' for name, value in pairs)
        before = f"{labels}," if labels else ""
        lines += [
            f'{family.bucket}{{{before}le="{bound}"}} {count}\n'
            for bound, count in zip(bounds, counts, strict=True)
        ]
        whole = f"{{{labels}}}" if labels else ""
        lines += [f"{family.sum}{whole} {_number(total)}\n", f"{family.count}{whole} {counts[-1]}\n"]
        if beginnings is not None and (since := beginnings.of(family, key)) is not None:
            lines.append(_created(family, whole, since))
    return "".join(lines).encode()
