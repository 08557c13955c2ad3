"""The one way to the network, used by every source.

A request goes only to the hosts that the source names, is tried again when trying again can heal
it, never reads more than it was told to, and fails with an error named by its cause.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, Field
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from wavcaps_assets.clock import utc_now
from wavcaps_assets.network_errors import (
    BadAnswer,
    HostNotAllowed,
    NotAllowed,
    NotThere,
    TooLarge,
    Unavailable,
)

T = TypeVar("T")


class NetworkSettings(BaseModel):
    """How patient the crawl is."""

    connect_timeout_s: float = Field(10.0, gt=0, description="how long connecting may take (s)")
    read_timeout_s: float = Field(60.0, gt=0, description="how long the server may be silent (s)")
    attempts: int = Field(4, ge=1, description="how often a request that can heal is made")
    longest_wait_s: float = Field(60.0, ge=0, description="longest wait between two attempts (s)")
    first_wait_s: float = Field(
        0.5, ge=0, description="wait before the second attempt (s); doubles from there"
    )
    page_bytes: int = Field(32 * 2**20, gt=0, description="largest page or API answer (bytes)")
    audio_bytes: int = Field(4 * 2**30, gt=0, description="largest audio file (bytes)")
    contact: str = Field("", description="an address for site owners, sent in the User-Agent")

    @property
    def user_agent(self) -> str:
        contact = f"; {self.contact}" if self.contact else ""
        return f"wavcaps-on-dagster/0.1 (audio-captioning data set research{contact})"


class Network:
    """A client for the named hosts. Safe to use from several threads; close it when done."""

    def __init__(self, hosts: frozenset[str], settings: NetworkSettings | None = None) -> None:
        """Args:
        hosts: `host` or `host:port` of every server that may be asked; a leading dot admits
            the subdomains.
        """
        self.settings = settings or NetworkSettings()
        self._hosts = hosts
        self._client = httpx.Client(
            follow_redirects=True,
            timeout=httpx.Timeout(self.settings.read_timeout_s, connect=self.settings.connect_timeout_s),
            headers={"User-Agent": self.settings.user_agent},
            event_hooks={"request": [self._check_host]},
        )

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get_json(
        self,
        url: str,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Fetches and parses JSON. Raises NetworkError."""
        return _json(url, self._fetch("GET", url, params=params, headers=headers))

    def post_json(self, url: str, body: object, headers: Mapping[str, str] | None = None) -> Any:
        """Posts JSON and parses the JSON that comes back. Raises NetworkError."""
        return _json(url, self._fetch("POST", url, json=body, headers=headers))

    def get_text(self, url: str, params: Mapping[str, str | int] | None = None) -> str:
        """Fetches a text, as UTF-8; bytes that are none become the replacement character."""
        return self._fetch("GET", url, params=params).decode("utf-8", errors="replace")

    def download(self, url: str, target: Path) -> int:
        """Streams a file to `target`. Returns its size in bytes. Raises NetworkError."""

        def attempt() -> int:
            with self._response("GET", url) as response, target.open("wb") as file:
                size = 0
                for block in _limited(response, self.settings.audio_bytes):
                    size += file.write(block)
            return size

        return self._patiently(attempt)

    def _fetch(self, method: str, url: str, **request: Any) -> bytes:
        def attempt() -> bytes:
            with self._response(method, url, **request) as response:
                return b"".join(_limited(response, self.settings.page_bytes))

        return self._patiently(attempt)

    @contextmanager
    def _response(self, method: str, url: str, **request: Any) -> Iterator[httpx.Response]:
        try:
            with self._client.stream(method, url, **request) as response:
                _raise_for_status(response)
                yield response
        except httpx.TransportError as error:
            raise Unavailable(f"{_where(url)} does not answer: {error or type(error).__name__}") from error
        except (httpx.InvalidURL, httpx.TooManyRedirects, httpx.DecodingError) as error:
            raise BadAnswer(f"{_where(url)}: {error}") from error

    def _patiently(self, attempt: Callable[[], T]) -> T:
        retrying = Retrying(
            retry=retry_if_exception_type(Unavailable),
            stop=stop_after_attempt(self.settings.attempts),
            wait=self._wait,
            reraise=True,
        )
        return retrying(attempt)

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_s if isinstance(error, Unavailable) else None
        if asked is not None:
            return min(asked, self.settings.longest_wait_s)
        grow = wait_exponential_jitter(
            initial=self.settings.first_wait_s,
            max=self.settings.longest_wait_s,
            jitter=self.settings.first_wait_s,
        )
        return grow(state)

    def _check_host(self, request: httpx.Request) -> None:
        # httpx calls this for every request, those that a redirect leads to included.
        host, port = request.url.host, request.url.port
        named = {host, f"{host}:{port}"}
        within = any(entry.startswith(".") and host.endswith(entry) for entry in self._hosts)
        if request.url.scheme not in {"http", "https"} or not (named & self._hosts or within):
            raise HostNotAllowed(
                f"{request.url.scheme}://{request.url.netloc.decode()} is no host of this source"
            )


def _where(url: str) -> str:
    """A URL without its query, which may hold a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _raise_for_status(response: httpx.Response) -> None:
    status, where = response.status_code, _where(str(response.url))
    if status < 400:
        return
    if status in {404, 410}:
        raise NotThere(f"{where} is not there ({status})")
    if status in {401, 403}:
        raise NotAllowed(f"{where} refuses the key ({status})")
    if status == 429 or status >= 500:
        raise Unavailable(f"{where} answers {status}", _retry_after_s(response.headers.get("Retry-After")))
    raise BadAnswer(f"{where} answers {status}")


def _retry_after_s(value: str | None) -> float | None:
    if not value:
        return None
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - utc_now()).total_seconds())
    except (ValueError, TypeError):
        return None


def _limited(response: httpx.Response, limit: int) -> Iterator[bytes]:
    size = 0
    for block in response.iter_bytes():
        size += len(block)
        if size > limit:
            raise TooLarge(f"{_where(str(response.url))} is larger than {limit} bytes")
        yield block


def _json(url: str, body: bytes) -> Any:
    try:
        return json.loads(body)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadAnswer(f"{_where(url)} did not answer with JSON: {error}") from error
