"""Pipeline health: whether what the other dashboards show can be trusted."""

from __future__ import annotations

from dashboards.kit import colors, frame, links, panels, variables
from dashboards.kit.layout import Row, place
from dashboards.kit.parts import About
from dashboards.kit.plain import Json
from dashboards.kit.tables import Column, table
from dashboards.kit.words import NO_TRAFFIC, averaged, of_requests
from dashboards.queries import pipeline as queries
from prometheus import addresses
from prometheus.config import RuleConfig

UID = addresses.PIPELINE
TITLE = "Pipeline health"
DESCRIPTION = (
    "Scrapes, the request log's buffer, the ledger's lag, the exporter's collectors, and collected gateways."
)

_NOT_SCRAPED = "Nothing is scraped: does Prometheus run with our scrape configuration?"
_NO_COLLECTOR = "No collector is scraped in this range: none is configured, or it does not run"
_NO_EXPORTER = "The exporter is not scraped in this range"


def dashboard(config: RuleConfig) -> Json:
    rows = (
        Row(
            panels.row("Alerts and scrapes"),
            7,
            (
                (8, firing(config)),
                (10, up(config)),
                (6, since_scrape(config)),
                (8, scrapes(config)),
                (8, seconds(config)),
                (8, samples(config)),
            ),
        ),
        Row(
            panels.row("From request to ledger"),
            7,
            ((7, buffer(config)), (5, dropped(config)), (6, lag(config)), (6, size(config))),
        ),
        Row(panels.row("Exporter"), 7, ((12, collectors(config)), (12, durations(config)))),
        Row(
            panels.row("Collected gateways"),
            7,
            (
                (4, gateways(config)),
                (6, gateway_events(config)),
                (5, gateway_gaps(config)),
                (5, gateway_silence(config)),
                (4, inbox(config)),
            ),
        ),
        Row(panels.row("Proxy as a web server"), 7, ((12, statuses(config)), (12, http(config)))),
    )
    return frame.dashboard(
        UID, TITLE, DESCRIPTION, place(rows), [variables.datasource(), variables.coarse(config)]
    )


def firing(config: RuleConfig) -> Json:
    about = About(
        "Firing alerts",
        "Alerts of Quotascope that fire at the end of the range, with the number of accounts, keys or "
        "targets that each fires for.",
        "locale",
        "No alert fires, or Prometheus does not evaluate our rules",
        decimals=0,
        links=(links.Link("Runbooks", config.runbooks),),
    )
    column = Column(queries.firing_alerts(), "Number", "locale", 0)
    return table(about, [column], {"alertname": "Alert", "severity": "Severity"})


def since_scrape(config: RuleConfig) -> Json:
    """Since when nothing is known."""
    about = About(
        "Since the last scrape",
        f"Time since the last scrape of each target that succeeded, as far back as {queries.SCRAPED_WITHIN}. "
        "A full bar is an alert. "
        "After five minutes without one Prometheus shows nothing of the target any more.",
        "s",
        _NOT_SCRAPED,
        decimals=0,
        links=(links.runbook("QuotascopeScrapeLost", config),),
    )
    lost = config.scrape_lost_for.total_seconds()
    return panels.bar_gauge(about, [queries.since_scrape(config)], "green", {lost: "red"}, most=lost)


def size(config: RuleConfig) -> Json:
    about = About(
        "Ledger size",
        "Size of the SQLite file, or of the PostgreSQL database, that each exporter reads.",
        "bytes",
        _NO_EXPORTER,
        links=(links.runbook("QuotascopeLedgerStale", config),),
    )
    return panels.timeseries(about, [queries.store_size(config)])


def up(config: RuleConfig) -> Json:
    about = About(
        "Targets",
        "Whether the last scrape of each proxy and exporter succeeded, now or at the end of the range.",
        "none",
        _NOT_SCRAPED,
        links=(links.runbook("QuotascopeScrapeLost", config),),
    )
    return panels.lights(about, queries.targets_up(config), "up", "down")


def scrapes(config: RuleConfig) -> Json:
    about = About(
        "Successful scrapes",
        f"Share of the scrapes that succeeded, by target, {averaged(config)}. Below 100% totals of that "
        "time are estimates.",
        "percentunit",
        _NOT_SCRAPED,
        links=(links.runbook("QuotascopeScrapeLost", config),),
    )
    return panels.timeseries(about, [queries.scrape_success(config)], most=1)


def seconds(config: RuleConfig) -> Json:
    about = About(
        "Scrape duration",
        f"Seconds that a scrape took, by job: the slowest target. After {config.scrape_timeout.seconds} s, "
        "the dashed line, Prometheus gives up.",
        "s",
        _NOT_SCRAPED,
    )
    limit = config.scrape_timeout.total_seconds()
    return panels.timeseries(about, [queries.scrape_seconds(config)], limit=limit)


def samples(config: RuleConfig) -> Json:
    about = About(
        "Samples per scrape",
        "Samples that one scrape of each job stores, after relabelling. A rise means new accounts, models "
        "or keys; bounded labels keep it from growing without end.",
        "locale",
        _NOT_SCRAPED,
        decimals=0,
    )
    return panels.timeseries(about, [queries.scrape_samples(config)])


