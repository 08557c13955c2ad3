"""Serves the page on the loopback address, until the process is stopped."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from wavcaps_assets.store.storage import Store
from wavcaps_training.search.index import SearchIndex
from wavcaps_training.search.page.app import build_app
from wavcaps_training.search.ratings import Ratings

ADDRESS = "127.0.0.1"


def serve(index: SearchIndex, store: Store, port: int, when_ready: Callable[[str], object]) -> None:
    """Serves the page.

    Args:
        index: what is searched.
        store: where audio and ratings are.
        port: 0: any free one.
        when_ready: gets the page's address.

    Raises:
        OSError: the port is taken.
        StoreError: the ratings cannot be read.
    """
    with socket.create_server((ADDRESS, port)) as listener, Ratings(store) as ratings:
        app = build_app(index, store, ratings)
        when_ready(f"http://{ADDRESS}:{listener.getsockname()[1]}/")
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])
