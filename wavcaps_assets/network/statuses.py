"""The error of a response, by its status."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

import httpx

from wavcaps_assets.clock import utc_now
from wavcaps_assets.masking import masked
from wavcaps_assets.network.errors import BadAnswer, NotAllowed, NotThere, Refused, Unavailable
from wavcaps_assets.network.links import shown

EXCERPT_CHARS = 200
EXCERPT_BYTES_READ = 1 << 16
# A server that says "in a year" is asked again tomorrow.
LONGEST_PAUSE_S = 24 * 3600.0


class Throttled(Unavailable):
    """The server receives too many requests (429)."""


class OutOfRange(BadAnswer):
    """The file does not have the requested part (416)."""


def raise_for_status(response: httpx.Response) -> None:
    """Raises the error of a failed request.

    Raises:
        NetworkError: the status is 400 or higher; its class says why.
    """
    status, where = response.status_code, shown(str(response.url))
    if status < 400:
        return
    retry_after = retry_after_s(response.headers.get("Retry-After"))
    # Also reads a short body to its end: unread data takes room in an HTTP/2 connection.
    body = excerpt(response)
    if status in {404, 410}:
        raise NotThere(f"{where} does not exist ({status})")
    if status == 401 and "Authorization" in response.request.headers:
        raise NotAllowed(f"{where} rejects the key ({status})")
    if status in {401, 403}:
        raise Refused(f"{where} is refused ({status})")
    if status == 416:
        raise OutOfRange(f"{where} does not have the requested part")
    if status == 429:
        raise Throttled(f"{where} responds with {status} {body}", retry_after)
    if status >= 500:
        raise Unavailable(f"{where} responds with {status}", retry_after)
    raise BadAnswer(f"{where} responds with {status}")


def excerpt(response: httpx.Response) -> str:
    """The beginning of a response's body on one line, where FreeSound names the limit that was reached."""
    body = b""
    try:
        for block in response.iter_raw():
            body += block
            if len(body) > EXCERPT_BYTES_READ:
                break
    except httpx.TransportError:
        return ""
    # Masked before it is cut, so that no part of a secret is left.
    start = masked(body.decode("utf-8", errors="replace"))[:EXCERPT_CHARS]
    return " ".join("".join(char if char.isprintable() else " " for char in start).split())


def retry_after_s(value: str | None) -> float | None:
    """The wait (s) of a Retry-After header: a number of seconds or a date (RFC 9110, section 10.2.3).

    None if there is none, or if it is 0 or in the past: such a value gives no reason to wait, and no right
    to hurry.
    """
    if not value:
        return None
    if value.strip().isdecimal():
        return min(float(value), LONGEST_PAUSE_S) or None
    try:
        at = parsedate_to_datetime(value)
        # Two of the three formats that a server may use name no zone: it is always GMT (section 5.6.7).
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        wait = (at - utc_now()).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(wait, LONGEST_PAUSE_S) if wait > 0 else None
