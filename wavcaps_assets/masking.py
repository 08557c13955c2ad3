"""Masks secrets in text that others wrote, before it enters an error, a log, a table or the store.

A server may echo a request: a 429 body quotes `Authorization`, an S3 error names the key id. Secrets are
registered when they are read from settings and when they are sent; `masked` replaces all of them.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import threading
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

# A shorter value is also found in ordinary text, so masking it everywhere would damage that. It is masked
# where the name of a secret precedes it.
MIN_CHARS = 8
MIN_SHORT_CHARS = 3
# Shorter parts of Base64 are found in other Base64 by chance.
MIN_BASE64_CHARS = 10
MASK = "…"
# Headers whose values are secrets.
SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"})
ESCAPE = re.compile("%[0-9A-F]{2}")
QUOTE = r"""(?:\\*["']|&quot;|&\#3[49];|&\#x27;|%2[27])?"""
NAMED = (
    r"(?i:\b(?:authorization|(?:[a-z]+[-_ ]?)?(?:key|token|secret|password|passwd))"
    rf"{QUOTE}\s*(?:[:=]|%3[ad])\s*{QUOTE}(?:(?:token|bearer|basic)(?:\s|%20|\+)+)?)"
)

_lock = threading.Lock()
_forms: dict[str, None] = {}
_short: dict[str, re.Pattern[str]] = {}


def register_secret(*values: str | None) -> None:
    """Adds values that `masked` replaces from now on, in this process.

    Values of less than 8 characters are replaced only behind the name of a secret, such as `token=` or
    `"api_key": `. Values of less than 3, and those without a letter or a digit, are ignored: they are no
    secrets, but what a form shows in place of one.
    """
    with _lock:
        for value in values:
            if not value or not any(char.isalnum() for char in value) or len(value) < MIN_SHORT_CHARS:
                continue
            if len(value) < MIN_CHARS:
                _short[value] = re.compile(rf"({NAMED}){re.escape(value)}(?![A-Za-z0-9])")
                continue
            _forms.update(dict.fromkeys(_written_forms(value)))
            # The longest first, so that no part of a secret remains.
            ordered = sorted(_forms, key=len, reverse=True)
            _forms.clear()
            _forms.update(dict.fromkeys(ordered))


def register_header(name: str, value: str) -> None:
    """Registers the secret in a header that is sent, such as the token in `Authorization: Token abc`."""
    if name.lower() in SECRET_HEADERS:
        register_secret(value, value.partition(" ")[2])


class _Masked(logging.Filter):
    """Masks secrets in log lines."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = masked(record.getMessage()), None
        return True


_MASKED = _Masked()


def mask_log(name: str) -> None:
    """Masks registered secrets in the lines of another package's logger, from now on."""
    logging.getLogger(name).addFilter(_MASKED)


def masked(text: str) -> str:
    """The text with `…` in place of each registered secret, as it is or encoded.

    Encodings are those of URLs, JSON, HTML, Base64 and Python, also one inside the other where a server
    quotes a quotation.
    """
    for form in tuple(_forms):
        if form in text:
            text = text.replace(form, MASK)
    for value, pattern in tuple(_short.items()):
        if value in text:
            text = pattern.sub(rf"\1{MASK}", text)
    return text


def masked_bytes(data: bytes) -> bytes:
    """Like `masked`, for text in UTF-8. Bytes that are not UTF-8 stay as they are."""
    for form in tuple(_forms):
        encoded = form.encode()
        if encoded in data:
            data = data.replace(encoded, MASK.encode())
    for value in tuple(_short):
        if value.encode() in data:
            data = masked(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
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
        *(quote(form, safe="") for form in in_url),
        in_json,
        in_json.replace("/", "\\/"),
        json.dumps(in_json)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        html.escape(value),
        repr(value)[1:-1],
        repr(value.encode())[2:-1],
        *_in_base64(value.encode()),
    }


def _in_base64(secret: bytes) -> Iterator[str]:
    """The part of Base64 that depends on the secret alone, wherever it is in what was encoded."""
    for before, start in enumerate((0, 2, 3)):
        length = (before + len(secret)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            part = encode(bytes(before) + secret).decode("ascii")[start:length]
            if len(part) >= MIN_BASE64_CHARS:
                yield part
