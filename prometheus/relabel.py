"""What is changed or left out before a sample is stored, each with its reason.

Prometheus applies the list in its order, as the last step before ingestion, and never to `up`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from metrics import exporter as exporter_metrics
from metrics.family import MetricFamily
from prometheus.errors import ConfigError
from prometheus.promql import literal


@dataclass(frozen=True, slots=True)
class Relabel:
    """One entry of `metric_relabel_configs`.

    Attributes:
        reason: one line for whoever misses the data later.
        source_labels: their values, joined by `;`, are what `regex` is held against.
        regex: anchored at both ends.
        target_label, replacement: used by `replace` alone.
    """

    reason: str
    action: Literal["drop", "keep", "replace"]
    source_labels: tuple[str, ...]
    regex: str
    target_label: str = ""
    replacement: str = ""

    def document(self) -> dict[str, Any]:
        entry: dict[str, Any] = {"action": self.action, "source_labels": list(self.source_labels)}
        entry["regex"] = self.regex
        if self.action == "replace":
            entry |= {"target_label": self.target_label, "replacement": self.replacement}
        return entry


def drop_model(model: str) -> Relabel:
    """Stores no series of one model any more; what is stored already stays until it is deleted."""
    return Relabel(
        reason=f"no series of the model {model!r} are wanted",
        action="drop",
        source_labels=("model",),
        regex=literal(model),
    )


def cap_label(label: str, values: Iterable[str]) -> Relabel:
    """Stores these values of a label, and series without it; all others are left out.

    They are not put together under `other`: two series of one scrape that become the same are a fault, and
    Prometheus would keep one of them.
    """
    kept = tuple(values)
    return Relabel(
        reason=f"of {label}, these values alone are wanted: {', '.join(kept)}",
        action="keep",
        source_labels=(label,),
        regex="|".join(("", *map(literal, kept))),
    )


def drop_label(family: MetricFamily, label: str) -> Relabel:
    """Takes a label off a family that tells its series apart without it.

    Raises: ConfigError where the family has no such label, or no other that could tell them apart.
    """
    if label not in family.labels or len(family.labels) == 1:
        raise ConfigError(f"{family.name}: {label!r} cannot be dropped; labels: {', '.join(family.labels)}")
    return Relabel(
        reason=f"{family.name} is stored without {label}",
        action="replace",
        source_labels=("__name__",),
        regex="|".join(map(literal, family.series)),
        target_label=label,
        replacement="",
    )


def hide_identity() -> Relabel:
    """Stores the account's id in place of its display name, whatever the exporter says."""
    identity = exporter_metrics.IDENTITY
    return Relabel(
        reason=f"{identity.name} shows account ids alone: no personal data is stored",
        action="replace",
        source_labels=("__name__", "account_id"),
        regex=f"{identity.name};(.*)",
        target_label="display",
        replacement="$1",
    )
