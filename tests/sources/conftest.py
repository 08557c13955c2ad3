"""A client that may ask a server on this machine, and gives up at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wavcaps_assets.network.client import Network
from wavcaps_assets.network.links import host_of
from wavcaps_assets.network.settings import UNLIMITED, NetworkSettings

Opener = Callable[[str], Network]


@pytest.fixture
def network_to(tmp_path: Path) -> Iterator[Opener]:
    """Opens clients, and closes them."""
    clients: list[Network] = []

    def open_client(url: str) -> Network:
        settings = NetworkSettings(
            attempts=1,
            failures_in_a_row=100,
            private_hosts=frozenset({host_of(url)}),
            other_quota=UNLIMITED,
        )
        clients.append(Network(tmp_path / "state", settings))
        return clients[-1]

    yield open_client
    for client in clients:
        client.__exit__(None, None, None)
