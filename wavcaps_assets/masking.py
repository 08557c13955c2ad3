"""Masks secrets in text that others wrote, before it enters an error, a log, a table or the store.

A server may echo a request: a 429 body quotes `Authorization`, an S3 error names the key id. Secrets are
registered when they are read from settings and when they are sent; `masked` replaces all of them.
"""

from __future__ import annotations

import html
import json
import re
import threading
from urllib.parse import quote, quote_plus

# A shorter value is also found in ordinary text, so masking it would damage that.
MIN_CHARS = 8
MASK = "…"
# Headers whose values are secrets.
SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"})
ESCAPE = re.compile("%[0-9A-F]{2}")

_lock = threading.Lock()
_forms: dict[str, None] = {}


def register_secret(*values: str | None) -> None:
    """Adds values that `masked` replaces from now on, in this process. Shorter ones than 8 characters and
    empty ones are ignored."""
    with _lock:
        for value in values:
            if value and len(value) >= MIN_CHARS:
                _forms.update(dict.fromkeys(_written_forms(value)))
                # The longest first, so that no part of a secret remains.
                ordered = sorted(_forms, key=len, reverse=True)
                _forms.clear()
                _forms.update(dict.fromkeys(ordered))


def register_header(name: str, value: str) -> None:
    """Registers the secret in a header that is sent, such as the token in `Authorization: Token abc`."""
    if name.lower() in SECRET_HEADERS:
        register_secret(value, value.partition(" ")[2])


def masked(text: str) -> str:
    """The text with `…` in place of each registered secret, as it is or encoded for a URL, JSON or HTML."""
    for form in tuple(_forms):
        if form in text:
            text = text.replace(form, MASK)
    return text


def masked_bytes(data: bytes) -> bytes:
    """Like `masked`, for text in UTF-8."""
    for form in tuple(_forms):
        encoded = form.encode()
        if encoded in data:
            data = data.replace(encoded, MASK.encode())
    return data


def _written_forms(value: str) -> set[str]:
    # JSON may also escape slashes.
    in_json = json.dumps(value)[1:-1]
    in_url = {quote(value, safe=""), quote_plus(value)}
    return {
        value,
        *in_url,
        # Servers also write %2b for %2B.
        *(ESCAPE.sub(lambda found: found[0].lower(), form) for form in in_url),
        in_json,
        in_json.replace("/", "\\/"),
        html.escape(value),
    }
