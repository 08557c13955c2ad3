"""Clips that joined the set after its audio was compared with a benchmark are not compared."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.support.rows import manifest_row
from wavcaps_assets.benchmark_sets.against import against
from wavcaps_assets.benchmark_sets.benchmarks.esc50 import BENCHMARK as ESC50
from wavcaps_assets.benchmark_sets.decontaminate import OverlapPolicy, decontaminate
from wavcaps_assets.benchmark_sets.evidence import compared
from wavcaps_assets.benchmark_sets.exclusion_lists import CLASSIFICATION
from wavcaps_assets.benchmark_sets.inputs import SetInputs
from wavcaps_assets.benchmark_sets.overlap_report import not_compared
from wavcaps_assets.benchmark_sets.sets import SETS
from wavcaps_assets.checks.contamination import check_free_of
from wavcaps_assets.fingerprints.matching import MatchSettings
from wavcaps_assets.fingerprints.overlaps import audio_overlaps
from wavcaps_assets.publishing.publish_version import publish_version
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import DROPPED, FINGERPRINTS, MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore, with_set_version
from wavcaps_assets.tables.set_versions import SetVersions, paths_of
from wavcaps_assets.tables.stage import Stage

SET = SETS["wavcaps_classification"]
NOW = datetime(2026, 11, 28, tzinfo=UTC)
PEAKS = list(range(0, 2**20, 2**16))
UNKNOWN = "the version of the set that it was made from is not known"
REMOVE = OverlapPolicy.remove_from_train


@pytest.fixture
def tables(tmp_path: Path) -> TableStore:
    """Of two clips, only the first one has a fingerprint. The third one joined later."""
    store = Store(tmp_path)
    store.write_bytes(f"sets/{CLASSIFICATION}.json", b'{"FreeSound": ["555"], "AudioSet": []}')
    line = "1-30322-A-0.wav,1,0,dog,True,30322,A\n"
    store.write_bytes(
        "sets/esc50/meta/esc50.csv", f"filename,fold,target,category,esc10,src_file,take\n{line}".encode()
    )
    tables = TableStore(store)
    rows = [manifest_row(f"freesound-{number}") for number in (1, 2)]
    before = MANIFEST.from_rows(rows)
    version = publish_version(tables, Stage(before, DROPPED.empty()), ["freesound"], "run", NOW).version
    wanted = with_set_version(before, version.name).select(["clip_id", "source"])
    prints = FINGERPRINTS.empty()
    peaks: dict[str, list[Any]] = {field.name: [None] for field in FINGERPRINTS.arrow}
    peaks |= {"clip_id": ["freesound-1"], "landmarks": [PEAKS]}
    one = pa.table(
        {name: pa.array(values, FINGERPRINTS.arrow.field(name).type) for name, values in peaks.items()}
    )
    found = audio_overlaps(wanted, [one], ESC50.read(store).clips, prints, MatchSettings())
    tables.write(["audio_overlaps", "esc50"], None, found.stage)
    tables.write(["wavcaps"], None, MANIFEST.from_rows([*rows, manifest_row("freesound-3")]))
    return tables


def _said(tables: TableStore) -> tuple[str, str]:
    """In the report, and by the check."""
    clips = tables.read(["wavcaps"])
    found = decontaminate(
        compared(clips), SetInputs(tables), SET.excluded, (), OverlapPolicy.remove_from_train
    )
    (of_esc50,) = (one for one in found.compared if one.benchmark == "esc50")
    assert of_esc50.by_audio
    texts = clips.select(["clip_id", "title", "text", "attribution", "page_url"])
    manifest = compared(clips).select(["clip_id", "source", "split"])
    outcome = check_free_of(manifest, texts, against(tables, SET, "esc50", False))
    assert outcome.passed and outcome.numbers["not compared by audio"] == of_esc50.unheard
    return not_compared(found.compared), outcome.description


def test_clips_that_joined_later_count_as_not_compared(tables: TableStore) -> None:
    for said in _said(tables):
        assert "The audio of 2 training clips was not compared" in said
        assert UNKNOWN not in said


def test_where_the_version_is_not_known_this_is_said(tables: TableStore) -> None:
    (name,) = SetVersions(tables.store).names()
    tables.store.remove_files(paths_of(name))
    for said in _said(tables):
        assert "The audio of 1 training clips was not compared" in said
        assert UNKNOWN in said


def test_audio_of_a_benchmark_that_joined_or_changed_later_was_not_compared(tables: TableStore) -> None:
    key, of_file = ["benchmark_fingerprints", "esc50"], "sets/esc50/audio/1-30322-A-0.wav"
    joined, changed = "The audio of 1 clips of esc50 joined after", "The audio of esc50 changed after"
    clip = "esc50-1-30322-A-0.wav"
    tables.write(key, None, Stage(FINGERPRINTS.empty(), DROPPED.empty()))
    assert joined not in _said(tables)[0]
    tables.store.write_bytes(of_file, b"sound")
    for said in _said(tables):
        assert joined in said and changed not in said
    # Its fingerprint is there by now, and was not compared.
    row = {"clip_id": [clip], "source": ["esc50"], "audio_sha256": ["a"], "landmarks": [PEAKS]}
    prints = pa.table(row, schema=FINGERPRINTS.arrow)
    tables.write(key, None, Stage(prints, DROPPED.empty()))
    clips = tables.read(["wavcaps"])
    found = decontaminate(
        compared(clips), SetInputs(tables), SET.excluded, (), OverlapPolicy.remove_from_train
    )
    (of_esc50,) = (one for one in found.compared if one.benchmark == "esc50")
    assert not of_esc50.by_audio
    assert changed in not_compared(found.compared) and joined not in not_compared(found.compared)
    # Compared again, it counts.
    wanted = clips.select(["clip_id", "source"])
    again = audio_overlaps(wanted, [], ESC50.read(tables.store).clips, prints, MatchSettings())
    tables.write(["audio_overlaps", "esc50"], None, again.stage)
    found = decontaminate(
        compared(clips), SetInputs(tables), SET.excluded, (), OverlapPolicy.remove_from_train
    )
    assert changed not in not_compared(found.compared)
