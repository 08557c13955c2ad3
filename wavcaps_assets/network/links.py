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


def without_credentials(url: str) -> str:
    """Checks the address of a setting: it is stored with each clip, so it must not contain a secret.

    Raises:
        ValueError: it has a user name or a password.
    """
    if "://" in url and "@" in urlsplit(url).netloc:
        raise ValueError("the address contains a user name or a password, which would be stored with data")
    return url
