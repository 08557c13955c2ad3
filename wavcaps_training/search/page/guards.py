"""What keeps other sites out: headers, the check of where a request comes from, and limits of bodies."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = ["127.0.0.1", "localhost"]
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; media-src 'self'; "
    "img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: a browser would then hide the origin of the page's own forms.
    "Referrer-Policy": "same-origin",
    # Other sites can neither play the clips nor keep a handle on the page's window.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class TooLarge(ValueError):
    """The body of a request is larger than it may be."""


class SecurityHeaders:
    """Adds `HEADERS` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        await self.app(scope, receive, sending if scope["type"] == "http" else send)


def refuse_foreign(request: Request) -> None:
    """Refuses a request that another site's page made.

    Raises:
        HTTPException: the browser says that it comes from elsewhere.
    """
    own = f"http://{request.headers.get('host', '')}"
    site = request.headers.get("sec-fetch-site", "same-origin")
    if request.headers.get("origin", own) != own or site not in {"same-origin", "none"}:
        raise HTTPException(403, "another site may not do this")


async def limited_body(request: Request, most: int) -> bytes:
    """The body of a request.

    Raises:
        TooLarge: it has more than `most` bytes.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise TooLarge(f"the request has more than {most:,} bytes")
    return bytes(body)
