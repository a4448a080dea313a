"""The application: every page behind the same rules."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from console.errors import ChoiceError, PageError
from console.store import Ledger
from console.web import overview
from console.web.access import COOKIE, NEW_COOKIE, Access
from console.web.context import Context
from console.web.feed import Feed
from console.web.pages.accounts import AccountPages
from console.web.pages.conversations import ConversationPages
from console.web.pages.documents import DocumentPages
from console.web.pages.exports import ExportPages
from console.web.pages.health import HealthPages
from console.web.pages.keys import KeyPages
from console.web.pages.live import LivePages
from console.web.pages.login import LoginPages
from console.web.pages.prices import PricePages
from console.web.pages.requests import RequestPages
from console.web.rendering import Pages
from console.web.static_files import serve, static_files
from ledger.errors import AccountError, FilterError, LedgerError, TooSlow
from ledger.pricing.prices import PriceBook
from ledger.requests.filter import Dimension, RequestFilter
from ledger.requests.totals.row_ids import read_ahead
from settings.model import Settings

DAYS = (1, 7, 30, 365)
MAX_TRIES = 30
"""Each goes on where the one before it ran out of time."""

PAUSE = 0.2
"""Seconds between two questions: visitors go first."""

AGAIN = 3_600.0
"""Seconds until it is looked whether another day is over."""

DIMENSIONS: tuple[Dimension, ...] = ("model", "account_id", "api_key_id")
Question = Callable[[Connection, PriceBook], Any]


async def warm(ledger: Ledger) -> None:
    """Ask everything once, one question at a time, and again and again read the rows of days that are over;
    what cannot be asked is left to the visitor."""
    now = datetime.now(UTC)
    for days in DAYS:
        for question in _questions(RequestFilter(now - timedelta(days=days), now)):
            await _answered(ledger, question)
    while True:
        for number in count():
            if not await _answered(ledger, _ahead(number)):
                break
        await asyncio.sleep(AGAIN)


async def _answered(ledger: Ledger, question: Question) -> Any:
    """None where it cannot be asked now."""
    await asyncio.sleep(PAUSE)
    for _ in range(MAX_TRIES if ledger.exists else 0):
        try:
            return await ledger.ask(question)
        except TooSlow:
            continue
        except LedgerError:
            break
    return None


def _ahead(number: int) -> Question:
    return lambda c, _book: read_ahead(c, number)


def _questions(where: RequestFilter) -> list[Question]:
    def table(dimension: Dimension) -> Question:
        return lambda c, book: overview.table(c, book, where, dimension, {})

    return [
        lambda c, book: overview.summary(c, book, where),
        lambda c, book: overview.timeline(c, book, where),
        *map(table, DIMENSIONS),
        lambda c, book: overview.telling(c, book, where),
    ]


log = logging.getLogger("quotascope.console")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_FORM_BYTES = 64 * 1024

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

TITLES = {
    400: "Bad request",
    401: "Login required",
    403: "Not allowed",
    404: "Page not found",
    405: "Method not allowed",
    413: "Request too large",
    503: "Temporarily unavailable",
}


REASONS = {
    404: "no such page; use the navigation above",
    405: "this URL does not accept this method",
    413: "the form is too large",
}


def application(settings: Settings, ledger: Ledger) -> web.Application:
    files = static_files()
    access = Access(settings)
    context = Context(settings, ledger, access, Pages(settings, access, files))
    feed = Feed(ledger)
    live = LivePages(context, feed)
    app = web.Application(
        middlewares=[_Answers(context).middleware, access.middleware], client_max_size=MAX_FORM_BYTES
    )
    kinds = (
        *(RequestPages, ConversationPages, AccountPages, KeyPages),
        *(PricePages, ExportPages, HealthPages, LoginPages),
    )
    documents = DocumentPages(context, files)
    for pages in (*(kind(context) for kind in kinds), documents, live):
        app.add_routes(pages.routes())

    async def static(request: web.Request) -> web.Response:
        return serve(files, request)

    async def warming(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(warm(ledger))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def begin_to_end(_app: web.Application) -> None:
        await live.end()

    async def end(_app: web.Application) -> None:
        await feed.end()
        ledger.close()

    async def finished(request: web.Request, response: web.StreamResponse) -> None:
        _finish(context, request, response)

    app.router.add_get("/static/{name:[a-z.-]{1,40}}", static)
    app.on_response_prepare.append(finished)
    app.cleanup_ctx.append(warming)
    app.on_shutdown.append(begin_to_end)
    app.on_cleanup.append(end)
    return app


class _Answers:
    """What every answer has: its headers, a cookie where there was none, and errors written for a person."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            response = self._problem(request, error.status, REASONS.get(error.status, error.reason))
        except PageError as error:
            response = self._problem(request, error.status, str(error))
        except (ChoiceError, FilterError) as error:
            response = self._problem(request, 400, str(error))
        except AccountError as error:
            response = self._problem(request, 409, str(error))
        except TooSlow as error:
            response = self._problem(request, 503, str(error))
        except LedgerError as error:
            response = self._problem(request, 503, str(error))
        except (ConnectionError, TimeoutError):
            raise
        except Exception:
            log.exception("a page failed")
            response = self._problem(request, 500, "Unexpected error; see the log of the console.")
        return response

    def _problem(self, request: web.Request, status: int, problem: str) -> web.Response:
        """For a person as a page; for programs, and parts of pages, as one line."""
        known = COOKIE in request
        wants_page = "text/html" in request.headers.get("Accept", "") and not request.headers.get(
            "HX-Request"
        )
        if known and wants_page:
            title = TITLES.get(status, "Request failed")
            values = {"title": title, "problem": problem}
            return self._context.pages.page(request, "error.html", status=status, **values)
        return web.Response(status=status, text=f"{problem}\n")


def _finish(context: Context, request: web.Request, response: web.StreamResponse) -> None:
    """Headers of every answer, before its first byte."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    if request.get(NEW_COOKIE) and response.content_type == "text/html":
        # At this moment the cookies of the response itself are headers already.
        made = web.Response()
        context.access.give_cookie(made, request[COOKIE])
        response.headers.add("Set-Cookie", made.cookies.output(header="").strip())
