"""`/accounts`: how each stands, what to do next, and doing it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from aiohttp import web

from console import accounts as views
from console.actions import ACTIONS, ORIGIN, WORDS
from console.errors import PageError
from console.web.access import form_of, operator
from console.web.context import Context
from console.web.sessions import Visitor
from ledger.accounts import candidates, changes
from ledger.accounts.configured import PLANS, checked, described
from ledger.errors import AccountError, AccountExists
from ledger.quota.estimate import QuotaRules
from settings.errors import SettingsError
from settings.load import account_table

FORM = ("id", "credential", "email", "plan", "pool", "upstream_base_url")
QUEUE_WORDS = {"reauth": "renew credential", "remove": "remove", "review": "investigate"}


class AccountPages:
    def __init__(self, context: Context) -> None:
        self._context = context
        quota = context.settings.quota
        self._rules = QuotaRules.configured(**quota.model_dump(exclude={"capacity"}))
        self._emails = context.settings.metrics.account_identity_mode == "email"

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/accounts", self.list),
            web.get("/accounts/{id}", self.detail),
            web.get("/accounts/{id}/{action:pause|resume|reauth|remove}", self.confirm),
            web.post("/accounts/{id}/{action:pause|resume|reauth|remove}", self.act),
            web.post("/accounts", self.add),
            web.post("/accounts/{id}/queue", self.decide),
            web.get("/part/quota/{id}", self.quota),
        ]

    async def list(self, request: web.Request, *, problem: str = "", given: Any = None) -> web.Response:
        """Accounts, the action queue, and the form to add one."""
        now = datetime.now(UTC)
        found = (
            await self._context.ledger.ask(
                lambda c, book: views.account_list(c, book, now, emails=self._emails)
            )
            if self._context.ledger.exists
            else views.AccountList((), (), ())
        )
        return self._context.pages.page(
            request,
            "accounts.html",
            status=409 if problem else 200,
            list=found,
            routable={view.id for view in found.views if view.credential},
            words=WORDS,
            queue_words=QUEUE_WORDS,
            plans=PLANS,
            problem=problem,
            given=given or dict.fromkeys(FORM, ""),
        )

    async def detail(self, request: web.Request) -> web.Response:
        name, now = request.match_info["id"], datetime.now(UTC)
        found = await self._context.ledger.ask(
            lambda c, book: views.account_detail(c, book, name, now, emails=self._emails)
        )
        if not found.known:
            raise PageError(404, "no account and no request has this name")
        values: dict[str, Any] = {
            "detail": found,
            "name": name,
            "words": WORDS,
            "done": request.query.get("done", ""),
        }
        return self._context.pages.page(request, "account.html", **values)

    async def quota(self, request: web.Request) -> web.Response:
        """What an account's week is worth; asked for after the list, since it takes its time."""
        name, now = request.match_info["id"], datetime.now(UTC)
        found = await self._context.ledger.ask(
            lambda c, book: views.quota_of(c, book, name, now, self._rules)
        )
        reasons = [views.REASONS[reason] for reason in found.reasons]
        values: dict[str, Any] = {"quota": found, "usd": views.usd(found.usd), "reasons": reasons}
        return self._context.pages.page(request, "part_quota.html", **values)

    async def confirm(self, request: web.Request) -> web.Response:
        operator(request)
        action = request.match_info["action"]
        name = request.match_info["id"]
        if not await self._context.ledger.ask(lambda c, _book: views.is_known(c, name)):
            raise PageError(404, "there is no such account")
        values: dict[str, Any] = {"name": name, "action": action, "words": WORDS[action]}
        template = "part_confirm.html" if request.headers.get("HX-Request") else "confirm.html"
        return self._context.pages.page(request, template, **values)

    async def act(self, request: web.Request) -> web.StreamResponse:
        who, name, action = operator(request), request.match_info["id"], request.match_info["action"]
        change, now = ACTIONS[action], datetime.now(UTC)
        await self._context.ledger.change(lambda c: change(c, name, now, ORIGIN, _actor(who)))
        raise web.HTTPSeeOther(f"/accounts/{quote(name, safe='')}?done={action}")

    async def add(self, request: web.Request) -> web.StreamResponse:
        """Add an account; what is wrong with it is said above the form."""
        who, form = operator(request), await form_of(request)
        given = {name: str(form.get(name, "")).strip() for name in FORM}
        name, now = given.pop("id"), datetime.now(UTC)
        try:
            if name in self._context.settings.accounts:
                raise AccountExists(name, "it is in the configuration file")
            values = {key: value for key, value in given.items() if value}
            account = described(name, account_table(name, values))
            checked(account)
            await self._context.ledger.change(lambda c: changes.add(c, account, now, ORIGIN, _actor(who)))
        except (SettingsError, AccountError) as error:
            # A credential that is no reference may be the secret itself: it is not shown again.
            return await self.list(request, problem=str(error), given={**given, "id": name, "credential": ""})
        raise web.HTTPSeeOther(f"/accounts/{quote(name, safe='')}?done=add")

    async def decide(self, request: web.Request) -> web.StreamResponse:
        who, form, now = operator(request), await form_of(request), datetime.now(UTC)
        name, kind, decision = request.match_info["id"], str(form.get("kind")), str(form.get("decision"))
        await self._context.ledger.change(
            lambda c: candidates.decide(c, name, kind, decision, now, _actor(who))
        )
        raise web.HTTPSeeOther("/accounts#queue")


def _actor(who: Visitor) -> str:
    return who.name[:100]
