"""Fingerprints of stored clips, and what a set shares with a benchmark by sound."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from tests.fingerprints.test_landmarks import noise
from wavcaps_assets.audio.blocks import Samples
from wavcaps_assets.fingerprints.extraction import RECIPE, StoredClip, fingerprint, landmarks_of
from wavcaps_assets.fingerprints.landmarks import RATE, landmarks
from wavcaps_assets.fingerprints.matching import MatchSettings
from wavcaps_assets.fingerprints.overlaps import audio_overlaps
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import BENCHMARK_CLIPS
from wavcaps_assets.tables.asset_tables import TableStore

SOUNDS = {f"clip{number}": noise(4, seed=number) for number in range(4)} | {
    "quiet": np.zeros(RATE, np.float32)
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    for name, sound in SOUNDS.items():
        put(store, f"audio/{name}.flac", sound)
    store.write_bytes("audio/broken.flac", b"fLaC" + bytes(400))
    return store


def put(store: Store, path: str, sound: Samples) -> None:
    with store.writing(path) as file:
        soundfile.write(file, sound, RATE, format="FLAC")


def clips(*names: str, hashes: bool = True) -> list[StoredClip]:
    return [
        StoredClip(
            name, "freesound", f"audio/{name}.flac", sha256(name.encode()).hexdigest() if hashes else None
        )
        for name in names
    ]


def benchmark(*names: str) -> pa.Table:
    missing: dict[str, object] = {
        "clip_id": None,
        "benchmark": "esc50",
        "version": "v1",
        "split": "test",
        "file": "",
        "captions": [],
    }
    return pa.Table.from_pylist([missing | {"clip_id": name} for name in names], schema=BENCHMARK_CLIPS.arrow)


def test_a_clip_without_readable_audio_is_named_and_stops_nothing(store: Store) -> None:
    wanted = [*clips("clip0", "gone", "broken", "quiet"), StoredClip("never", "freesound", None)]
    found = fingerprint(wanted, store)
    assert found.stage.kept.column("clip_id").to_pylist() == ["clip0", "quiet"]
    reasons = {row["clip_id"]: row["reason"] for row in found.stage.dropped.to_pylist()}
    assert reasons == {"gone": "no_audio", "broken": "unreadable_audio", "never": "no_audio"}
    first, quiet = landmarks_of(found.stage.kept)
    # The file has 16 bits a sample.
    assert np.mean(np.isin(first, landmarks([SOUNDS["clip0"]], RATE))) > 0.95
    assert len(quiet) == 0


@pytest.mark.parametrize("hashes", [True, False])
def test_audio_that_has_not_changed_is_not_fingerprinted_again(store: Store, hashes: bool) -> None:
    tables = TableStore(store)
    first = fingerprint(clips("clip0", "clip1", hashes=hashes), store)
    assert first.computed == 2
    tables.write(["freesound", "fingerprints"], "2020-01", first.stage)
    assert tables.settings_of(["freesound", "fingerprints"], "2020-01") == RECIPE
    before = tables.read(["freesound", "fingerprints"], ["2020-01"])
    if not hashes:
        put(store, "audio/clip1.flac", SOUNDS["clip3"])
    again = fingerprint(clips("clip0", "clip1", "clip2", hashes=hashes), store, before)
    assert again.computed == (1 if hashes else 2)
    assert again.stage.kept.column("clip_id").to_pylist() == ["clip0", "clip1", "clip2"]
    assert again.stage.kept.slice(0, 1).equals(before.slice(0, 1))


def test_what_a_set_shares_with_a_benchmark(store: Store) -> None:
    inside = np.concatenate([noise(6, seed=30), SOUNDS["clip2"] * 0.5, noise(3, seed=31)])
    put(store, "audio/montage.flac", inside)
    of_set = fingerprint(clips("montage", "clip1", "quiet", "broken"), store).stage.kept
    of_benchmark = fingerprint(clips("clip0", "clip2", "broken"), store).stage.kept
    wanted = pa.table({"clip_id": ["montage", "quiet", "broken"], "source": ["freesound"] * 3})
    found = audio_overlaps(
        wanted,
        [of_set.slice(0, 1), of_set.slice(1), of_set.slice(0, 0)],
        benchmark("clip0", "clip2", "broken", "lost"),
        of_benchmark,
        MatchSettings(),
    )
    (row,) = found.stage.kept.to_pylist()
    assert (row["clip_id"], row["benchmark_clip_id"], row["verdict"]) == ("montage", "clip2", "same")
    assert (row["benchmark"], row["benchmark_split"], row["evidence"]) == ("esc50", "test", "audio")
    assert row["offset_s"] == pytest.approx(6, abs=0.02)
    unchecked = [(one["clip_id"], one["source"], one["reason"]) for one in found.stage.dropped.to_pylist()]
    assert unchecked == [
        ("quiet", "freesound", "too_little_sound"),
        ("broken", "freesound", "no_fingerprint"),
        ("lost", "esc50", "no_fingerprint"),
    ]
    assert (found.clips, found.unchecked, found.benchmark_clips, found.benchmark_unchecked) == (3, 2, 4, 2)
    TableStore(store).write(["audio_overlaps", "esc50"], None, found.stage)


def test_nothing_to_compare(store: Store) -> None:
    nothing = fingerprint([], store).stage.kept
    found = audio_overlaps(
        pa.table({"clip_id": pa.array([], pa.string()), "source": pa.array([], pa.string())}),
        [],
        benchmark(),
        nothing,
        MatchSettings(),
    )
    assert len(found.stage.kept) == len(found.stage.dropped) == 0
