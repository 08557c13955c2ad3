"""The original file, or a copy at a higher rate, is kept next to the 32 kHz FLAC."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from tests.audio.fetching import KEY, PARTITION, Site
from tests.audio.files import scene, sixteen_bits, wav
from tests.support.rows import raw_row
from tests.support.rude_server import RudeServer, answer, rude_server
from wavcaps_assets.audio.copies import copy_path
from wavcaps_assets.audio.fetch import fetch_audio
from wavcaps_assets.audio.originals import Origin
from wavcaps_assets.audio.settings import FetchSettings
from wavcaps_assets.crawl.history import History
from wavcaps_assets.crawl.ledger import ledger_of
from wavcaps_assets.network.client import Network
from wavcaps_assets.network.errors import HostDown
from wavcaps_assets.network.links import host_of
from wavcaps_assets.network.settings import UNLIMITED, NetworkSettings
from wavcaps_assets.settings import ExtraCopy
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import RAW_CLIPS
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage

SAMPLES = sixteen_bits(scene(44_100, 1.0))
ORIGINAL = wav(SAMPLES.tobytes(), channels=2)


@pytest.fixture
def server() -> Iterator[RudeServer]:
    with rude_server() as rude:
        rude.answers["/a.wav"] = answer(ORIGINAL)
        yield rude


def fetch(
    server: RudeServer, store: Store, folder: Path, extra: ExtraCopy | None, names: tuple[str, ...] = ("a",)
) -> Stage:
    clips = RAW_CLIPS.from_rows(
        raw_row(f"freesound-{number}", audio_url=f"{server.url}/{name}.wav")
        for number, name in enumerate(names, 1)
    )
    settings = NetworkSettings(private_hosts=frozenset({host_of(server.url)}), other_quota=UNLIMITED)
    tables = TableStore(store)
    with Network(folder / "state", settings) as network:
        stage = fetch_audio(
            Site(),
            PARTITION,
            clips,
            tables,
            Origin(network, folder / "partial"),
            FetchSettings(extra_copy=extra),
        )
    tables.write(KEY, PARTITION, stage)
    return stage


def copy_of(stage: Stage, extra: ExtraCopy) -> str:
    (row,) = stage.kept.to_pylist()
    return copy_path(row["audio_path"], row["original_format"], extra)


def test_no_copy_is_kept_by_default(server: RudeServer, store: Store, tmp_path: Path) -> None:
    fetch(server, store, tmp_path, None)
    assert set(store.usage()) == {"audio", "log", "tables"}


def test_the_original_is_kept_as_it_is(server: RudeServer, store: Store, tmp_path: Path) -> None:
    path = copy_of(fetch(server, store, tmp_path, ExtraCopy.original), ExtraCopy.original)
    assert path == "audio_original/freesound/2022-11/freesound-1.wav"
    assert store.read_bytes(path) == ORIGINAL


@pytest.mark.slow
@pytest.mark.parametrize(("extra", "rate"), [(ExtraCopy.flac_44100, 44_100), (ExtraCopy.flac_48000, 48_000)])
def test_a_copy_at_a_higher_rate_keeps_the_channels(
    server: RudeServer, store: Store, tmp_path: Path, extra: ExtraCopy, rate: int
) -> None:
    path = copy_of(fetch(server, store, tmp_path, extra), extra)
    assert path == f"audio_{extra.value}/freesound/2022-11/freesound-1.flac"
    with store.reading(path) as local:
        samples, found = soundfile.read(local, dtype="int16")
    assert found == rate
    expected = soxr.resample(SAMPLES.astype(np.float32), 44_100, rate, quality="HQ")
    assert samples.shape == expected.shape
    # Rounding is half a step; the same rate changes no sample.
    assert np.abs(samples - expected).max() <= (0 if rate == 44_100 else 1)


@pytest.mark.slow
def test_a_clip_without_its_copy_is_fetched_again_once(
    server: RudeServer, store: Store, tmp_path: Path
) -> None:
    for _ in range(2):
        fetch(server, store, tmp_path, ExtraCopy.none)
    assert server.times("/a.wav") == 1
    for _ in range(2):
        stage = fetch(server, store, tmp_path, ExtraCopy.original)
    assert server.times("/a.wav") == 2
    store.remove(copy_of(stage, ExtraCopy.original))
    fetch(server, store, tmp_path, ExtraCopy.original)
    assert server.times("/a.wav") == 3


def test_a_clip_whose_copy_cannot_be_made_stays_stored(server: RudeServer, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    names = ("a", "b", "c")
    server.answers.update({f"/{name}.wav": answer(ORIGINAL) for name in "bc"})
    before = fetch(server, store, tmp_path, ExtraCopy.none, names)
    server.answers["/b.wav"] = answer(status="404 Not Found")
    server.answers["/c.wav"] = answer(b"<!DOCTYPE html><title>Are you human?</title>")
    for _ in range(5):
        stage = fetch(server, store, tmp_path, ExtraCopy.original, names)
        assert (stage.kept.num_rows, stage.dropped.num_rows) == (3, 0)
    assert stage.kept.slice(1).equals(before.kept.slice(1))
    assert list(store.sizes("audio_original/freesound/2022-11")) == ["freesound-1.wav"]
    # A fetch asks once, and the fourth no longer; the copy that was made is not requested again.
    assert [server.times(f"/{name}.wav") for name in names] == [2, 4, 4]
    with History(store, "freesound", PARTITION) as history:
        statuses_of_copies = [event["reason"] for event in history if event["event"] == "copy_failed"]
    assert sorted(statuses_of_copies) == ["audio_gone"] * 3 + ["not_audio"] * 3
    ledger = ledger_of(TableStore(store), "freesound", PARTITION)
    assert set(ledger["clip_id"].to_pylist()) == {f"freesound-{number}" for number in (1, 2, 3)}


@pytest.mark.slow
def test_a_host_that_refuses_every_copy_is_blamed_and_no_clip_is_lost(
    server: RudeServer, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    names = tuple(f"n{number}" for number in range(22))
    short = answer(wav(SAMPLES[:4410].tobytes(), channels=2))
    server.answers.update({f"/{name}.wav": short for name in names})
    fetch(server, store, tmp_path, ExtraCopy.none, names)
    server.answers.update({f"/{name}.wav": answer(status="403 Forbidden") for name in names})
    with pytest.raises(HostDown, match="audio_refused: 20"):
        fetch(server, store, tmp_path, ExtraCopy.original, names)
    server.answers.update({f"/{name}.wav": short for name in names})
    assert fetch(server, store, tmp_path, ExtraCopy.original, names).kept.num_rows == 22
    assert len(store.sizes("audio_original/freesound/2022-11")) == 22


def test_the_original_of_a_file_that_was_replaced_is_not_kept(server: RudeServer, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    fetch(server, store, tmp_path, ExtraCopy.original)
    flac = io.BytesIO()
    soundfile.write(flac, SAMPLES, 44_100, format="FLAC")
    server.answers["/b.wav"] = answer(flac.getvalue())
    fetch(server, store, tmp_path, ExtraCopy.original, ("b",))
    assert list(store.sizes("audio_original/freesound/2022-11")) == ["freesound-1.flac"]


@pytest.mark.slow
def test_a_copy_is_made_from_the_original_that_is_kept(
    server: RudeServer, store: Store, tmp_path: Path
) -> None:
    fetch(server, store, tmp_path, ExtraCopy.original)
    stage = fetch(server, store, tmp_path, ExtraCopy.flac_48000)
    assert server.times("/a.wav") == 1
    with store.reading(copy_of(stage, ExtraCopy.flac_48000)) as local:
        assert soundfile.info(local).samplerate == 48_000
    assert store.exists(copy_of(stage, ExtraCopy.original))


@pytest.mark.parametrize(
    ("original_format", "suffix"),
    [("WAVEX/PCM_24", ".wav"), ("MP4/alac", ".m4a"), ("OGG/opus", ".ogg"), ("NEW/x", ".audio")],
)
def test_an_original_has_its_usual_suffix(original_format: str, suffix: str) -> None:
    path = copy_path("audio/bbc/all/bbc-1.5.flac", original_format, ExtraCopy.original)
    assert path == f"audio_original/bbc/all/bbc-1.5{suffix}"
