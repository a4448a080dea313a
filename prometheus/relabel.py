"""What is changed or left out before a sample is stored, each with its reason.

Prometheus applies the list in its order, as the last step before ingestion, and never to `up`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from exporter import metrics as exporter_metrics
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
    action: Literal["drop", "replace"]
    source_labels: tuple[str, ...]
    regex: str
    target_label: str = ""
    replacement: str = ""

    def document(self) -> dict[str, Any]:
        """The entry as Prometheus reads it."""
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