def buffer(config: RuleConfig) -> Json:
    about = About(
        "Waiting for the ledger",
        "Finished requests that wait in the proxy's memory to be stored, the most of the scrapes since the "
        "point before, and, dashed, the room for them. It grows while the ledger cannot be written; "
        "beyond the room requests are dropped.",
        "locale",
        "The proxy is not scraped in this range",
        decimals=0,
        links=(links.runbook("QuotascopeLogBufferDropping", config),),
    )
    lines = {"Waiting": "blue", "Room": "red"}
    return panels.timeseries(about, queries.buffer(config), colors=lines, dashed=("Room",))


def dropped(config: RuleConfig) -> Json:
    about = About(
        "Dropped",
        "Finished requests that were lost because the buffer was full, and entries that the opt-in body "
        "log could not keep up with, over the dashboard's time range. Lost requests are missing in the "
        "ledger, and counted in the metrics all the same.",
        "locale",
        "The proxy is not scraped in this range",
        decimals=0,
        links=(links.runbook("QuotascopeLogBufferDropping", config),),
    )
    return panels.bar_gauge(about, queries.dropped(), "green", {1: "red"})


def lag(config: RuleConfig) -> Json:
    about = About(
        "Ledger behind traffic",
        "Seconds between each moment and the newest request in the ledger, while the proxy counts requests. "
        "The pause between two requests is in it; a steady climb under traffic is trouble.",
        "s",
        "No traffic, or the exporter is not scraped, in this range",
        links=(links.runbook("QuotascopeLogBufferDropping", config),),
    )
    return panels.timeseries(about, [queries.ledger_lag(config)])


def collectors(config: RuleConfig) -> Json:
    about = About(
        "Collectors",
        "Whether each collector of the exporter could read its data at the last scrape. A failing one "
        "leaves the others standing.",
        "none",
        _NO_EXPORTER,
        links=(links.runbook("QuotascopeCollectorFailing", config),),
    )
    return panels.lights(about, queries.collector_success(), "ok", "failing")


def durations(config: RuleConfig) -> Json:
    about = About(
        "Collector duration",
        "Seconds that each collector of the exporter took at each scrape.",
        "s",
        _NO_EXPORTER,
        links=(links.runbook("QuotascopeCollectorFailing", config),),
    )
    return panels.timeseries(about, [queries.collector_seconds(config)])


def gateways(config: RuleConfig) -> Json:
    about = About(
        "Gateways",
        "Whether events of each gateway are received or asked for, at the last scrape.",
        "none",
        "No collector is scraped",
        links=(links.runbook("QuotascopeGatewayLost", config),),
    )
    return panels.lights(about, queries.gateways_connected(), "connected", "lost")


def gateway_events(config: RuleConfig) -> Json:
    about = About(
        "Events collected",
        f"Events a minute, by gateway and by the way they came, {averaged(config)}. Subscribed ones come at "
        "once; `resp` and `http` are asked for.",
        "reqpm",
        _NO_COLLECTOR,
    )
    return panels.timeseries(about, [queries.gateway_events(config)], stacked=True)


def gateway_gaps(config: RuleConfig) -> Json:
    about = About(
        "Gaps",
        "Seconds of the dashboard's time range in which events of a gateway may have been lost, by what "
        f"happened, the {queries.MAX_GAPS} longest. Totals of such a time may be too low.",
        "s",
        _NO_COLLECTOR,
        links=(links.runbook("QuotascopeGatewayGap", config),),
    )
    return panels.bar_gauge(about, [queries.gateway_gaps()], "green", {1: "orange", 60: "red"})


def gateway_silence(config: RuleConfig) -> Json:
    """Since when nothing has come."""
    about = About(
        "Newest event",
        "Seconds since the newest event of each gateway. A gateway that nobody uses is silent too.",
        "s",
        _NO_COLLECTOR,
    )
    return panels.timeseries(about, [queries.gateway_silence(config)])


def inbox(config: RuleConfig) -> Json:
    about = About(
        "Waiting in the inbox",
        "Received items that are not in the ledger yet. It grows while the ledger cannot be written; none "
        "of them is lost.",
        "locale",
        _NO_COLLECTOR,
        decimals=0,
        links=(links.runbook("QuotascopeInboxWaiting", config),),
    )
    return panels.timeseries(about, [queries.inbox(config)])


def statuses(config: RuleConfig) -> Json:
    about = About(
        "HTTP answers by status",
        f"Requests a minute that the proxy answered, by status code, {averaged(config)}. 502 means that "
        "the upstream could not be reached.",
        "reqpm",
        NO_TRAFFIC,
        links=(links.dashboard(addresses.OVERVIEW, "Error rate"),),
    )
    return panels.timeseries(about, [queries.http_by_status(config)], stacked=True, colors=colors.HTTP)


def http(config: RuleConfig) -> Json:
    about = About(
        "HTTP duration p95",
        f"Seconds within which 95 of 100 requests were answered to the last byte, {of_requests(config)}.",
        "s",
        NO_TRAFFIC,
        links=(links.dashboard(addresses.OVERVIEW, "Latency by model and API"),),
    )
    return panels.timeseries(
        about, [queries.http_seconds(config)], logarithmic=True, points=panels.FEW_POINTS
    )
