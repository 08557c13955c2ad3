"""Errors of the network, named by their causes."""

from __future__ import annotations

from datetime import datetime

from wavcaps_assets.masking import masked


class NetworkError(Exception):
    """Something could not be fetched. The message may quote a server, so secrets in it are masked."""

    def __init__(self, message: str) -> None:
        super().__init__(masked(message))


class AddressNotAllowed(NetworkError):
    """A link leads to an address that is not public, or is not http(s)."""


class Disallowed(NetworkError):
    """The site's robots.txt disallows a page."""


class NotThere(NetworkError):
    """The page or file does not exist (404, 410)."""


class NotAllowed(NetworkError):
    """The server rejects the key that was sent (401)."""


class Refused(NetworkError):
    """The server refuses one page or file (403; 401 where no key was sent)."""


class Unavailable(NetworkError):
    """The server cannot respond now: connection refused, timeout, cut off, 429 or 5xx."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BadAnswer(NetworkError):
    """The response does not follow the protocol."""


class TooLarge(NetworkError):
    """The response is larger than the limit."""


class ProxyNotSupported(RuntimeError):
    """The environment names a proxy for a host.

    Not a `NetworkError`, so that it is never handled as the failure of one clip or page.
    """


class Paused(Exception):
    """The host must not be sent requests before a certain time.

    Not a `NetworkError`, so that it is never handled as the failure of one clip or page.

    Attributes:
        until: when work may continue, UTC.
    """

    def __init__(self, message: str, until: datetime) -> None:
        super().__init__(f"{masked(message)}; paused until {until:%Y-%m-%d %H:%M:%S} UTC")
        self.until = until


class QuotaExhausted(Paused):
    """The host's quota is used up: by our requests, or as the host says.

    Attributes:
        in_vain: whether not one request got through before.
    """

    def __init__(self, message: str, until: datetime, in_vain: bool = False) -> None:
        super().__init__(message, until)
        self.in_vain = in_vain


class HostDown(Paused):
    """The host has failed too many times in a row."""
