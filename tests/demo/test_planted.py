"""The demo's benchmark: made of published clips, found again by sound, and what was missed is named."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import soundfile

from tests.fingerprints.test_landmarks import noise
from wavcaps_assets.audio.blocks import SAMPLE_RATE
from wavcaps_assets.benchmark_sets.benchmarks.demo_sounds import BENCHMARK
from wavcaps_assets.demo.planted import CHANGES, CLIPS_EACH, REPORT, plant, planted_lines
from wavcaps_assets.fingerprints.extraction import StoredClip, fingerprint
from wavcaps_assets.fingerprints.matching import MatchSettings
from wavcaps_assets.fingerprints.overlaps import audio_overlaps
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import OVERLAPS
from wavcaps_assets.tables.asset_tables import TableStore

CLIPS = 20
(FASTER,) = (change for change in CHANGES if change.name == "5 % faster")


class Published(TableStore):
    """A store whose set is some clips of noise."""

    def read(self, asset_key, partitions=None, columns=None) -> pa.Table:  # type: ignore[no-untyped-def]
        if list(asset_key) != ["wavcaps"]:
            return super().read(asset_key, partitions, columns)
        paths = [f"audio/{number:02}.flac" for number in range(CLIPS)]
        for number, path in enumerate(paths):
            with self.store.writing(path) as file:
                soundfile.write(file, noise(3, SAMPLE_RATE, number), SAMPLE_RATE, format="FLAC")
        ids = [f"bbc-{number:02}" for number in range(CLIPS)]
        same = {"duration_s": [3.0] * CLIPS, "caption": ["A noise."] * CLIPS}
        return pa.table({"clip_id": ids, "audio_path": paths, **same})


@pytest.mark.slow
def test_planted_clips_are_found_and_those_that_are_missed_are_named(tmp_path: Path) -> None:
    tables = Published(Store(tmp_path))
    plant(tables)
    benchmark = BENCHMARK.read(tables.store).clips
    assert len(benchmark) == CLIPS_EACH * len(CHANGES)
    files = [tables.store.read_bytes(path) for path in benchmark.column("audio_path").to_pylist()]
    of_set = tables.read(["wavcaps"])
    sides = [
        fingerprint([StoredClip(*row) for row in zip(*columns, strict=True)], tables.store).stage.kept
        for columns in (
            (of_set["clip_id"].to_pylist(), ["bbc"] * CLIPS, of_set["audio_path"].to_pylist()),
            [benchmark[name].to_pylist() for name in ("clip_id", "benchmark", "audio_path")],
        )
    ]
    wanted = pa.table({"clip_id": of_set["clip_id"], "source": ["bbc"] * CLIPS})
    found = audio_overlaps(wanted, [sides[0]], benchmark, sides[1], MatchSettings())
    tables.write(["audio_overlaps", BENCHMARK.name], None, found.stage)
    first, *missed = planted_lines(tables)
    assert first.startswith("12 of 15 changed clips") and " 0 of 3 " in first
    assert [line.endswith("5 % faster") for line in missed] == [True] * 3
    assert missed[0] in tables.store.read_bytes(REPORT).decode()
    # One of the missed clips was found by its embedding.
    columns: dict[str, list[str | None]] = {name: [None] for name in OVERLAPS.arrow.names}
    made_of, number = missed[0].split(": ")[1].split(",")[0], CHANGES.index(FASTER)
    given = {"clip_id": made_of, "benchmark_clip_id": f"{BENCHMARK.name}-{number:02}.flac"}
    texts = ("source", "benchmark", "benchmark_split", "evidence", "key", "verdict")
    columns.update({name: ["x"] for name in texts})
    columns.update({name: [value] for name, value in given.items()})
    tables.write(["embedding_overlaps", BENCHMARK.name], None, pa.table(columns, schema=OVERLAPS.arrow))
    first, reviewed, *others = planted_lines(tables)
    assert first.endswith("of 3 missed, 1 are for review by their embeddings")
    assert reviewed == f"{missed[0]} (for review by its embedding)" and others == missed[1:]
    plant(tables)
    assert files == [tables.store.read_bytes(path) for path in benchmark.column("audio_path").to_pylist()]
