"""How fast metadata is crawled: FreeSound's 567,078 records (Table III), a month at a time.

A server in a separate process answers as FreeSound's API does, with pages of 150 sounds. The limits
on requests are off; everything else is as in a real crawl: pages and events are written down and synced to
the disk, records are checked and compared, tables are written. The peer requests the same pages with
a bare httpx client, parses their JSON and does nothing else.

The limits: 10,000 records a second a core, and 500 MB.
"""

from __future__ import annotations

import itertools
import json
import math
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from benchmarks.result import own_peak_mb, report
from benchmarks.serving import server

RECORDS = 567_078
FIRST, LAST = "2005-04", "2022-11"
PAGE_SIZE = 150
LEAST_A_SECOND, MOST_MB = 10_000, 500
# As long as FreeSound's are on average; the words do not matter here.
DESCRIPTION = "Recorded with a handheld recorder, 44.1 kHz, 16 bit, no effects. " * 4


def month_names() -> list[str]:
    years = range(int(FIRST[:4]), int(LAST[:4]) + 1)
    names = (f"{year:04d}-{month:02d}" for year in years for month in range(1, 13))
    return [name for name in names if FIRST <= name <= LAST]


def records_in(months: list[str]) -> dict[str, range]:
    """The ids of each month's sounds."""
    share = math.ceil(RECORDS / len(months))
    return {
        month: range(1 + number * share, 1 + min((number + 1) * share, RECORDS))
        for number, month in enumerate(months)
    }


def sound(number: int, month: str) -> dict[str, Any]:
    root = f"https://cdn.freesound.org/previews/{number // 1000}/{number}_{number % 977}"
    return {
        "id": number,
        "url": f"https://freesound.org/people/user{number % 977}/sounds/{number}/",
        "name": f"Sound number {number}.wav",
        "tags": ["field-recording", "birds", f"tag{number % 101}", "ambience"],
        "description": f"{number}: {DESCRIPTION}",
        "created": f"{month}-15T12:{number % 60:02d}:00.145",
        "license": "http://creativecommons.org/licenses/by/3.0/",
        "type": "wav",
        "channels": 2,
        "filesize": 1_000_000 + number,
        "duration": 1.0 + number % 60,
        "samplerate": 44100.0,
        "username": f"user{number % 977}",
        "md5": f"{number:032x}",
        "previews": {
            f"preview-{quality}-{kind}": f"{root}-{quality}.{kind}"
            for quality, kind in itertools.product(("hq", "lq"), ("mp3", "ogg"))
        },
    }


def serve(listener: socket.socket) -> None:
    """Answers searches, until the process is ended."""
    import uvicorn

    ids = records_in(month_names())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked = parse_qs(scope["query_string"].decode())
        month, page = asked["filter"][0].partition("[")[2][:7], int(asked["page"][0])
        start = ids[month].start + (page - 1) * PAGE_SIZE
        results = [sound(number, month) for number in range(start, min(start + PAGE_SIZE, ids[month].stop))]
        body = json.dumps({"count": len(ids[month]), "next": None, "previous": None, "results": results})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body.encode("ascii")})

    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


def crawl_all(url: str, folder: Path) -> int:
    """Crawls every month as the asset `freesound/raw_clips` does. Returns how many records there are."""
    from wavcaps_assets.crawl.crawl import crawl
    from wavcaps_assets.network.client import Network
    from wavcaps_assets.network.links import host_of
    from wavcaps_assets.network.settings import UNLIMITED, NetworkSettings
    from wavcaps_assets.sources.freesound import Freesound
    from wavcaps_assets.sources.freesound_settings import FreesoundSettings
    from wavcaps_assets.store.storage import Store
    from wavcaps_assets.tables.asset_tables import TableStore

    tables = TableStore(Store(folder / "store"))
    settings = FreesoundSettings(base_url=url, token="key", first_month=FIRST, last_month=LAST)
    source = Freesound(settings, folder / "state")
    open_hosts = NetworkSettings(private_hosts=frozenset({host_of(url)}), other_quota=UNLIMITED)
    rows = 0
    with Network(folder / "state", open_hosts) as network:
        for month in source.partitions():
            stage = crawl(source, month, network, tables).stage
            tables.write([source.name, "raw_clips"], month, stage)
            rows += stage.kept.num_rows
    return rows


def request_all(url: str) -> int:
    """Requests the same pages, parses them and drops them. Returns how many records they have."""
    import httpx

    rows = 0
    with httpx.Client() as client:
        for month, ids in records_in(month_names()).items():
            for page in range(1, math.ceil(len(ids) / PAGE_SIZE) + 1):
                query: dict[str, str | int] = {"filter": f"created:[{month}-01 TO *]", "page": page}
                rows += len(client.get(f"{url}/apiv2/search/text/", params=query).json()["results"])
    return rows


def main() -> None:
    with server(serve) as url, tempfile.TemporaryDirectory() as folder:
        started, cpu = time.perf_counter(), time.process_time()
        rows = crawl_all(url, Path(folder))
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        peak_mb = own_peak_mb()
        assert rows == RECORDS, rows
        started, peer_cpu = time.perf_counter(), time.process_time()
        assert request_all(url) == RECORDS
        peer_seconds, peer_cpu = time.perf_counter() - started, time.process_time() - peer_cpu
    print(  # noqa: T201
        f"{rows} records in {seconds:.1f} s, {cpu:.1f} s of them on the CPU: "
        f"{rows / cpu:.0f} records a second of CPU time"
    )
    print(f"the bare loop: {peer_seconds:.1f} s, {peer_cpu:.1f} s of them on the CPU")  # noqa: T201
    report(
        "crawl_metadata",
        rows / cpu,
        "records/s a core",
        "httpx and json alone",
        rows / peer_cpu,
        peak_mb,
    )
    if rows / cpu < LEAST_A_SECOND or peak_mb > MOST_MB:
        sys.exit(f"the limits: at least {LEAST_A_SECOND} records a second of CPU time, at most {MOST_MB} MB")


if __name__ == "__main__":
    main()
