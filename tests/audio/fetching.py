"""A fetch of audio from a server or a folder into a store, for tests."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile

from tests.support.rows import raw_row
from tests.support.rude_server import RudeServer
from wavcaps_assets.audio.fetch import fetch_audio
from wavcaps_assets.audio.originals import Origin
from wavcaps_assets.audio.settings import FetchSettings
from wavcaps_assets.network.client import Network
from wavcaps_assets.network.links import host_of
from wavcaps_assets.network.settings import UNLIMITED, NetworkSettings
from wavcaps_assets.sources.base import Record, Source
from wavcaps_assets.tables import RAW_CLIPS
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage

PARTITION = "2022-11"
KEY = ["freesound", "audio"]
MIB = 2**20
RATE = 44_100


class Site(Source):
    """A source whose audio is fetched."""

    name = "freesound"
    title = "FreeSound"

    def partitions(self) -> list[str]:
        return [PARTITION]

    def records(self, network: Network, partition: str) -> Iterator[Record]:
        raise AssertionError("only its audio is requested")


class Keyed(Site):
    """A source whose audio requires a key."""

    def audio_headers(self, network: Network) -> dict[str, str]:
        return {"Authorization": "Bearer a-key"}


class Folder(Site):
    """A source whose audio is in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def folder(self) -> Path:
        return self._folder


def wav(seconds: float = 0.5, level: float = 0.1, channels: int = 1, **changes: object) -> bytes:
    samples = level * np.sin(np.arange(int(seconds * RATE)) * 0.05)
    file = io.BytesIO()
    about = {"format": "WAV", "subtype": "PCM_16", **changes}
    soundfile.write(file, np.repeat(samples[:, None], channels, axis=1), RATE, **about)
    return file.getvalue()


@dataclass
class Fetching:
    """A server, a store, and a fetch from the one into the other."""

    server: RudeServer
    tables: TableStore
    folder: Path

    def clips(self, paths: list[str]) -> pa.Table:
        return RAW_CLIPS.from_rows(
            raw_row(f"freesound-{number}", audio_url=path if "://" in path else self.server.url + path)
            for number, path in enumerate(paths)
        )

    def fetch(
        self,
        clips: pa.Table,
        written: bool = True,
        source: Source | None = None,
        fetch: FetchSettings | None = None,
        **changes: object,
    ) -> Stage:
        settings = NetworkSettings(
            **{
                "attempts": 2,
                "first_wait_s": 0,
                "read_timeout_s": 0.3,
                "audio_timeout_s": 2.0,
                "audio_bytes": 4 * MIB,
                "failures_in_a_row": 1000,
                "private_hosts": {host_of(self.server.url)},
                "other_quota": UNLIMITED,
                **changes,
            }
        )
        with Network(self.folder / "state", settings) as network:
            origin = Origin(network, self.folder / "partial")
            stage = fetch_audio(
                source or Site(),
                PARTITION,
                clips,
                self.tables,
                origin,
                fetch or FetchSettings(workers=4, longest_s=60),
            )
        if written:
            self.tables.write(KEY, PARTITION, stage)
        return stage


def reasons(stage: Stage) -> dict[str, str]:
    return {row["clip_id"]: row["reason"] for row in stage.dropped.to_pylist()}
