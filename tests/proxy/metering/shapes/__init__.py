"""Answers of every common shape: structure as recorded, content invented; and what has to be counted."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
ASKED = '{"model":"asked-model","messages":[]}'


@dataclass(frozen=True)
class Shape:
    """One answer.

    Attributes:
        path: of the request, below the base path.
        ask: the request's body.
        head: what the answer's head says beside its content type.
        counts: what has to be counted.
    """

    name: str
    path: str
    content: str
    body: bytes
    ask: str
    counts: dict[str, Any]
    head: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def shapes() -> list[Shape]:
    """All of them."""
    return [
        Shape(
            name=found["name"],
            path=found["path"],
            content=found["content"],
            body=found["body"].lstrip("\n").encode(),
            ask=found.get("ask", ASKED),
            counts=found["counts"],
            head=found.get("head", {}),
        )
        for file in sorted(FOLDER.glob("*.toml"))
        for found in tomllib.loads(file.read_text(encoding="utf-8"))["shape"]
    ]
