"""Alerts to a real HTTP server and a real SMTP server, with text that a site could have written."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from tests.support.mail_server import MailServer, mail_server
from tests.support.rude_server import Asked, RudeServer, answer, rude_server
from wavcaps_assets.alerts import channels
from wavcaps_assets.alerts.channels import NotDelivered, channels_of
from wavcaps_assets.alerts.message import Alert, Kind
from wavcaps_assets.alerts.settings import AlertSettings
from wavcaps_assets.masking import masked

HOSTILE = (
    "it says\r\nBcc: everyone@example.org\n<!channel> @channel @everyone <https://evil.example|click> &amp; "
    "``` *bold* [click](https://evil.example) \u202ereversed\x00"
)
ALERT = Alert(
    id="0123456789abcdef",
    kind=Kind.CHANGED_PROTOCOL,
    title=f"FreeSound {HOSTILE}",
    what=HOSTILE,
    places=[
        f"freesound/raw_clips [{HOSTILE}]",
        *(f"freesound/raw_clips [{year}]" for year in range(2000, 2015)),
    ],
    page="runs/1234",
    at=datetime(2026, 3, 10, 12, tzinfo=UTC),
)
SECRET_PATH = "services/T00000000/B00000000/planted-webhook-secret"


@pytest.fixture
def server() -> Iterator[RudeServer]:
    with rude_server() as rude:
        rude.answers["/hook"] = rude.answers[f"/{SECRET_PATH}"] = answer(b"ok")
        yield rude


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server() as served:
        yield served


def settings(**changes: object) -> AlertSettings:
    return AlertSettings.model_validate({"ui_url": "https://ui.example.org/", **changes})


def test_a_webhook_gets_json(server: RudeServer) -> None:
    channels_of(settings(webhook_url=f"{server.url}/hook"))["webhook"].send(ALERT)
    (asked,) = server.asked
    assert asked.method == "POST" and asked.headers["content-type"] == "application/json"
    assert asked.headers["idempotency-key"] == ALERT.id
    body = json.loads(asked.body)
    assert body["kind"] == "changed_protocol" and body["url"] == "https://ui.example.org/runs/1234"
    assert len(body["where"]) == 16 and body["at"] == "2026-03-10T12:00:00+00:00"
    assert "\n" not in body["title"]


def test_in_slack_nothing_of_the_text_is_markup(server: RudeServer) -> None:
    channels_of(settings(slack_url=f"{server.url}/hook"))["slack"].send(ALERT)
    body = json.loads(server.asked[0].body)
    text = body["text"]
    assert body["parse"] == "none" and body["link_names"] is False
    # Slack's control characters: https://docs.slack.dev/messaging/formatting-message-text#escaping
    assert "<" not in text and ">" not in text
    assert "&lt;!channel&gt;" in text and "&amp;amp;" in text
    # Slack-compatible servers read plain mentions.
    assert "@channel" not in text and "@everyone" not in text
    assert text.count("```") == 2 and text.count("*") == 2
    assert "](" not in text
    assert "\u202e" not in text and "\x00" not in text
    assert "6 more" in text


def test_no_header_of_a_mail_comes_from_the_text(mail: MailServer) -> None:
    email = {
        "host": "127.0.0.1",
        "port": mail.port,
        "security": "none",
        "user": "me",
        "password": "planted-mail-password",
        "sender": "wavcaps@example.org",
        "recipients": "one@example.org, two@example.org",
    }
    channels_of(settings(email=email))["email"].send(ALERT)
    ((recipients, message),) = mail.messages
    assert recipients == ["one@example.org", "two@example.org"]
    assert message["Bcc"] is None and message["Subject"].startswith("WavCaps: FreeSound it says Bcc:")
    assert message["Message-ID"] == "<0123456789abcdef@example.org>"
    body = message.get_content()
    assert "link: https://ui.example.org/runs/1234" in body and "\u202e" not in body
    assert len(mail.logins) == 1
    mail.refusing = "550 planted-mail-password is no user here"
    with pytest.raises(NotDelivered, match="550") as refused:
        channels_of(settings(email=email))["email"].send(ALERT)
    assert "planted" not in str(refused.value)


def test_what_is_not_accepted_says_why_and_shows_no_secret(
    server: RudeServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"{server.url}/{SECRET_PATH}"
    channel = channels_of(settings(slack_url=url))["slack"]
    with caplog.at_level(logging.DEBUG):
        channel.send(ALERT)
        server.answers[f"/{SECRET_PATH}"] = answer(f"no {SECRET_PATH}".encode(), "404 Not Found")
        with pytest.raises(NotDelivered, match="responds with 404: no …"):
            channel.send(ALERT)
        # The alert goes nowhere that nobody set.
        server.answers[f"/{SECRET_PATH}"] = answer(b"", "302 Found", {"Location": f"{server.url}/hook"})
        with pytest.raises(NotDelivered, match="responds with 302"):
            channel.send(ALERT)
    assert server.times("/hook") == 0
    httpx_lines = [record.getMessage() for record in caplog.records if record.name == "httpx"]
    assert httpx_lines and not any("planted" in line for line in httpx_lines)
    assert "planted" not in masked(f"POST {url}") and "planted" not in repr(settings(slack_url=url))


@pytest.mark.parametrize(
    ("path", "query", "quoted"),
    [
        ("/services/T0AAAAAA/B0BBBBBB/planted-last-part-of-it", "", "planted-last-part-of-it"),
        ("/hook", "?channel=x&token=planted-1", "planted-1"),
        ("/hook", "?sv=1.0&q=planted-without-a-name", "planted-without-a-name"),
    ],
)
def test_a_server_that_quotes_a_part_of_the_address_shows_no_secret(
    server: RudeServer, path: str, query: str, quoted: str
) -> None:
    server.answers[path] = answer(f"services: {quoted} is not known".encode(), "404 Not Found")
    channel = channels_of(settings(slack_url=f"{server.url}{path}{query}"))["slack"]
    with pytest.raises(NotDelivered, match="responds with 404: services: … is not known"):
        channel.send(ALERT)


def test_an_accepted_alert_is_delivered_though_the_body_never_ends(server: RudeServer) -> None:
    # The server closes the connection after 2 of 10 bytes: what follows the status decides nothing.
    server.answers["/hook"] = answer(b"ok", length=10)
    channels_of(settings(webhook_url=f"{server.url}/hook"))["webhook"].send(ALERT)
    assert server.times("/hook") == 1


@pytest.mark.slow
def test_a_server_that_is_slow_with_each_reply_is_not_waited_for_without_end(
    server: RudeServer, mail: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "LONGEST_S", 0.6)
    monkeypatch.setattr(channels, "QUIT_S", 0.1)
    email = {
        "host": "127.0.0.1",
        "port": mail.port,
        "security": "none",
        "sender": "a@b.c",
        "recipients": "d@e.f",
    }
    channel = channels_of(settings(email=email))["email"]
    # What is delivered is not sent again because the end is slow.
    mail.waits = {"QUIT": 1.0}
    channel.send(ALERT)
    assert len(mail.messages) == 1
    mail.waits = dict.fromkeys(("EHLO", "MAIL", "RCPT", "DATA"), 0.25)
    with pytest.raises(NotDelivered, match=r"timed out|no reply within"):
        channel.send(ALERT)
    assert len(mail.messages) == 1

    def drip(asked: Asked, connection: socket.socket) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 30:
            connection.sendall(bytes([byte]))
            time.sleep(0.1)

    server.answers["/hook"] = drip
    with pytest.raises(NotDelivered, match="no response within 1 s"):
        channels_of(settings(webhook_url=f"{server.url}/hook"))["webhook"].send(ALERT)


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook_url": f"http://hooks..example.org/{SECRET_PATH}"},
        {"slack_url": f"http://{'a' * 64}.example.org/{SECRET_PATH}"},
        {"email": {"host": "mail..example.org", "sender": "a@example.org", "recipients": "b@example.org"}},
    ],
)
def test_a_host_that_cannot_be_looked_up_is_a_failed_delivery(changes: dict[str, object]) -> None:
    """As another error it would end the tick, and keep the alert from all other channels."""
    (channel,) = channels_of(settings(**changes)).values()
    with pytest.raises(NotDelivered) as failed:
        channel.send(ALERT)
    assert "planted" not in str(failed.value)


def test_a_server_that_is_not_there() -> None:
    with rude_server() as gone:
        url = gone.url
    with pytest.raises(NotDelivered, match="Error"):
        channels_of(settings(webhook_url=f"{url}/hook"))["webhook"].send(ALERT)
    email = {"host": "127.0.0.1", "port": url.rpartition(":")[2], "sender": "a@b.c", "recipients": "d@e.f"}
    with pytest.raises(NotDelivered, match="Error"):
        channels_of(settings(email=email))["email"].send(ALERT)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"webhook_url": "planted-not-an-address"}, "http"),
        ({"slack_url": "https://planted.example/a b"}, "http"),
        ({"ui_url": "https://user:planted@ui.example"}, "password"),
        ({"email": {"host": "mail.example"}}, "sender and recipients"),
        ({"email": {"host": "mail.example", "sender": "a@b.c", "recipients": "d@e.f\nBcc: x@y.z"}}, "sender"),
        (
            {
                "email": {
                    "host": "mail.example",
                    "sender": "a@b.c",
                    "recipients": "d@e.f",
                    "user": "me",
                    "password": "planted-password",
                    "security": "none",
                }
            },
            "unencrypted",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_without_showing_them(
    wrong: dict[str, object], said: str
) -> None:
    with pytest.raises(ValidationError, match=said) as error:
        AlertSettings.model_validate(wrong)
    assert "planted" not in str(error.value)
