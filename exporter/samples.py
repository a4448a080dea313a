"""What the subjects say and the exposition writes: values of one family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
