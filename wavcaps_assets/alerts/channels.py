"""The channels of alerts: a webhook, Slack, e-mail."""

from __future__ import annotations

import asyncio
import logging
import math
import smtplib
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from wavcaps_assets.alerts.message import Alert, line
from wavcaps_assets.alerts.settings import AlertSettings, EmailSettings, Security
from wavcaps_assets.masking import mask_log
from wavcaps_assets.network.links import host_of

logger = logging.getLogger(__name__)

# For one alert to one channel, from the connection to the last reply: a server that is slow with each reply
# must not outlast the tick of the sensor.
LONGEST_S = 12.0
# For the reply to "quit", when the mail is delivered.
QUIT_S = 2.0
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
            server = _connected(mail)
            try:
                if mail.user:
                    server.login(mail.user, mail.password.get_secret_value())
                refused = server.send_message(message)
            finally:
                # Whether it is delivered does not depend on the end.
                with suppress(OSError, smtplib.SMTPException):
                    server.until = time.monotonic() + QUIT_S
                    server.quit()
                server.close()
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


class _Smtp(smtplib.SMTP):
    """A connection whose replies must all be there in time.

    Attributes:
        until: by then (s, `time.monotonic`).
    """

    until = math.inf

    def getreply(self) -> tuple[int, bytes]:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no reply within {LONGEST_S:.0f} s")
        if isinstance(self.sock, socket.socket):
            self.sock.settimeout(min(left, LONGEST_S))
        return super().getreply()


class _SmtpOverTls(_Smtp, smtplib.SMTP_SSL):
    """The same over TLS from the first byte."""


def _connected(mail: EmailSettings) -> _Smtp:
    until, server = time.monotonic() + LONGEST_S, _Smtp(timeout=LONGEST_S / 2)
    if mail.security is Security.TLS:
        server = _SmtpOverTls(timeout=LONGEST_S / 2, context=ssl.create_default_context())
    server.until = until
    # `starttls` checks the certificate for this name, which else only the constructor notes.
    server._host = mail.host  # type: ignore[attr-defined]
    try:
        server.connect(mail.host, mail.port)
    except BaseException:
        server.close()
        raise
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
        # Only asyncio ends a request after a time, whatever it waits for.
        status, said = asyncio.run(asyncio.wait_for(_posted(url, body, headers), LONGEST_S))
    except TimeoutError:
        raise NotDelivered(line(f"{host_of(url)}: no response within {LONGEST_S:.0f} s")) from None
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise NotDelivered(line(f"{host_of(url)}: {type(error).__name__}: {error}")) from None
    if not 200 <= status < 300:
        raise NotDelivered(line(f"{host_of(url)} responds with {status}: {line(said[:ANSWER_CHARS])}"))


async def _posted(url: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[int, str]:
    """The status of the response, and where it is an error, what it says first."""
    # A redirect would send the alert to an address that nobody set.
    async with (
        httpx.AsyncClient(timeout=LONGEST_S, follow_redirects=False) as client,
        client.stream("POST", url, json=body, headers=dict(headers)) as answer,
    ):
        # The status says that it was accepted. The rest may come slowly, never end, or break off.
        if answer.is_success:
            return answer.status_code, ""
        return answer.status_code, await anext(answer.aiter_text(), "")
