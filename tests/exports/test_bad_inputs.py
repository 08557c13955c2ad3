"""Odd captions and ids, audio that is gone or damaged, full disks, kills, old versions: in every export."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.exports.sets import NOW, flac, publish
from tests.support.paths import ROOT
from wavcaps_assets.exports.description import read_description
from wavcaps_assets.exports.export import Export, export, folder_of
from wavcaps_assets.exports.exported_set import ExportedSet, open_set
from wavcaps_assets.exports.formats import all_formats
from wavcaps_assets.exports.names import file_stems
from wavcaps_assets.store.storage import Store, StoreError
from wavcaps_assets.tables import MANIFEST
from wavcaps_assets.tables.set_versions import TABLE, path_of

ODD = "He said \"no\",\r\nthen\t\\ 'left'\0; 犬が\u2028吠える 🐕 </script>"
LONG = "freesound-" + "x" * 300
IDS = [
    "freesound-Ab",
    "freesound-aB",
    "freesound-a/b",
    "freesound-../../c",
    "freesound-a.b",
    LONG,
    "freesound-é",
]
WITH_AUDIO = ["hugging_face", "wavcaps_json", "webdataset"]


def make(exported: ExportedSet, name: str, **settings: Any) -> Export:
    fmt = all_formats()[name]
    return export(exported, fmt, fmt.settings(**settings), NOW)


def from_duckdb(done: Export) -> dict[str, str]:
    path = done.store.path(f"{done.folder}/wavcaps.duckdb")
    with duckdb.connect(path, read_only=True) as database:
        return dict(database.sql("select clip_id, caption from manifest").fetchall())


def from_json(done: Export) -> dict[str, str]:
    content = json.loads(done.store.read_bytes(f"{done.folder}/json_files/FreeSound/fsd_final.json"))
    return {item["id"]: item["caption"] for item in content["data"]}


def from_tars(done: Export) -> dict[str, str]:
    found = {}
    for path in done.store.path(done.folder).glob("*.tar"):
        with tarfile.open(path) as tar:
            for member in tar:
                content = tar.extractfile(member)
                assert content is not None
                if member.name.endswith(".json"):
                    record = json.load(content)
                    found[record["original_data"]["clip_id"]] = record["text"][0]
    return found


def from_parquet(done: Export) -> dict[str, str]:
    table = pq.read_table(done.store.path(f"{done.folder}/data"), columns=["clip_id", "caption"])
    return dict(zip(*(column.to_pylist() for column in table.columns), strict=True))


READERS: dict[str, Callable[[Export], dict[str, str]]] = {
    "duckdb_file": from_duckdb,
    "hugging_face": from_parquet,
    "wavcaps_json": from_json,
    "webdataset": from_tars,
}


@pytest.mark.parametrize("name", READERS)
def test_odd_captions_and_ids_are_read_back_equal(tmp_path: Path, name: str) -> None:
    clips = [{"clip_id": one, "caption": f"{ODD} {number}"} for number, one in enumerate(IDS)]
    done = make(publish(Store(tmp_path), clips, seconds=0.02), name)
    assert READERS[name](done) == {clip["clip_id"]: clip["caption"] for clip in clips}
    assert not done.description.left_out and not done.description.notes
    place = done.store.path(done.folder)
    assert {path.name for path in tmp_path.iterdir()} == {"audio", "exports", "tables", "versions"}
    names = [path.relative_to(place).as_posix() for path in place.rglob("*")]
    assert len({name.casefold() for name in names}) == len(names)
    subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=place, check=True, capture_output=True
    )


def test_names_are_plain_short_and_differ_on_every_machine() -> None:
    def stems_of(*columns: list[str]) -> list[str]:
        return [str(stem) for stem in file_stems(*(pa.chunked_array([one]) for one in columns))]

    stems = stems_of(IDS)
    assert len({stem.casefold() for stem in stems}) == len(IDS)
    assert all(stem.replace("-", "").replace("_", "").isalnum() and stem.isascii() for stem in stems)
    assert max(map(len, stems)) < 90
    assert stems_of(["freesound-17", "soundbible-17"]) == ["freesound-17", "soundbible-17"]
    same = stems_of(["freesound-17", "freesound_data_packs-17"], ["17", "17"])
    assert len(set(same)) == 2 and all(stem.startswith("17-") for stem in same)


@pytest.mark.parametrize("name", WITH_AUDIO)
def test_clips_without_good_audio_are_left_out_and_named(store: Store, name: str) -> None:
    ids = [f"freesound-{number}" for number in range(6)]
    exported = publish(store, [{"clip_id": one} for one in ids], seconds=0.1)
    paths = exported.table.column("audio_path").to_pylist()
    store.remove(paths[0])
    store.write_bytes(paths[1], store.read_bytes(paths[1])[:-100])
    size = len(store.read_bytes(paths[2]))
    store.write_bytes(paths[2], b"<html>" + bytes(size - 6))
    # As long as the one that it replaces: only its samples differ.
    other = next(
        content
        for seed in range(90, 900)
        if len(content := flac(seed, 0.1)[0]) == len(store.read_bytes(paths[3]))
    )
    store.write_bytes(paths[3], other)

    done = make(exported, name)
    assert {one.clip_id: one.reason for one in done.description.left_out} == {
        ids[0]: "audio_gone",
        ids[1]: "audio_damaged",
        ids[2]: "audio_unreadable",
    }
    assert done.description.clips == 3
    assert done.description.left_out_table().num_rows == 3
    if store.is_folder:
        assert set(READERS[name](done)) == set(ids[3:])

    strict = make(exported, name, check_samples=True)
    assert strict.new and strict.description.clips == 2
    (found,) = (one for one in strict.description.left_out if one.clip_id == ids[3])
    assert "has other samples than the published version" in found.detail


@pytest.mark.parametrize("name", WITH_AUDIO)
def test_audio_that_is_back_is_exported(tmp_path: Path, name: str) -> None:
    exported = publish(Store(tmp_path), [{"clip_id": "freesound-1"}, {"clip_id": "freesound-2"}])
    path = exported.store.path(exported.table.column("audio_path")[0].as_py())
    kept = path.rename(path.with_suffix(".away"))
    assert make(exported, name).description.reasons == {"audio_gone": 1}
    assert not make(exported, name).new
    kept.rename(path)
    done = make(exported, name)
    assert done.new and done.description.clips == 2 and not done.description.left_out


@pytest.mark.parametrize("name", WITH_AUDIO)
def test_newer_audio_of_a_clip_is_not_exported_with_an_older_version(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path)
    first = publish(store, [{"clip_id": "freesound-1"}, {"clip_id": "freesound-2"}])
    # The second publication stores other audio at the same paths.
    publish(store, [{"clip_id": "freesound-1"}, {"clip_id": "freesound-2"}], seconds=0.6)
    done = make(first, name)
    assert done.description.reasons == {"audio_changed": 2}
    assert done.description.clips == 0


@pytest.mark.parametrize("name", READERS)
def test_an_empty_slice_is_an_export_without_clips(tmp_path: Path, name: str) -> None:
    whole = publish(Store(tmp_path), [{"clip_id": "freesound-1"}])
    empty = ExportedSet(whole.store, whole.version, whole.table.slice(1), "nothing")
    done = make(empty, name)
    assert done.description.clips == 0 and done.folder.startswith(f"exports/{whole.version.name}-nothing/")


def test_the_changes_of_a_slice_say_nothing_of_other_clips(tmp_path: Path) -> None:
    clips = [{"clip_id": f"freesound-{number}"} for number in range(3)]
    publish(Store(tmp_path), clips)
    whole = publish(Store(tmp_path), [clip | {"caption": f"A cat {n}."} for n, clip in enumerate(clips)])
    done = make(ExportedSet(whole.store, whole.version, whole.table.slice(0, 1), "one"), "duckdb_file")
    with duckdb.connect(done.store.path(f"{done.folder}/wavcaps.duckdb"), read_only=True) as database:
        assert database.sql("select distinct clip_id from changes").fetchall() == [("freesound-0",)]


@pytest.mark.parametrize("name", READERS)
def test_a_full_disk_leaves_no_export_and_the_next_run_completes_it(tmp_path: Path, name: str) -> None:
    exported = publish(Store(tmp_path), [{"clip_id": f"freesound-{n}"} for n in range(4)], seconds=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        with pytest.raises(StoreError, match="free some space"):
            make(exported, name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert read_description(exported.store, folder_of(exported, name)) is None
    done = make(exported, name)
    assert done.description.clips == 4
    left = [path for path in (tmp_path / "exports").rglob(".*") if path.is_file()]
    assert not left


@pytest.mark.parametrize("name", READERS)
def test_a_version_of_an_older_schema_is_exported(tmp_path: Path, name: str) -> None:
    exported = publish(Store(tmp_path), [{"clip_id": "freesound-1"}])
    names = [column for column in MANIFEST.arrow.names if column in MANIFEST.names_in(1)]
    older = exported.table.select(names).replace_schema_metadata()
    pq.write_table(older, exported.store.path(path_of(exported.version.name, TABLE)))
    done = make(open_set(exported.store), name)
    assert READERS[name](done) == {"freesound-1": "A dog barks."}


def test_tars_have_the_same_bytes_whenever_they_are_made(tmp_path: Path) -> None:
    clips = [{"clip_id": f"freesound-{number}", "caption": f"A dog {number}."} for number in range(5)]
    digests = []
    for copy in ("one", "two"):
        done = make(publish(Store(tmp_path / copy), clips, seconds=20), "webdataset", shard_mb=3)
        digests.append({file.name: file.sha256 for file in done.description.files})
        sizes = {file.name: file.bytes for file in done.description.files if file.name.endswith(".tar")}
        assert len(sizes) == 3 and max(sizes.values()) < 3_000_000
    assert digests[0] == digests[1]


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.exports.sets import NOW
from wavcaps_assets.exports.export import export, folder_of
from wavcaps_assets.exports.exported_set import open_set
from wavcaps_assets.exports.formats import all_formats
from wavcaps_assets.store.storage import Store

store, fmt = Store(sys.argv[1]), all_formats()[sys.argv[2]]
replace = Path.replace

def run(last):
    writes = 0
    def counting(self, target):
        nonlocal writes
        writes += 1
        if writes == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(self, target)
    Path.replace = counting
    # Two parts, with two and one clips.
    import wavcaps_assets.exports.formats.wavcaps_json as released
    released.CLIPS_AT_ONCE = 2
    export(open_set(store), fmt, fmt.settings(), NOW)

def status(last):
    child = os.fork()
    if child == 0:
        run(last)
        os._exit(0)
    return os.waitpid(child, 0)[1]

# Each run is killed before a write becomes visible; from the third on, each finishes something.
kills = 0
for last in (1, 2, *[int(sys.argv[3])] * 60):
    if status(last) != signal.SIGKILL:
        break
    kills += 1
    assert not list(Path(sys.argv[1]).glob("exports/**/export.json")), last
print(kills)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "writes"),
    [
        ("webdataset", 3),
        # The others differ in their parts only.
        *(
            pytest.param(name, writes, marks=pytest.mark.soak)
            for name, writes in (("duckdb_file", 3), ("hugging_face", 7), ("wavcaps_json", 5))
        ),
    ],
)
def test_a_killed_run_leaves_an_export_complete_or_absent(tmp_path: Path, name: str, writes: int) -> None:
    clips = [{"clip_id": f"freesound-{number}"} for number in range(3)]
    exported = publish(Store(tmp_path / "store"), clips)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "store"), name, str(writes)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) >= 3
    done = make(exported, name)
    assert not done.new
    assert set(READERS[name](done)) == {clip["clip_id"] for clip in clips}
    other = make(publish(Store(tmp_path / "other"), clips), name)
    if name != "duckdb_file":
        assert done.description.files == other.description.files
    left = {path.name for path in (tmp_path / "store" / "exports").rglob(".*")}
    assert not left
