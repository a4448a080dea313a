"""The requests of a stretch of ids, as they are remembered."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger.request_rows import Digest

Kept = tuple[int, int, int, int]
"""id, number of the account, time, cost."""


@dataclass(slots=True)
class Page:
    """Rows of the ids [low, high); high is None in the last page, which grows.

    Attributes:
        digest: of the rows as they were read.
        columns: of the rows that were young enough to keep: id, account, time, cost.
        unreadable: ids of the rows that could not be understood.
    """

    low: int
    high: int | None = None
    digest: Digest = ()
    columns: tuple[array[int], ...] = field(default_factory=lambda: tuple(array("q") for _ in range(4)))
    unreadable: tuple[int, ...] = ()

    def kept(self) -> set[Kept]:
        """The rows that are remembered."""
        return set(zip(*self.columns, strict=True))

    def keep(self, rows: set[Kept]) -> None:
        """Remember these rows in place of what was."""
        parts = zip(*rows, strict=True) if rows else ((),) * 4
        self.columns = tuple(array("q", part) for part in parts)

    def newest(self) -> int:
        """When the newest of them ended; 0 where there is none."""
        return max(self.columns[2], default=0)

    def is_as_read(self, digest: Digest) -> bool:
        """Whether the rows are those that were read. A row that was not understood may have been mended,
        and a digest does not tell."""
        return digest == self.digest and not self.unreadable


def marks(pages: Sequence[Page]) -> set[tuple[int, int, int]]:
    """What the rows of some pages are known again by: id, account and time."""
    return {row for page in pages for row in zip(*page.columns[:3], strict=True)}
