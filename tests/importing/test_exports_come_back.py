"""Each export of this project can be imported again, with the same captions and the same sound."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.exports.sets import publish
from wavcaps_assets.exports.export import export
from wavcaps_assets.exports.formats import all_formats
from wavcaps_assets.importing.importing import build_tables, write_import
from wavcaps_assets.importing.reading import UnusableSet, find_set
from wavcaps_assets.sources.imported import imported_sources
from wavcaps_assets.sources.packed_audio import copy_from_archive, file_of, is_packed
from wavcaps_assets.store.storage import Store

CAPTION = 'A "dog" barks,\nand rain falls; 50 % of it.'
CLIPS = [
    {"clip_id": f"{source}-{number}", "source_id": str(number), "source": source, "text": "The raw text."}
    for source in ("freesound", "local_folder")
    for number in (1, 2)
]
SEGMENT, VIDEO = "audioset_sl-4eUlSO8-DQ0_30000", "audioset_sl-4eUlSO8-DQ0"
CLIPS.append(
    {
        "clip_id": SEGMENT,
        "source_id": SEGMENT.removeprefix("audioset_sl-"),
        "source": "audioset_sl",
        "text": "The raw text.",
    }
)
# Formats whose audio is in the store, and not in the export.
WITHOUT_AUDIO = ("duckdb_file",)
# What decides where a clip may be used. The released files do not have it: there, nothing is permitted.
RIGHTS = {"licence_id": "licence", "gen_ai_preference": "gen_ai_preference", "synthetic": "synthetic"}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        # A summary for people has no clips.
        *((name, {}) for name in all_formats() if name != "training_summary"),
        ("wavcaps_json", {"keys": "all"}),
        ("wavcaps_json", {"keys": "all", "captions": "five"}),
    ],
)
def test_an_export_is_imported_with_its_captions_and_sound(
    tmp_path: Path, state: Path, name: str, settings: dict[str, str]
) -> None:
    rights = {"licence_id": "CC-BY-NC-4.0", "gen_ai_preference": "no-gen-ai", "synthetic": True}
    clips = [{**clip, **rights, "caption": f"{CAPTION} ({number})"} for number, clip in enumerate(CLIPS)]
    exported = publish(Store(tmp_path / "store"), clips, seconds=0.1)
    fmt = all_formats()[name]
    export(exported, fmt, fmt.settings(**settings), datetime.now(UTC), to=tmp_path / "export")
    files = find_set(tmp_path / "export", tmp_path / "store" if name in WITHOUT_AUDIO else None)
    built = build_tables(files)
    write_import(built, files, state)
    rows = [row for table in built.tables.values() for row in table.to_pylist()]
    # The released layout has no start and no text of a segment.
    as_released = name == "wavcaps_json" and not settings
    lost = {SEGMENT: VIDEO} if as_released else {}
    came_back = {clip["clip_id"]: lost.get(clip["clip_id"], clip["clip_id"]) for clip in CLIPS}
    assert {row["clip_id"]: row["captions"] for row in rows} == {
        came_back[str(clip["clip_id"])]: [clip["caption"]] for clip in clips
    }
    texts = {row["clip_id"]: row["description"] for row in rows}
    assert texts == {one: None if one in lost.values() else "The raw text." for one in came_back.values()}
    known = dict.fromkeys(rights) if as_released else rights
    assert all({given: row[column] for given, column in RIGHTS.items()} == known for row in rows)
    sources = {source.name for source in imported_sources(None, state)}
    assert sources == {"freesound", "local_folder", "audioset_sl"}
    ids, sha = (exported.table.column(c).to_pylist() for c in ("clip_id", "samples_sha256"))
    hashes = dict(zip(map(came_back.__getitem__, ids), sha, strict=True))
    for row in rows:
        audio = files.root / file_of(row["audio"])
        if is_packed(row["audio"]):
            copy_from_archive(audio, row["audio"], tmp_path / "one")
            audio = tmp_path / "one"
        samples = np.asarray(soundfile.read(audio, dtype="int16")[0])
        assert hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest() == hashes[row["clip_id"]]


def test_a_part_of_an_export_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    clips = [{"clip_id": f"freesound-{number}", "source_id": str(number)} for number in range(4)]
    exported, fmt = publish(Store(tmp_path / "store"), clips, seconds=20), all_formats()["webdataset"]
    folder = tmp_path / "export"
    export(exported, fmt, fmt.settings(shard_mb=2), datetime.now(UTC), to=folder)
    (folder / ".unfinished").mkdir()
    with pytest.raises(UnusableSet, match="is not finished"):
        find_set(folder)
    (folder / ".unfinished").rmdir()
    assert len(find_set(folder).lists) == 4
    (folder / "000002.tar").unlink()
    with pytest.raises(UnusableSet, match=r"1 of 4 lists .*'000002\.tar'.* remove its export\.json"):
        find_set(folder)
    (folder / "export.json").unlink()
    assert len(find_set(folder).lists) == 3
