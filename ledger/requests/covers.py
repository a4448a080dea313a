"""How a stretch of time is made up of blocks: slots, hours and whole days, in slots since 1970."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ledger.requests.rollups import SLOTS

SLOT, HOUR, DAY = 1, SLOTS, 24 * SLOTS
"""Lengths of blocks in slots. Prices change at UTC midnights alone, so that in a day each is the same."""

READ_AT_ONCE = {SLOT: 36, HOUR: 48, DAY: 2}
"""Blocks that one statement reads: some tenths of a second at 100,000 requests a day."""

Block = tuple[int, int]
"""[first, last) in slots since 1970."""


def cover(first: int, last: int, newest: int | None, *, by_day: bool = False) -> Iterator[Block]:
    """The fewest blocks that make up [first, last). The day of the newest slot changes all the time: it is
    read by hours.

    Args:
        by_day: each day by itself.
    """
    while first < last:
        size = next(s for s in (DAY, HOUR, SLOT) if _fits(first, s, last, newest))
        end = first + size
        while size == DAY and not by_day and _fits(end, DAY, last, newest):
            end += DAY
        yield first, end
        first = end


def _fits(first: int, size: int, last: int, newest: int | None) -> bool:
    changing = size > HOUR and newest is not None and first <= newest < first + size
    return first % size == 0 and first + size <= last and not changing


def length(block: Block) -> int:
    return block[1] - block[0]


def runs(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Blocks of one length next to each other; the last first."""
    run: list[Block] = []
    for block in sorted(blocks, reverse=True):
        size = length(block)
        if run and (length(run[-1]) != size or run[-1][0] != block[1] or len(run) == READ_AT_ONCE[size]):
            yield run
            run = []
        run.append(block)
    if run:
        yield run
