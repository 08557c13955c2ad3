"""A site's rules for crawlers, robots.txt (RFC 9309)."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from protego import Protego

from wavcaps_assets.network.errors import BadAnswer, NetworkError, NotAllowed, NotThere, Refused, Unavailable


class Robots:
    """The rules of sites, each read once.

    Args:
        fetch: reads a URL as text.
        user_agent: the crawler's name.
    """

    def __init__(self, fetch: Callable[[str], str], user_agent: str) -> None:
        self._fetch = fetch
        self._user_agent = user_agent
        self._rules: dict[str, Protego] = {}

    def allows(self, url: str) -> bool:
        """Whether a page may be read.

        Raises:
            Unavailable: robots.txt cannot be read now, so no page may be read (section 2.3.1.4).
            Paused: the same.
        """
        return bool(self._of(url).can_fetch(url, self._user_agent))

    def delay_s(self, url: str) -> float:
        """The site's Crawl-delay, the time between two requests (s); 0 if it has none that makes sense."""
        delay = float(self._of(url).crawl_delay(self._user_agent) or 0.0)
        return delay if delay > 0 else 0.0

    def _of(self, url: str) -> Protego:
        parts = urlsplit(url)
        site = f"{parts.scheme}://{parts.netloc}"
        if site not in self._rules:
            self._rules[site] = Protego.parse(self._read(f"{site}/robots.txt"))
        return self._rules[site]

    def _read(self, url: str) -> str:
        try:
            return self._fetch(url)
        except Unavailable:
            raise
        except (NotThere, NotAllowed, Refused, BadAnswer):
            # Without a robots.txt everything is allowed (section 2.3.1.3).
            return ""
        except NetworkError as error:
            raise Unavailable(f"its robots.txt cannot be read: {error}") from error
