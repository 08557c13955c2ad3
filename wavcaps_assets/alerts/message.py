"""An alert, and its text for each channel. Parts of it may be crawled text, which must not act as markup."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from wavcaps_assets.masking import masked

MAX_WHAT_CHARS = 1500
MAX_LINE_CHARS = 200
# Places that are named; of more, the number is.
MAX_PLACES = 10
ZERO_WIDTH_SPACE = "\u200b"
# Invisible characters and those that show a line in another order.
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
# `&` first: it is in the others.
ESCAPES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "`": "'",
    "*": "\N{ASTERISK OPERATOR}",
    "](": f"]{ZERO_WIDTH_SPACE}(",
}
MENTION = re.compile(r"@(?=\w)")


class Kind(StrEnum):
    """What an alert is about."""

    FAILED_CHECK = "failed_check"
    BUDGET = "budget"
    FAILED_CRAWL = "failed_crawl"
    FAILED_RUN = "failed_run"
    OUTAGE = "outage"
    CHANGED_PROTOCOL = "changed_protocol"
    WITHDRAWN_CONSENT = "withdrawn_consent"
    OVERDUE = "overdue"
    TEST = "test"


class Alert(BaseModel):
    """A message to people.

    Attributes:
        id: the same for each attempt to deliver it, so that who gets it twice can tell.
        kind: what it is about.
        title: one line.
        what: what happened, which may have several lines.
        places: where: assets and partitions.
        page: of the web UI, such as `runs/<id>`.
        at: when it was noticed (UTC).
    """

    model_config = ConfigDict(extra="ignore")

    id: str
    kind: Kind
    title: str
    what: str
    places: list[str] = []
    page: str = ""
    at: datetime

    def link(self, ui_url: str) -> str:
        """The page of the web UI; a path where its address is not known."""
        return f"{ui_url}/{self.page}" if self.page else ""

    def as_json(self, ui_url: str) -> dict[str, Any]:
        """The body of a webhook."""
        return {
            "id": self.id,
            "kind": self.kind.value,
            "title": line(self.title),
            "what": block(self.what),
            "where": [line(place) for place in self.places],
            "url": self.link(ui_url),
            "at": self.at.isoformat(timespec="seconds"),
        }

    def as_text(self, ui_url: str) -> str:
        """Plain text."""
        return "\n".join(
            [
                line(self.title),
                "",
                block(self.what),
                "",
                *(f"where: {place}" for place in self._named()),
                *([f"link: {self.link(ui_url)}"] if self.page else []),
                f"at: {self.at:%Y-%m-%d %H:%M} UTC",
            ]
        )

    def as_slack(self, ui_url: str) -> dict[str, Any]:
        """The body of an incoming webhook of Slack (https://docs.slack.dev/messaging/formatting-message-text)."""
        what = escaped(block(self.what))
        parts = [
            f"*{escaped(line(self.title))}*",
            f"```{what}```" if what else "",
            *(f"where: {escaped(place)}" for place in self._named()),
            escaped(self.link(ui_url)),
        ]
        return {
            "text": "\n".join(part for part in parts if part),
            # No name in the text becomes a mention, and no address a preview.
            "parse": "none",
            "link_names": False,
            "unfurl_links": False,
            "unfurl_media": False,
        }

    def as_email(self, sender: str, recipients: list[str], ui_url: str) -> EmailMessage:
        """An e-mail in plain text."""
        message = EmailMessage()
        message["Subject"] = f"WavCaps: {line(self.title)}"
        message["From"] = sender
        message["To"] = ", ".join(recipients)
        message["Date"] = format_datetime(self.at)
        message["Message-ID"] = f"<{self.id}@{sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(self.as_text(ui_url))
        return message

    def _named(self) -> list[str]:
        more = len(self.places) - MAX_PLACES
        named = [line(place) for place in self.places[:MAX_PLACES]]
        return [*named, f"{more} more"] if more > 0 else named


def line(text: str) -> str:
    """A text on one line, of visible characters, with secrets masked."""
    return _cut(" ".join(_visible(text).split()), MAX_LINE_CHARS)


def block(text: str) -> str:
    """A text of several lines, of visible characters, with secrets masked."""
    lines = (" ".join(_visible(one).split()) for one in text.splitlines())
    return _cut("\n".join(one for one in lines if one), MAX_WHAT_CHARS)


def escaped(text: str) -> str:
    """A text in which nothing is a link, a mention, code or bold: of Slack, and of what reads Markdown."""
    for char, harmless in ESCAPES.items():
        text = text.replace(char, harmless)
    return MENTION.sub(f"@{ZERO_WIDTH_SPACE}", text)


def _visible(text: str) -> str:
    return "".join(" " if unicodedata.category(char) in HIDDEN else char for char in masked(text))


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"
