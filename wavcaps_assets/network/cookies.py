"""A cookie jar that a server cannot fill."""

from __future__ import annotations

from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from urllib.request import Request

# What a browser must support at least (RFC 6265, section 6.1), and so what a site may rely on.
MAX_COOKIES = 50
MAX_COOKIE_BYTES = 4096


class BoundedPolicy(DefaultCookiePolicy):
    """Rejects a cookie that is too large, and further cookies when the jar is full."""

    def __init__(self, jar: CookieJar) -> None:
        super().__init__()
        self._jar = jar

    def set_ok(self, cookie: Cookie, request: Request) -> bool:
        size = len(cookie.name.encode()) + len((cookie.value or "").encode())
        if size > MAX_COOKIE_BYTES or len(self._jar) >= MAX_COOKIES:
            return False
        return super().set_ok(cookie, request)


def bounded_jar() -> CookieJar:
    """A jar of at most 50 cookies of 4 KiB each."""
    jar = CookieJar()
    jar.set_policy(BoundedPolicy(jar))
    return jar
