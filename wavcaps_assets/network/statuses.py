"""What a server's answer means, by its status."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import httpx

from wavcaps_assets.clock import utc_now
from wavcaps_assets.network.errors import BadAnswer, NotAllowed, NotThere, Refused, Unavailable
from wavcaps_assets.network.links import shown

LONGEST_SAID = 200
LONGEST_READ = 1 << 16
# Whoever is told to come back in a year asks again tomorrow.
LONGEST_PAUSE_S = 24 * 3600.0


class Throttled(Unavailable):
    """The server says that it is asked too often (429)."""


class OutOfRange(BadAnswer):
    """The server has no such part of the file (416)."""


def raise_for_status(response: httpx.Response) -> None:
    """Does nothing if the server gave what was asked for.

    Raises:
        NetworkError: it did not; which one says why.
    """
    status, where = response.status_code, shown(str(response.url))
    if status < 400:
        return
    retry_after, why = retry_after_s(response.headers.get("Retry-After")), said(response)
    if status in {404, 410}:
        raise NotThere(f"{where} is not there ({status})")
    if status == 401 and "Authorization" in response.request.headers:
        raise NotAllowed(f"{where} refuses the key ({status})")
    if status in {401, 403}:
        raise Refused(f"{where} is refused ({status})")
    if status == 416:
        raise OutOfRange(f"{where} has no such part")
    if status == 429:
        raise Throttled(f"{where} answers {status} {why}", retry_after)
    if status >= 500:
        raise Unavailable(f"{where} answers {status}", retry_after)
    raise BadAnswer(f"{where} answers {status}")


def said(response: httpx.Response) -> str:
    """The beginning of an answer's body, on a line: where FreeSound names the limit that was met.

    Reads on to the end of a short body: what is left unread takes room in an HTTP/2 connection.
    """
    body = b""
    try:
        for block in response.iter_raw():
            body += block
            if len(body) > LONGEST_READ:
                break
    except httpx.TransportError:
        return ""
    start = body[:LONGEST_SAID].decode("utf-8", errors="replace")
    return " ".join("".join(char if char.isprintable() else " " for char in start).split())


def retry_after_s(value: str | None) -> float | None:
    """How long to wait (s), from a number of seconds or a date (RFC 9110, section 10.2.3)."""
    if not value:
        return None
    if value.strip().isdecimal():
        return min(float(value), LONGEST_PAUSE_S)
    try:
        wait = (parsedate_to_datetime(value) - utc_now()).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(0.0, wait), LONGEST_PAUSE_S)
