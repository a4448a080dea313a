"""`[notify]`: the Alertmanager that alerts are sent to, and where it sends them on to people."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from settings.kinds import BaseUrl, File, Section
from settings.urls import Address


def _mail(text: str) -> str:
    name, at, host = text.rpartition("@")
    if not (name and at and host) or not text.isprintable() or set(text) & set(' ,;<>"'):
        raise ValueError("allowed: one address, like oncall@example.org")
    return text


Mail = Annotated[str, AfterValidator(_mail)]


class Notify(Section):
    alertmanager: Address | None = Field(
        None,
        description="where the Alertmanager answers, as Prometheus reaches it; without it none is used",
    )
    webhook_url: BaseUrl | None = Field(None, description="receives every alert as the Alertmanager's JSON")
    ntfy_url: BaseUrl | None = Field(None, description="a topic of ntfy, which makes a short message of it")
    slack_url_file: File | None = Field(
        None, description="a file with the address of Slack's incoming webhook, as the Alertmanager finds it"
    )
    slack_channel: str | None = Field(
        None, min_length=1, max_length=80, description="the channel; without it the webhook's own"
    )
    mail_to: Mail | None = Field(None, description="who receives mail; needs mail_from and mail_server")
    mail_from: Mail | None = Field(None, description="whom the mail comes from")
    mail_server: Address | None = Field(None, description="the server that takes it, with STARTTLS")
    mail_password_file: File | None = Field(
        None, description="a file with the password of mail_from at that server, as the Alertmanager finds it"
    )
    watchdog_url: BaseUrl | None = Field(
        None,
        description="called every five minutes by the alert Watchdog: a service that misses it complains",
    )

    @property
    def receives(self) -> bool:
        """Somebody is told."""
        return any((self.webhook_url, self.ntfy_url, self.slack_url_file, self.mail_to))

    @model_validator(mode="after")
    def _complete(self) -> Notify:
        if self.mail_to and not (self.mail_from and self.mail_server):
            raise ValueError("mail_to needs mail_from and mail_server")
        if self.alertmanager and not self.receives:
            raise ValueError(
                "alertmanager is set, and nobody receives: allowed with it: webhook_url, ntfy_url, "
                "slack_url_file or mail_to"
            )
        return self
