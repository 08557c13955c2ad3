"""What can go wrong on the network, named by its cause."""

from __future__ import annotations


class NetworkError(Exception):
    """Something could not be fetched."""


class HostNotAllowed(NetworkError):
    """A link leads to a host that the source does not name."""


class NotThere(NetworkError):
    """The server says that it has no such thing (404, 410)."""


class NotAllowed(NetworkError):
    """The server refuses the key (401, 403)."""


class Unavailable(NetworkError):
    """The server cannot answer now: refused, timed out, 429 or 5xx."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BadAnswer(NetworkError):
    """The answer is not what the protocol promises."""


class TooLarge(NetworkError):
    """The answer is larger than it may be."""
