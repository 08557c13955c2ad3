"""WebDataset tars: `KEY.flac` and `KEY.json` for each clip, and `sizes.json`.

The records have the keys that LAION's CLAP reads: `text`, a list of captions, and `tag`, a list of labels
(https://github.com/LAION-AI/CLAP, `training/data.py`). `sizes.json`, the number of clips of each tar, is what
CLAP and open_clip count the clips by. The tars have the same bytes whenever a version is exported.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
from pydantic import Field

from wavcaps_assets.exports.audio import BYTES, clips_of, read_audio, with_audio
from wavcaps_assets.exports.export_folder import ExportFolder, Part
from wavcaps_assets.exports.exported_set import ExportedSet
from wavcaps_assets.exports.format import AudioSettings, ExportFormat
from wavcaps_assets.exports.hashing import HashingFile
from wavcaps_assets.exports.names import file_stems
from wavcaps_assets.store.storage import Store

SIZES = "sizes.json"
# A record has about this size (bytes).
RECORD_BYTES = 2048
BLOCK = tarfile.BLOCKSIZE


class WebDatasetSettings(AudioSettings):
    """How the clips are put into tars."""

    shard_mb: int = Field(
        500, ge=1, description="About how large a tar is (MB); LAION's have some 500 clips."
    )


def write(exported: ExportedSet, settings: WebDatasetSettings, folder: ExportFolder) -> None:
    """Writes the tars, `000000.tar` and on, in the order of the clips' ids."""
    table = with_audio(exported, folder)
    keys = file_stems(table.column("clip_id"))
    sizes = [_member_bytes(size) + _member_bytes(RECORD_BYTES) for size in table.column(BYTES).to_pylist()]
    shards = _shards(sizes, settings.shard_mb * 1_000_000)
    largest = max((sum(sizes[start:end]) for start, end in shards), default=0)
    folder.require_space(sum(sizes), largest)
    counts = {}
    for number, (start, end) in enumerate(shards):
        name = f"{number:06d}.tar"
        rows = table.slice(start, end - start)
        shard = partial(_write_shard, exported.store, settings, name, rows, keys[start:end].to_pylist())
        counts[name] = folder.add(f"tar-{number:06d}", shard).clips
    folder.add("sizes", lambda part: part.write(SIZES, json.dumps(counts, indent=1).encode()))


def _write_shard(
    store: Store,
    settings: WebDatasetSettings,
    name: str,
    rows: pa.Table,
    keys: Sequence[str],
    part: Part,
) -> None:
    with part.stream(name) as file:
        audio = read_audio(store, clips_of(rows), part, settings.check_samples)
        for key, record, flac in zip(keys, _records(rows), audio, strict=True):
            if flac is not None:
                _add(file, f"{key}.flac", flac)
                _add(file, f"{key}.json", json.dumps(record, ensure_ascii=False).encode())
                part.clips += 1
        end = file.tell() + 2 * BLOCK
        file.write(bytes(2 * BLOCK + -end % tarfile.RECORDSIZE))


def _add(file: HashingFile, name: str, content: bytes) -> None:
    # All other fields of a header are constant, so that the bytes depend on the content only.
    member = tarfile.TarInfo(name)
    member.size = len(content)
    file.write(member.tobuf(tarfile.USTAR_FORMAT))
    file.write(content)
    file.write(bytes(-len(content) % BLOCK))


def _records(rows: pa.Table) -> Iterator[dict[str, Any]]:
    """What the tar says about each clip."""
    for batch in rows.drop_columns([BYTES, "audio_path"]).to_batches():
        for row in batch.to_pylist():
            others = row["other_captions"] or ()
            labels = dict.fromkeys(event["label"] for event in row["events"])
            yield {
                "text": [row.pop("caption"), *(other["text"] for other in others)],
                "tag": [*labels] or row["tags"],
                "duration": row["duration_s"],
                "original_data": row,
            }


def _shards(sizes: Iterable[int], most: int) -> list[tuple[int, int]]:
    """Cuts the clips into runs of at most `most` bytes; a clip that is larger gets a tar of its own."""
    shards, start, total, end = [], 0, 0, 0
    for end, size in enumerate(sizes):
        if total and total + size > most:
            shards.append((start, end))
            start, total = end, 0
        total += size
    return [*shards, (start, end + 1)] if total else shards


def _member_bytes(size: int) -> int:
    return BLOCK + size + -size % BLOCK


FORMAT = ExportFormat(
    "webdataset",
    "WebDataset tars (.flac and .json for each clip), sized by bytes, with sizes.json: for LAION's CLAP, "
    "open_clip and the webdataset package.",
    WebDatasetSettings,
    write,
    frozenset({"webdataset"}),
)
