"""One of several machines that share a bucket: a process that sends requests as fast as its quota allows.

Its argument is a JSON object; see `main`. All times are shorter than in life, by the same factor.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from tests.support.s3 import REGION
from wavcaps_assets import clock
from wavcaps_assets.network import client, share_exchange, shared_quotas
from wavcaps_assets.network.client import Network
from wavcaps_assets.network.errors import Paused
from wavcaps_assets.network.links import host_of
from wavcaps_assets.network.settings import NetworkSettings, Quota
from wavcaps_assets.store.storage import open_store


def shorten(factor: float) -> None:
    for module, names in (
        (client, ("MINUTE_S",)),
        (share_exchange, ("BEAT_S", "EXPIRES_S", "IDLE_S", "WAITING_S")),
        (shared_quotas, ("REFRESH_S", "SHORTEST_S", "USE_S", "PATIENCE_S", "LATER_S", "SOON_S")),
    ):
        for name in names:
            setattr(module, name, getattr(module, name) / factor)


def main() -> None:
    given = json.loads(sys.argv[1])
    shorten(given["factor"])
    right = clock.utc_now

    def wrong() -> datetime:
        return right() + timedelta(seconds=given["skew_s"])

    clock.utc_now = wrong
    host = host_of(given["url"])
    settings = NetworkSettings(
        private_hosts=frozenset({host}),
        quotas={host: Quota(per_minute=given["per_minute"], per_day=given["per_day"])},
        first_wait_s=0,
    )
    store = open_store(given["root"], given["s3"], REGION)
    until = time.monotonic() + given["lasts_s"]
    with Network(Path(given["state"]), settings, store) as network:
        while time.monotonic() < until:
            try:
                network.get_text(given["url"])
            except Paused:
                break


if __name__ == "__main__":
    main()
