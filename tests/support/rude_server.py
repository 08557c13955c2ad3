"""A server that sends exactly the bytes of a test, also those that no web framework would send."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Asked:
    """A request. `number` counts those for its path, from 1."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    number: int

    @property
    def path(self) -> str:
        return urlsplit(self.target).path


Answer = Callable[[Asked, socket.socket], None]


@dataclass
class RudeServer:
    """A running server: its answers, and the requests that it got.

    Attributes:
        answers: by path; any other path is a 404.
        asked: all requests so far.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""
    _counts: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def times(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(asked.path == path for asked in self.asked)

    def note(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Asked:
        with self._lock:
            path = urlsplit(target).path
            self._counts[path] += 1
            asked = Asked(method, target, headers, body, self._counts[path])
            self.asked.append(asked)
            return asked


def answer(
    body: bytes = b"",
    status: str = "200 OK",
    headers: Mapping[str, str] | None = None,
    length: int | None = None,
) -> Answer:
    """An answer with a body; `length` claims another length than it has."""
    lines = {
        "Content-Length": str(len(body) if length is None else length),
        "Connection": "close",
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    whole = f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body

    def send(asked: Asked, connection: socket.socket) -> None:
        connection.sendall(whole)

    return send


def in_turn(*answers: Answer) -> Answer:
    """The first answer to the first request of a path, and so on; the last to all that follow."""

    def send(asked: Asked, connection: socket.socket) -> None:
        answers[min(asked.number, len(answers)) - 1](asked, connection)

    return send


def endless(
    block: bytes,
    headers: Mapping[str, str] | None = None,
    wait: threading.Event | None = None,
    status: str = "200 OK",
) -> Answer:
    """A body without end; with `wait`, a block every twentieth of a second."""

    def send(asked: Asked, connection: socket.socket) -> None:
        head = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        connection.sendall(f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1"))
        while wait is None or not wait.wait(0.05):
            connection.sendall(block)

    return send


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        server: RudeServer = self.server.rude  # type: ignore[attr-defined]
        with suppress(OSError), self.request.makefile("rb") as lines:
            while request_line := lines.readline().decode("latin-1").split():
                headers = {}
                while (line := lines.readline().decode("latin-1").strip()) != "":
                    name, _, value = line.partition(":")
                    headers[name.strip().lower()] = value.strip()
                body = lines.read(int(headers.get("content-length", 0)))
                asked = server.note(request_line[0], request_line[1], headers, body)
                server.answers.get(asked.path, answer(b"", "404 Not Found"))(asked, self.request)
                # The claimed length may be wrong: only a new connection is clean.
                self.request.shutdown(socket.SHUT_RDWR)
                return


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False
    request_queue_size = 128


@contextmanager
def rude_server(port: int = 0) -> Iterator[RudeServer]:
    """Runs a server on a port of this machine; 0: a free one."""
    rude = RudeServer()
    with _Server(("127.0.0.1", port), _Handler) as server:
        server.rude = rude  # type: ignore[attr-defined]
        rude.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield rude
        finally:
            server.shutdown()
            thread.join()
