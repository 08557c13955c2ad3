"""The channels of alerts: a webhook, Slack, e-mail."""

from __future__ import annotations

import logging
import smtplib
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from wavcaps_assets.alerts.message import Alert, line
from wavcaps_assets.alerts.settings import AlertSettings, EmailSettings, Security
from wavcaps_assets.masking import mask_log
from wavcaps_assets.network.links import host_of

logger = logging.getLogger(__name__)

TIMEOUT_S = 10.0
ANSWER_CHARS = 200


class NotDelivered(Exception):
    """An alert was not accepted. The message has no secret."""


class Channel(Protocol):
    """Delivers alerts."""

    def send(self, alert: Alert) -> None:
        """Delivers an alert.

        Raises:
            NotDelivered: it was not accepted; it may be sent again.
        """


@dataclass(frozen=True)
class Webhook:
    """A POST of JSON for each alert. The header `Idempotency-Key` is the same when one is sent again."""

    settings: AlertSettings

    def send(self, alert: Alert) -> None:
        url = self.settings.webhook_url.get_secret_value()
        _post(url, alert.as_json(self.settings.ui_url), {"Idempotency-Key": alert.id})


@dataclass(frozen=True)
class Slack:
    """An incoming webhook of Slack."""

    settings: AlertSettings

    def send(self, alert: Alert) -> None:
        _post(self.settings.slack_url.get_secret_value(), alert.as_slack(self.settings.ui_url), {})


@dataclass(frozen=True)
class Email:
    """One e-mail for each alert, to all recipients."""

    settings: AlertSettings

    def send(self, alert: Alert) -> None:
        mail = self.settings.email
        message = alert.as_email(mail.sender, mail.addresses, self.settings.ui_url)
        try:
            with _connected(mail) as server:
                if mail.user:
                    server.login(mail.user, mail.password.get_secret_value())
                refused = server.send_message(message)
        except UnicodeError:
            # Its text has a part of what could not be encoded, which may be the password.
            raise NotDelivered(
                line(f"{mail.host}: the host, the user or the password has characters that cannot be sent")
            ) from None
        except (OSError, smtplib.SMTPException) as error:
            raise NotDelivered(line(f"{mail.host}: {type(error).__name__}: {error}")) from None
        if refused:
            # The others have it, and must not get it again.
            logger.warning("%s refuses %s of the recipients of alerts", mail.host, len(refused))


CHANNELS: Mapping[str, Callable[[AlertSettings], Channel]] = {
    "webhook": Webhook,
    "slack": Slack,
    "email": Email,
}


def channels_of(settings: AlertSettings) -> Mapping[str, Channel]:
    """The channels that are set, by their names."""
    return {name: CHANNELS[name](settings) for name in settings.channels}


def _connected(mail: EmailSettings) -> smtplib.SMTP:
    if mail.security is Security.TLS:
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(mail.host, mail.port, timeout=TIMEOUT_S, context=context)
    server = smtplib.SMTP(mail.host, mail.port, timeout=TIMEOUT_S)
    if mail.security is Security.STARTTLS:
        try:
            server.starttls(context=ssl.create_default_context())
        except BaseException:
            server.close()
            raise
    return server


def _post(url: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    # httpx logs the address of each request.
    mask_log("httpx")
    try:
        # A redirect would send the alert to an address that nobody set.
        with httpx.stream(
            "POST", url, json=body, headers=dict(headers), timeout=TIMEOUT_S, follow_redirects=False
        ) as answer:
            # The status says that it was accepted. The rest may come slowly, never end, or break off.
            if answer.is_success:
                return
            said = line(next(answer.iter_text(), "")[:ANSWER_CHARS])
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise NotDelivered(line(f"{host_of(url)}: {type(error).__name__}: {error}")) from None
    raise NotDelivered(line(f"{host_of(url)} responds with {answer.status_code}: {said}"))
