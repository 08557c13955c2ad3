"""Tables from before FreeSound's fields of 2026, which an older version wrote, are crawled again."""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from wavcaps_assets.audio.fetch import fetch_audio
from wavcaps_assets.audio.originals import Origin
from wavcaps_assets.audio.settings import FetchSettings
from wavcaps_assets.crawl.crawl import crawl
from wavcaps_assets.crawl.ledger import ledger_of
from wavcaps_assets.network.client import Network
from wavcaps_assets.publishing.manifests import make_manifest
from wavcaps_assets.sources.base import Record, Source
from wavcaps_assets.store.migration import version_of
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import LEDGER, RAW_CLIPS
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.columns import SITE_FIELD_NAMES

ARCHIVE = Path(__file__).parent / "home.tar.xz"
SAID = {"gen_ai_preference": "no-additional-preferences", "category": "Sound effects", "is_explicit": False}
# Fields of a record that are stored under their own names.
FIELDS = set(Record.__dataclass_fields__) & set(RAW_CLIPS.arrow.names) - set(SITE_FIELD_NAMES)


class FreesoundToday(Source):
    """Lists the clips of old tables, each with the fields that it has since."""

    name = "freesound"
    title = "FreeSound"

    def __init__(self, old: TableStore) -> None:
        self._rows = {
            partition: old.read([self.name, "raw_clips"], [partition]).to_pylist()
            for partition in old.partitions([self.name, "raw_clips"])
        }
        self.said: dict[str, dict[str, Any]] = {}

    def partitions(self) -> list[str]:
        return list(self._rows)

    def records(self, network: Network, partition: str) -> Iterator[Record]:
        for row in self._rows[partition]:
            fields: dict[str, Any] = {
                name: tuple(value) if isinstance(value := row[name], list) else value for name in FIELDS
            }
            yield Record(**fields, **{**SAID, "synthetic": False, **self.said.get(row["clip_id"], {})})


@pytest.fixture
def tables(tmp_path: Path) -> TableStore:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return TableStore(Store(tmp_path / "store"))


def written_columns(tables: TableStore, key: Sequence[str], partition: str) -> tuple[int | None, bool]:
    """The version of a table's file, and whether it has the fields of 2026."""
    schema = pq.read_schema(tables.store.path("/".join(["tables", *key, f"{partition}.parquet"])))
    return version_of(schema), set(SITE_FIELD_NAMES) <= set(schema.names)


def crawled(source: Source, tables: TableStore, network: Network) -> Counter[str]:
    changes: Counter[str] = Counter()
    for partition in source.partitions():
        result = crawl(source, partition, network, tables)
        changes += result.changes.clips
        tables.write([source.name, "raw_clips"], partition, result.stage)
        tables.write([source.name, "ledger"], partition, ledger_of(tables, source.name, partition))
    return changes


@pytest.mark.slow
def test_the_first_crawl_changes_nothing_and_fetches_nothing(tables: TableStore, tmp_path: Path) -> None:
    source = FreesoundToday(tables)
    keys = [[source.name, "raw_clips"], [source.name, "ledger"]]
    assert {written_columns(tables, key, name) for key in keys for name in source.partitions()} == {
        (None, False)
    }
    before = tables.read([source.name, "raw_clips"])
    audio = {name: tables.read([source.name, "audio"], [name]) for name in source.partitions()}
    for row in (row for table in audio.values() for row in table.to_pylist()):
        # The archive has no audio: a file of the size of each.
        path = tables.store.path(row["audio_path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(row["stored_bytes"])
    with Network(tmp_path / "state") as network:
        assert crawled(source, tables, network) == {}
        for name in source.partitions():
            # Nothing answers: what is fetched fails.
            raw, origin = (
                tables.read([source.name, "raw_clips"], [name]),
                Origin(network, tmp_path / "partial"),
            )
            stage = fetch_audio(source, name, raw, tables, origin, FetchSettings())
            assert stage.kept.sort_by("clip_id").equals(audio[name].sort_by("clip_id"))
    written = [{written_columns(tables, key, name) for name in source.partitions()} for key in keys]
    assert written == [{(RAW_CLIPS.version, True)}, {(LEDGER.version, True)}]
    after = tables.read([source.name, "raw_clips"])
    same = [name for name in after.column_names if name not in {*SITE_FIELD_NAMES, "record_sha256"}]
    assert after.select(same).equals(before.select(same))
    assert set(after["gen_ai_preference"].to_pylist()) == {"no-additional-preferences"}
    events = Counter(tables.read([source.name, "ledger"])["event"].to_pylist())
    assert events["fields_added"] == after.num_rows and not events["changed"]


@pytest.mark.slow
def test_a_preference_reaches_the_manifest_and_its_change_is_counted(
    tables: TableStore, tmp_path: Path
) -> None:
    source = FreesoundToday(tables)
    captions, llm = tables.read(["captions"], ["freesound"]), tables.read(["llm_captions"], ["freesound"])
    audio = tables.read([source.name, "audio"])
    old = tables.read(["manifest"], ["freesound"])
    clip_id = old["clip_id"][0].as_py()
    with Network(tmp_path / "state") as network:
        assert crawled(source, tables, network) == {}
        source.said[clip_id] = {"gen_ai_preference": "no-gen-ai", "synthetic": True}
        assert crawled(source, tables, network) == {"changed": 1}
        assert crawled(source, tables, network) == {}
    manifest = make_manifest(captions, llm, tables.read([source.name, "raw_clips"]), audio).kept
    said = {row["clip_id"]: (row["gen_ai_preference"], row["synthetic"]) for row in manifest.to_pylist()}
    assert said.pop(clip_id) == ("no-gen-ai", True)
    assert set(said.values()) == {("no-additional-preferences", False)}
    same = [name for name in old.column_names if name not in SITE_FIELD_NAMES]
    assert manifest.select(same).sort_by("clip_id").equals(old.select(same).sort_by("clip_id"))
