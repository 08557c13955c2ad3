"""URLs in a form that may be shown."""

from __future__ import annotations

from urllib.parse import urlsplit


def host_of(url: str) -> str:
    """`host`, or `host:port` if the URL has a port."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def shown(url: str) -> str:
    """A URL without its query and user name, which may contain a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{host_of(url)}{parts.path}"
