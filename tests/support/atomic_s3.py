"""moto's S3 server with a lock around each PUT, so that a conditional PUT is one step.

moto looks whether an object exists, and then writes it: two requests at the same time can both succeed. A
server may also ignore the condition, as some do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

Environment = dict[str, Any]


class Silent(WSGIRequestHandler):
    """Logs nothing."""

    def log(self, *args: Any) -> None: ...


@contextmanager
def serving_atomic_s3(ignores_conditions: bool = False, locked: bool = True) -> Iterator[str]:
    """Gives the server's root URL.

    Args:
        ignores_conditions: a PUT with a condition is one without.
        locked: whether a PUT is one step.
    """
    inner = DomainDispatcherApplication(create_backend_app)
    lock = threading.Lock()

    def application(environment: Environment, start: Callable[..., Any]) -> Iterable[bytes]:
        if environment["REQUEST_METHOD"] != "PUT":
            return list(inner(environment, start))
        if ignores_conditions:
            environment.pop("HTTP_IF_NONE_MATCH", None)
        if not locked:
            return list(inner(environment, start))
        with lock:
            return list(inner(environment, start))

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Silent)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
