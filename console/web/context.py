"""What every page is made with."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from aiohttp import web

from console.conditions import Selection, selection
from console.store import Ledger
from console.web.access import Access
from console.web.rendering import Pages
from ledger.errors import LedgerError, TooSlow
from settings.model import Settings

T = TypeVar("T")

log = logging.getLogger("quotascope.console")


@dataclass(frozen=True, slots=True)
class Context:
    settings: Settings
    ledger: Ledger
    access: Access
    pages: Pages

    def selection(self, request: web.Request, *without: str) -> Selection:
        """What the query string asks for.

        Args:
            without: parameters that are not the filter's.
        Raises: ChoiceError.
        """
        pairs = [(name, value) for name, value in request.query.items() if name not in without]
        return selection(pairs, datetime.now(UTC), self.pages.zone.key)

    async def part(self, request: web.Request, title: str, made: Callable[[], Awaitable[str]]) -> str:
        """A part of a page; what goes wrong in it is said in its place, and the others go on."""
        try:
            return await made()
        except TooSlow as error:
            hint = "The rest of this page is correct; a shorter time range is faster."
            return self._problem(request, title, str(error), hint)
        except LedgerError as error:
            return self._problem(request, title, str(error), "See /health for details.")
        except Exception:
            log.exception("a part of a page failed")
            return self._problem(
                request, title, "Unexpected error in this part; see the log of the console.", ""
            )

    def _problem(self, request: web.Request, title: str, problem: str, hint: str) -> str:
        return self.pages.fragment(request, "part_problem.html", title=title, problem=problem, hint=hint)
