"""URLs as they may be shown."""

from __future__ import annotations

from urllib.parse import urlsplit


def host_of(url: str) -> str:
    """`host`, or `host:port` where a port is named."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def shown(url: str) -> str:
    """A URL without its query and its user, which may hold a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{host_of(url)}{parts.path}"
