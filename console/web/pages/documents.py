"""`/runbooks/NAME`: what to do when an alert fires; `/dashboards`: Grafana's, with a picture of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from markdown_it import MarkdownIt
from markupsafe import Markup

from console.errors import PageError
from console.web.context import Context
from console.web.static_files import StaticFile

RUNBOOKS = Path(__file__).parents[3] / "runbooks"
"""Where the pages lie, in a checkout as in the image."""

_NAME = re.compile(r"[a-z0-9-]{1,80}")
_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
_LINK = re.compile(r"(?:\.\./)?(?:tasks/)?([a-z0-9-]+)\.md(#[\w-]+)?")


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One of Grafana's: its uid, its title, what it is about, and its picture among the static files."""

    uid: str
    title: str
    about: str
    picture: str


DASHBOARDS: tuple[Dashboard, ...] = (
    Dashboard(
        "quotascope-overview", "Overview", "Cost, requests, errors, latency and tokens.", "overview.webp"
    ),
    Dashboard(
        "quotascope-accounts", "Accounts and quota", "Quota windows, estimates and resets.", "accounts.webp"
    ),
    Dashboard("quotascope-routing", "Routing", "Account selection, cooldowns and retries.", "routing.webp"),
    Dashboard("feejooeqieio0c", "API Key Usage", "Requests and tokens by masked key.", "api-keys.webp"),
    Dashboard("quotascope-tokens", "Token Usage Metrics", "Prompt and completion tokens.", "tokens.webp"),
    Dashboard("quotascope-activity", "Activity by hour", "One account by the hour.", "activity.webp"),
    Dashboard("quotascope-pipeline", "Pipeline health", "Scrapes, queues and lag.", "pipeline.webp"),
)
"""The page knows them by heart: it may not import the room that builds them. A test compares."""


class DocumentPages:
    def __init__(self, context: Context, files: dict[str, StaticFile]) -> None:
        self._context, self._files = context, files
        self._markdown = MarkdownIt("commonmark", {"html": False}).enable("table")

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/runbooks", self.list),
            web.get("/runbooks/{name}", self.runbook),
            web.get("/dashboards", self.dashboards),
        ]

    async def list(self, request: web.Request) -> web.Response:
        values: dict[str, Any] = {"alerts": _titles(RUNBOOKS), "tasks": _titles(RUNBOOKS / "tasks")}
        return self._context.pages.page(request, "runbooks.html", **values)

    async def runbook(self, request: web.Request) -> web.Response:
        """One page, by its name with or without its ending."""
        name = request.match_info["name"].removesuffix(".md")
        text = _text(name)
        if text is None:
            raise PageError(404, "there is no such runbook")
        body = Markup(self._markdown.render(_with_own_links(text)))  # noqa: S704, html of its own is off
        return self._context.pages.page(request, "runbook.html", body=body, title=_title(text, name))

    async def dashboards(self, request: web.Request) -> web.Response:
        pictures = {one.picture: self._files[one.picture].address for one in DASHBOARDS}
        values: dict[str, Any] = {"dashboards": DASHBOARDS, "pictures": pictures}
        return self._context.pages.page(request, "dashboards.html", **values)


def _text(name: str) -> str | None:
    """A page of the folder, and of nothing else."""
    if not _NAME.fullmatch(name):
        return None
    for path in (RUNBOOKS / f"{name}.md", RUNBOOKS / "tasks" / f"{name}.md"):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    return None


def _titles(folder: Path) -> list[tuple[str, str, str]]:
    """Name, title and first sentence of each page of a folder."""
    found = []
    for path in sorted(folder.glob("*.md")):
        if path.name != "README.md":
            text = path.read_text(encoding="utf-8")
            paragraphs = [part for part in text.split("\n\n") if part and not part.startswith("#")]
            found.append((path.stem, _title(text, path.stem), " ".join(paragraphs[0].split())))
    return found


def _title(text: str, name: str) -> str:
    found = _TITLE.search(text)
    return found[1] if found else name


def _with_own_links(text: str) -> str:
    """Links from page to page lead to their addresses here."""
    return re.sub(rf"\]\({_LINK.pattern}\)", r"](/runbooks/\1\2)", text)
