"""The Alertmanager's configuration as data: who is told of which alert, how often, and what is kept back.

Passwords and secret addresses stay in files of their own, which the Alertmanager reads.
"""

from __future__ import annotations

from typing import Any

from settings.notify import Notify

PEOPLE = "people"
WATCHDOG = "watchdog"

_BLIND = "Quotascope(ErrorRatioHigh|LatencyHigh|.+Burn.+|CollectorFailing|LedgerStale|LogBufferDropping)"
_SYMPTOMS = "QuotascopeErrorRatioHigh|QuotascopeAvailabilityBurn.+"


def document(notify: Notify) -> dict[str, Any]:
    return {
        "route": {
            "receiver": PEOPLE,
            # One message for an alert of all accounts or keys, not one for each.
            "group_by": ["alertname", "job"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "12h",
            "routes": [
                {
                    "matchers": ['alertname="QuotascopeWatchdog"'],
                    "receiver": WATCHDOG,
                    "group_wait": "0s",
                    "group_interval": "1m",
                    "repeat_interval": "5m",
                },
                # Loses data or blinds us now: told again every hour.
                {"matchers": ['severity="critical"'], "group_wait": "10s", "repeat_interval": "1h"},
            ],
        },
        "inhibit_rules": [
            # What is not scraped cannot be judged.
            _inhibited('alertname="QuotascopeScrapeLost"', f'alertname=~"{_BLIND}"', "job"),
            # The same trouble, said more mildly.
            _inhibited('alertname="QuotascopeAvailabilityBurnFast"', f'alertname=~"{_SYMPTOMS}"', "job"),
            _inhibited('alertname="QuotascopeLatencyBurnFast"', 'alertname=~"QuotascopeLatency.+"', "job"),
            # No account is left: that requests fail, and that quota is short, follows.
            _inhibited(
                'alertname="QuotascopeNoEligibleAccount"',
                f'alertname=~"{_SYMPTOMS}|QuotascopeQuotaNearlyUsed"',
            ),
        ],
        "receivers": [{"name": PEOPLE, **_people(notify)}, {"name": WATCHDOG, **_watchdog(notify)}],
    }


def _inhibited(source: str, target: str, *equal: str) -> dict[str, Any]:
    # The Alertmanager never lets an alert that is source and target at once inhibit itself.
    return {"source_matchers": [source], "target_matchers": [target], "equal": list(equal)}


def _people(notify: Notify) -> dict[str, Any]:
    hooks = [{"url": notify.webhook_url, "send_resolved": True}] if notify.webhook_url else []
    if notify.ntfy_url:
        # ntfy knows what the Alertmanager sends, and makes a title and a text of it.
        hooks.append({"url": f"{notify.ntfy_url}?template=alertmanager", "send_resolved": True})
    found: dict[str, Any] = {"webhook_configs": hooks} if hooks else {}
    if notify.slack_url_file:
        found["slack_configs"] = [_slack(notify)]
    if notify.mail_to:
        found["email_configs"] = [_mail(notify)]
    return found


def _slack(notify: Notify) -> dict[str, Any]:
    text = (
        "{{ range .Alerts }}{{ .Annotations.description }}\n"
        "<{{ .Annotations.runbook_url }}|Runbook> · <{{ .Annotations.dashboard_url }}|Dashboard>\n{{ end }}"
    )
    channel = {"channel": notify.slack_channel} if notify.slack_channel else {}
    title = "[{{ .Status | toUpper }}] {{ .CommonAnnotations.summary | or .CommonLabels.alertname }}"
    return {
        "api_url_file": str(notify.slack_url_file),
        **channel,
        "title": title,
        "text": text,
        "send_resolved": True,
    }


def _mail(notify: Notify) -> dict[str, Any]:
    mail = {
        "to": notify.mail_to,
        "from": notify.mail_from,
        "smarthost": notify.mail_server,
        "send_resolved": True,
    }
    if notify.mail_password_file:
        mail |= {"auth_username": notify.mail_from, "auth_password_file": str(notify.mail_password_file)}
    return mail


def _watchdog(notify: Notify) -> dict[str, Any]:
    """Where nobody waits for it, it goes nowhere."""
    if notify.watchdog_url is None:
        return {}
    return {"webhook_configs": [{"url": notify.watchdog_url, "send_resolved": False}]}
