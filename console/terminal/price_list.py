"""The third view: models that are used without a price, then the prices in force."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.text import Text
from sqlalchemy import Connection
from textual.app import ComposeResult

from console import formats as f
from console.prices import Prices, named, prices
from console.terminal.dialogs import TextScreen
from console.terminal.listing import Cell, Column, Listing, Row
from console.terminal.view import Look, Part, View
from ledger.cli.prices import Unpriced, toml
from ledger.pricing.prices import DAWN, Price, PriceBook
from ledger.pricing.records import rates_record

MAX_ROWS = 500
RATES = ("input", "cached_input", "cache_write", "output")
COLUMNS = (
    Column("MODEL", 18, grows=True),
    Column("PROVIDER", 10),
    Column("INPUT", 8, right=True),
    Column("CACHED", 8, right=True),
    Column("WRITE", 8, right=True),
    Column("OUTPUT", 8, right=True),
    Column("SINCE", 10, right=True),
    Column("ORIGIN", 8, from_width=90),
    Column("TIERS", 24, from_width=120),
)
ORDERS: dict[str, Callable[[Price], object]] = {
    "model": lambda price: (price.model, price.provider, price.effective_from),
    "provider": lambda price: (price.provider, price.model, price.effective_from),
    "input rate": lambda price: (-(price.rates.input or 0), price.model, price.effective_from),
}


class PriceList(View):
    """US dollars per million tokens; of models that were used in the last 30 days, or of all that a filter
    names."""

    TITLE = "Prices"
    SORTS = tuple(ORDERS)

    def __init__(self, look: Look, again: Callable[[], None]) -> None:
        super().__init__(look, again)
        self._found: Prices | None = None
        self._book: PriceBook | None = None

    def compose(self) -> ComposeResult:
        yield Listing(COLUMNS, self.look.signs)

    def parts(self) -> Sequence[Part]:
        return (Part("prices", self._ask, self._show_prices, share=0.02),)

    def _ask(self, connection: Connection, book: PriceBook) -> tuple[Prices, PriceBook]:
        return prices(connection, book, self.look.now()), book

    @property
    def hint(self) -> str:
        missing = len(self._found.unpriced) if self._found else 0
        models = "1 model" if missing == 1 else f"{missing} models"
        told = f"{models} without a price" if missing else "every used model has a price"
        unit = "US dollars per million tokens"
        return "  ".join(filter(None, (told if self._found else "", unit, super().hint)))

    def _show_prices(self, answer: tuple[Prices, PriceBook]) -> None:
        self._found, self._book = answer
        self.redraw()

    def redraw(self) -> None:
        if self._found is None or self._book is None:
            self.listing.fill((), empty="asking the ledger")
            return
        missing = [one for one in self._found.unpriced if self.holds(one.model, one.provider)]
        wanted = named(self._book, self.text.lower()) if self.text else self._found.used
        shown = sorted(wanted, key=ORDERS[self.SORTS[self.sort]])  # type: ignore[arg-type]
        rows = [*map(self._missing_row, missing), *map(_price_row, shown[:MAX_ROWS])]
        self.listing.fill(rows, empty="no price of that name" if self.text else "no model was used so far")

    def _missing_row(self, one: Unpriced) -> Row:
        cells = (f.text(one.model, 60), f.text(one.provider, 20), "NO PRICE", *("",) * 3)
        last = f"{one.last.astimezone(self.look.zone):%Y-%m-%d}"
        return Row(
            one, tuple(Cell(text, "bold red") for text in (*cells, last, f"{f.short(one.requests)} req"))
        )

    def on_listing_opened(self, message: Listing.Opened) -> None:
        message.stop()
        one = message.key
        if isinstance(one, Unpriced):
            head = "Into codex-usage.toml, in US dollars per million tokens:\n\n"
            self.app.push_screen(TextScreen("No price", Text(self.look.signs.plain(head + toml(one)))))
        elif isinstance(one, str) and self._book is not None:
            price = next(price for price in self._book.prices if _key(price) == one)
            self.app.push_screen(TextScreen("Price", Text(self.look.signs.plain(_told(price)))))


def _key(price: Price) -> str:
    return f"{price.provider} {price.model} {price.effective_from.isoformat()} {price.origin}"


def _price_row(price: Price) -> Row:
    rates = rates_record(price.rates)
    return Row(
        _key(price),
        (
            f.text(price.model, 60),
            f.text(price.provider, 20),
            *(rates.get(kind, f.NOTHING) for kind in RATES),
            _since(price),
            price.origin,
            " ".join(sorted(price.tiers)),
        ),
    )


def _since(price: Price) -> str:
    return "always" if price.effective_from == DAWN else f"{price.effective_from:%Y-%m-%d}"


def _told(price: Price) -> str:
    lines = [f"{f.text(price.model)}  {f.text(price.provider)}  since {_since(price)}", ""]
    cards = [("", price.card), *sorted(price.tiers.items())]
    for tier, card in cards:
        for above, rates in ((0, card.rates), *card.above):
            title = " ".join(filter(None, (tier, f"input above {above:,} tokens" if above else "")))
            lines.append(f"{title or 'rates'}:")
            lines += [f"  {kind.replace('_', ' '):20} {rate}" for kind, rate in rates_record(rates).items()]
    lines += ["", f"origin: {price.origin}"]
    told = (("names", ", ".join(price.names)), ("reason", price.reason), ("source", price.source))
    lines += [f"{name}: {f.text(text)}" for name, text in (*told, ("as of", price.as_of)) if text]
    return "\n".join(lines)
