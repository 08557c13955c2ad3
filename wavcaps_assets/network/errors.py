"""What can go wrong on the network, named by its cause."""

from __future__ import annotations

from datetime import datetime


class NetworkError(Exception):
    """Something could not be fetched."""


class AddressNotAllowed(NetworkError):
    """A link leads to an address that is not public, or is no http(s) link."""


class Disallowed(NetworkError):
    """The site's robots.txt asks crawlers to keep away from a page."""


class NotThere(NetworkError):
    """The server says that it has no such thing (404, 410)."""


class NotAllowed(NetworkError):
    """The server refuses the key that was sent (401)."""


class Refused(NetworkError):
    """The server refuses one page or file (403; 401 where no key was sent)."""


class Unavailable(NetworkError):
    """The server cannot answer now: refused, timed out, cut off, 429 or 5xx."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BadAnswer(NetworkError):
    """The answer is not what the protocol promises."""


class TooLarge(NetworkError):
    """The answer is larger than it may be."""


class Paused(Exception):
    """Nothing is wrong with what was asked for: the host is not to be asked before a certain time.

    No `NetworkError`, so that it is never taken for the failure of one clip or page.

    Attributes:
        until: when the work may go on, UTC.
    """

    def __init__(self, message: str, until: datetime) -> None:
        super().__init__(f"{message}; paused until {until:%Y-%m-%d %H:%M:%S} UTC")
        self.until = until


class QuotaExhausted(Paused):
    """The host's quota is used up."""


class HostDown(Paused):
    """The host has failed too often in a row to be asked on."""
