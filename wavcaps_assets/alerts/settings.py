"""Where alerts are sent."""

from __future__ import annotations

import re
from enum import StrEnum
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from wavcaps_assets.masking import register_secret
from wavcaps_assets.network.links import without_credentials

ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\]+")
# Parts of a webhook's address that are its secret: of these names in a query, or at least this long. Shorter
# ones, such as `services`, are words of ordinary text too.
SECRET_NAME = re.compile("auth|code|key|pass|secret|sig|token", re.IGNORECASE)
SECRET_CHARS = 16
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class Security(StrEnum):
    """How the connection to the mail server is encrypted."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class EmailSettings(BaseModel):
    """A mail server that accepts messages, and who gets them."""

    model_config = ConfigDict(hide_input_in_errors=True)

    host: str = Field("", description="name of the mail server; empty: no e-mail is sent")
    port: int = Field(587, ge=1, le=65535, description="its port: 587, or 465 with `tls`")
    security: Security = Field(
        Security.STARTTLS, description="`starttls`, `tls`, or `none`: not encrypted, as on this machine"
    )
    user: str = Field("", description="user name at the mail server; empty: no login")
    password: SecretStr = Field(SecretStr(""), description="the password at the mail server")
    sender: str = Field("", description="address from which alerts come")
    recipients: str = Field("", description="addresses that get alerts, separated by commas")

    @property
    def addresses(self) -> list[str]:
        return [part.strip() for part in self.recipients.split(",") if part.strip()]

    @field_validator("password")
    @classmethod
    def _is_secret(cls, password: SecretStr) -> SecretStr:
        register_secret(password.get_secret_value())
        return password

    @model_validator(mode="after")
    def _is_complete(self) -> EmailSettings:
        if not self.host:
            return self
        addresses = [self.sender, *self.addresses]
        if len(addresses) < 2 or not all(ADDRESS.fullmatch(address) for address in addresses):
            raise ValueError("e-mail needs a sender and recipients: addresses such as you@example.org")
        if bool(self.user) != bool(self.password.get_secret_value()):
            raise ValueError("a login at the mail server needs a user and a password")
        if self.user and self.security is Security.NONE and self.host not in LOCAL:
            raise ValueError("the password would be sent unencrypted: set the security to starttls or tls")
        return self


class AlertSettings(BaseModel):
    """The channels of alerts. What is not set is not used."""

    model_config = ConfigDict(hide_input_in_errors=True)

    ui_url: str = Field(
        "", description="address of the web UI for links to runs, such as https://dagster.example.org"
    )
    webhook_url: SecretStr = Field(
        SecretStr(""), description="address that gets each alert as JSON (docs/operations.md)"
    )
    slack_url: SecretStr = Field(
        SecretStr(""), description="incoming webhook of Slack, or of what understands the same, as Mattermost"
    )
    email: EmailSettings = EmailSettings()

    @property
    def channels(self) -> list[str]:
        """The names of the channels that are set."""
        urls = {"webhook": self.webhook_url, "slack": self.slack_url}
        return [
            *(name for name, url in urls.items() if url.get_secret_value()),
            *(["email"] if self.email.host else []),
        ]

    @field_validator("ui_url")
    @classmethod
    def _is_shown(cls, url: str) -> str:
        if url:
            _require_http(url)
        return without_credentials(url).rstrip("/")

    @field_validator("webhook_url", "slack_url")
    @classmethod
    def _is_secret(cls, url: SecretStr) -> SecretStr:
        # Who knows the address of a webhook can write there.
        value = url.get_secret_value().strip()
        if value:
            parts = _require_http(value)
            register_secret(value, parts.path.strip("/"), parts.query, parts.username, parts.password)
            # A server may quote the part that it did not like.
            register_secret(*(part for part in parts.path.split("/") if len(part) >= SECRET_CHARS))
            for name, part in parse_qsl(parts.query):
                register_secret(part if len(part) >= SECRET_CHARS or SECRET_NAME.search(name) else None)
        return SecretStr(value)


def _require_http(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname or not url.isprintable() or " " in url:
        raise ValueError("it must be an address that starts with http:// or https://")
    return parts
