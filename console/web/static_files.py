"""Styles and scripts: read once, served under an address that changes with their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from console.errors import PageError

FOLDER = Path(__file__).with_name("static")
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".webp": "image/webp"}


@dataclass(frozen=True, slots=True)
class StaticFile:
    name: str
    body: bytes
    content_type: str

    @property
    def address(self) -> str:
        return f"/static/{self.name}?{hashlib.sha256(self.body).hexdigest()[:12]}"


def static_files() -> dict[str, StaticFile]:
    return {
        path.name: StaticFile(path.name, path.read_bytes(), TYPES[path.suffix])
        for path in sorted(FOLDER.iterdir())
        if path.suffix in TYPES
    }


def serve(files: dict[str, StaticFile], request: web.Request) -> web.Response:
    """The file that a path names; for a year, since another content has another address."""
    found = files.get(request.match_info["name"])
    if found is None:
        raise PageError(404, "there is no such file")
    return web.Response(
        body=found.body,
        content_type=found.content_type,
        charset="utf-8" if found.content_type.startswith("text/") else None,
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )
