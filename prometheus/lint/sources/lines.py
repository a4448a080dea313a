"""On which line of a file a text stands."""

from __future__ import annotations


def line_of(text: str, *clues: str) -> int:
    """The first line that holds one of the clues, from 1; the first clue that is found decides; else 0."""
    for clue in clues:
        at = text.find(clue) if clue else -1
        if at >= 0:
            return text.count("\n", 0, at) + 1
    return 0
