"""The network client that every source uses.

A request goes to public addresses only, respects its host's quota, is retried where a retry can help,
reads a limited number of bytes, and fails with an error named by its cause.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpcore
import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from wavcaps_assets.clock import utc_now
from wavcaps_assets.masking import masked, masked_bytes, register_header
from wavcaps_assets.network.addresses import Deadline, GuardedBackend
from wavcaps_assets.network.bodies import blocks
from wavcaps_assets.network.clients import Clients
from wavcaps_assets.network.cookies import bounded_jar
from wavcaps_assets.network.downloads import Download, Partial
from wavcaps_assets.network.errors import (
    AddressNotAllowed,
    BadAnswer,
    Disallowed,
    HostDown,
    NetworkError,
    NotThere,
    Paused,
    QuotaExhausted,
    Unavailable,
)
from wavcaps_assets.network.json_pages import is_damaged, parse
from wavcaps_assets.network.links import host_of, shown
from wavcaps_assets.network.pages import Page, PageLog, key_of
from wavcaps_assets.network.proxies import refuse_proxy
from wavcaps_assets.network.quotas import DAY_S, MINUTE_S, Limit
from wavcaps_assets.network.robots import Robots
from wavcaps_assets.network.settings import NetworkSettings
from wavcaps_assets.network.shared_quotas import open_quotas
from wavcaps_assets.network.statuses import OutOfRange, Throttled, raise_for_status
from wavcaps_assets.store.storage import Store

T = TypeVar("T")
Params = Mapping[str, str | int]
QUOTAS_FILE = "quotas.sqlite"
MAX_REDIRECTS = 10


class Network:
    """A client for all hosts. Threads may share it; close it when done.

    Args:
        state: the folder of the quota file, which all processes of a machine share.
        store: where machines share their quotas, if it is a bucket; None: this machine works alone.

    Raises:
        StoreError: the bucket cannot be used.
    """

    def __init__(
        self, state: Path, settings: NetworkSettings | None = None, store: Store | None = None
    ) -> None:
        self.settings = settings or NetworkSettings()
        self._quotas = open_quotas(state / QUOTAS_FILE, store)
        self._deadline = Deadline()
        # Read once: each new httpx client would read all certificates again.
        self._tls = httpx.create_ssl_context()
        self._clients = Clients(self._new_client)
        self._robots = Robots(self.get_text, self.settings.user_agent)
        # Crawl-delay of each host's robots.txt (s).
        self._delays: dict[str, float] = {}
        self._pages: PageLog | None = None
        self._failures: Counter[str] = Counter()
        # Hosts that a request got through to.
        self._reached: set[str] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self._clients.close()
        self._quotas.close()

    @contextmanager
    def using_pages(self, pages: PageLog) -> Iterator[None]:
        """Reads pages from a crawl's log where it has them, and adds the others to it."""
        self._pages = pages
        try:
            with pages:
                yield
        finally:
            self._pages = None

    def get_json(
        self,
        url: str,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        reread: int = 0,
    ) -> Any:
        """Fetches and parses JSON; see `json_pages.parse`. Raises NetworkError, Paused.

        Args:
            reread: number of times this crawl has read the page before; a new number is a new request.
        """
        key = key_of("GET", url, dict(params or {}), None, reread)
        return self._page(key, url, parse, "GET", params=params, headers=headers)

    def post_json(self, url: str, body: object, headers: Mapping[str, str] | None = None) -> Any:
        """Posts JSON and parses the JSON of the response. Raises NetworkError, Paused."""
        key = key_of("POST", url, {}, body, 0)
        return self._page(key, url, parse, "POST", json=body, headers=headers)

    def get_text(self, url: str, most_bytes: int | None = None) -> str:
        """Fetches a text in UTF-8, without a byte order mark; invalid bytes become U+FFFD."""
        key = key_of("GET", url, {}, None, 0)
        return str(self._page(key, url, _text, "GET", most_bytes=most_bytes))

    def get_page(self, url: str, check: Callable[[str], None] = lambda page: None) -> str:
        """Fetches an HTML page that the site's robots.txt allows.

        Args:
            check: raises BadAnswer if this is not the expected page. Such a page is not logged, so that a
                resumed crawl requests it again.

        Raises:
            Disallowed: robots.txt does not allow it.
        """
        if not self._robots.allows(url):
            raise Disallowed(f"{shown(url)}: the site's robots.txt disallows it")
        self._delays[host_of(url)] = min(self._robots.delay_s(url), DAY_S)

        def checked(body: bytes) -> str:
            page = _text(body)
            check(page)
            return page

        return str(self._page(key_of("GET", url, {}, None, 0), url, checked, "GET"))

    def wait_s(self, host: str) -> float:
        """Time until the host may be sent a request (s); 0 if it may now."""
        return self._quotas.wait_s(host, self._limits(host))

    def post_form(self, url: str, data: Mapping[str, str]) -> Any:
        """Posts a form and parses the JSON of the response, which is never logged.

        Never retried: a form may have had its effect, such as using up a token, without a response. Never
        redirected: the form has secrets, which another server must not get.
        """
        page = self._fetch("POST", url, attempts=1, redirects=0, data=dict(data))
        return self._parsed(url, parse, page.body)

    def download(
        self,
        url: str,
        target: Path,
        headers: Mapping[str, str] | None = None,
        md5: str | None = None,
        most_bytes: int | None = None,
    ) -> Download:
        """Streams a file to `target`; resumes an interrupted download.

        Args:
            md5: the file's MD5, where its source gives one.
            most_bytes: a larger file is refused; None: the largest audio file of the settings.

        Raises:
            NetworkError, Paused.
        """
        partial, limit = Partial(target, url), most_bytes or self.settings.audio_bytes

        def attempt() -> Download:
            sent = {**(headers or {}), **partial.headers(), "Accept-Encoding": "identity"}
            try:
                with self._response("GET", url, self.settings.audio_timeout_s, headers=sent) as response:
                    return partial.receive(response, limit, shown(url), md5)
            except OutOfRange as error:
                partial.discard()
                raise Unavailable(f"{shown(url)} has another length than before") from error

        try:
            return self._retried(url, attempt)
        except (Unavailable, Paused):
            partial.discard_secrets()
            raise
        except NetworkError:
            # A partial file is of no use.
            partial.discard()
            raise

    def _page(self, key: str, url: str, read: Callable[[bytes], Any], method: str, **request: Any) -> Any:
        page = self._pages.get(key) if self._pages else None
        if page is not None:
            if page.status == 404:
                raise NotThere(f"{shown(url)} does not exist (404)")
            return self._parsed(url, read, page.body)
        if self._pages and self._pages.has_failed_too_often(key):
            raise Unavailable(f"{shown(url)} failed each time that this crawl requested it")
        try:
            page = self._fetch(method, url, **request)
            # What a server echoes must reach neither the page log nor a table.
            page = Page(page.status, masked_bytes(page.body))
        except NotThere:
            if self._pages:
                self._pages.add(key, shown(url), Page(404, b""))
            raise
        except (Unavailable, HostDown):
            if self._pages:
                self._pages.add_failure(key)
            raise
        parsed = self._parsed(url, read, page.body)
        # Only readable pages are kept: a broken page may be complete the next time.
        if self._pages and not is_damaged(parsed):
            self._pages.add(key, shown(url), page)
        return parsed

    def _parsed(self, url: str, read: Callable[[bytes], Any], body: bytes) -> Any:
        try:
            return read(body)
        except (ValueError, RecursionError) as error:
            raise BadAnswer(f"{shown(url)} did not respond with JSON: {error}") from error

    def _fetch(
        self,
        method: str,
        url: str,
        *,
        most_bytes: int | None = None,
        attempts: int | None = None,
        redirects: int = MAX_REDIRECTS,
        **request: Any,
    ) -> Page:
        limit = most_bytes or self.settings.page_bytes
        headers = {**(request.pop("headers", None) or {}), "Accept-Encoding": "gzip"}

        def attempt() -> Page:
            with self._response(
                method, url, self.settings.page_timeout_s, redirects, headers=headers, **request
            ) as response:
                return Page(200, b"".join(blocks(response, limit, shown(url))))

        return self._retried(url, attempt, attempts)

    @contextmanager
    def _response(
        self, method: str, url: str, timeout_s: float, redirects: int = MAX_REDIRECTS, **request: Any
    ) -> Iterator[httpx.Response]:
        for name, value in (request.get("headers") or {}).items():
            register_header(name, value)
        try:
            with self._clients.borrow() as client:
                # Cookies last for one page with its redirects: clients are shared by unrelated pages.
                client.cookies.clear()
                current: httpx.Request | None = client.build_request(
                    method, url, extensions={"transfer_timeout_s": timeout_s}, **request
                )
                # httpx itself would read the body of a redirect, however long it is.
                for _ in range(redirects + 1):
                    assert current is not None
                    with closing(client.send(current, stream=True)) as response:
                        current = response.next_request
                        if current is None:
                            raise_for_status(response)
                            yield response
                            return
            raise BadAnswer(
                f"{shown(url)} is redirected more than {redirects} times"
                if redirects
                else f"{shown(url)} redirects a request with secrets, which is not followed"
            )
        except httpx.TransportError as error:
            # The cause's text may quote our headers.
            raise Unavailable(f"{shown(url)} does not respond: {error or type(error).__name__}") from None
        except httpx.InvalidURL as error:
            raise BadAnswer(f"{shown(url)}: {error}") from None
        finally:
            self._deadline.until = None

    def _retried(self, url: str, attempt: Callable[[], T], attempts: int | None = None) -> T:
        host = host_of(url)
        retrying = Retrying(
            retry=retry_if_exception_type(Unavailable),
            stop=stop_after_attempt(attempts or self.settings.attempts),
            wait=lambda state: self._wait(host, state),
            reraise=True,
        )
        try:
            result = retrying(attempt)
        except Unavailable as error:
            self._give_up(host, error)
            raise
        except NetworkError:
            # The host responded.
            self._reset_failures(host)
            raise
        self._reset_failures(host)
        return result

    def _reset_failures(self, host: str) -> None:
        with self._lock:
            self._failures[host] = 0
            self._reached.add(host)

    def _give_up(self, host: str, error: Unavailable) -> None:
        """Counts a failure. Raises Paused where the host has failed, not one page."""
        pause_s = max(self.settings.pause_s, error.retry_after_s or 0)
        until = utc_now() + timedelta(seconds=pause_s)
        if isinstance(error, Throttled):
            self._quotas.pause(host, pause_s)
            said = f"{host} receives too many requests: {error}"
            raise QuotaExhausted(said, until, host not in self._reached) from error
        with self._lock:
            self._failures[host] += 1
            failed = self._failures[host]
        if failed >= self.settings.failures_in_a_row:
            self._quotas.pause(host, pause_s)
            raise HostDown(f"{host} failed {failed} times in a row, last: {error}", until) from error

    def _wait(self, host: str, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        retry_after = error.retry_after_s if isinstance(error, Unavailable) else None
        if retry_after is not None:
            # For all threads and processes; the next attempt's quota waits for the rest, or pauses.
            self._quotas.pause(host, retry_after)
        grow = wait_exponential_jitter(
            initial=self.settings.first_wait_s,
            max=self.settings.longest_wait_s,
            jitter=self.settings.first_wait_s,
        )
        return grow(state)

    def _new_client(self) -> httpx.Client:
        transport = httpx.HTTPTransport(http2=True, verify=self._tls)
        # httpx has no parameter for the network backend of httpcore.
        pool = transport._pool
        assert isinstance(pool, httpcore.ConnectionPool)
        pool._network_backend = GuardedBackend(self.settings.private_hosts, self._deadline)
        return httpx.Client(
            transport=transport,
            cookies=bounded_jar(),
            timeout=httpx.Timeout(self.settings.read_timeout_s, connect=self.settings.connect_timeout_s),
            headers={"User-Agent": self.settings.user_agent},
            event_hooks={"request": [self._before], "response": [self._after]},
        )

    def _before(self, request: httpx.Request) -> None:
        # httpx calls this for every request, also after a redirect.
        if request.url.scheme not in {"http", "https"} or not request.url.host:
            raise AddressNotAllowed(f"{masked(str(request.url))[:200]!r} is not an http(s) address")
        host = request.url.netloc.decode("ascii").rpartition("@")[2]
        if host not in self.settings.private_hosts:
            refuse_proxy(request.url.scheme, request.url.host)
        request.extensions["quota"] = self._acquire(host)
        self._deadline.set(request.extensions.get("transfer_timeout_s", self.settings.page_timeout_s))

    def _after(self, response: httpx.Response) -> None:
        request_id = response.request.extensions.get("quota")
        if request_id is not None:
            self._quotas.complete(request_id)

    def _acquire(self, host: str) -> int | None:
        """Waits until the host may be sent a request. Raises Paused if that takes too long."""
        while True:
            request_id, wait = self._quotas.acquire(host, self._limits(host))
            if wait == 0:
                return request_id
            if wait > self.settings.longest_wait_s:
                until = utc_now() + timedelta(seconds=wait)
                raise QuotaExhausted(f"the quota of {host} is used up", until, host not in self._reached)
            time.sleep(wait)

    def _limits(self, host: str) -> tuple[Limit, ...]:
        quota = self.settings.quota_of(host)
        spans = ((quota.per_minute, MINUTE_S), (quota.per_day, DAY_S), (1, self._delays.get(host, 0.0)))
        return tuple(Limit(requests, span) for requests, span in spans if requests is not None and span > 0)


def _text(body: bytes) -> str:
    return body.decode("utf-8-sig", errors="replace")
