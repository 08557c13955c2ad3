"""What a server's answer means, by its status."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import httpx

from wavcaps_assets.clock import utc_now
from wavcaps_assets.network.links import shown
from wavcaps_assets.network_errors import BadAnswer, NotAllowed, NotThere, Refused, Unavailable

LONGEST_SAID = 200


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
    retry_after = retry_after_s(response.headers.get("Retry-After"))
    if status in {404, 410}:
        raise NotThere(f"{where} is not there ({status})")
    if status == 401 or (status == 403 and "Authorization" in response.request.headers):
        raise NotAllowed(f"{where} refuses the key ({status})")
    if status == 403:
        raise Refused(f"{where} is refused to everybody ({status})")
    if status == 416:
        raise OutOfRange(f"{where} has no such part")
    if status == 429:
        raise Throttled(f"{where} answers {status} {said(response)}", retry_after)
    if status >= 500:
        raise Unavailable(f"{where} answers {status}", retry_after)
    raise BadAnswer(f"{where} answers {status}")


def said(response: httpx.Response) -> str:
    """The beginning of an answer's body, on a line: where FreeSound names the limit that was met."""
    try:
        start = next(response.iter_raw(), b"")[:LONGEST_SAID].decode("utf-8", errors="replace")
    except httpx.TransportError:
        return ""
    return " ".join("".join(char if char.isprintable() else " " for char in start).split())


def retry_after_s(value: str | None) -> float | None:
    """How long to wait (s), from a number of seconds or a date (RFC 9110, section 10.2.3)."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - utc_now()).total_seconds())
    except (ValueError, TypeError):
        return None
