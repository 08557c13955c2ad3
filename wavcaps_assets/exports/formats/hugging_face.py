"""Parquet files for Hugging Face `datasets`, with the audio in them, a card, and Croissant metadata.

`load_dataset(FOLDER)` reads it. The features are in the Parquet schema, under the key `huggingface`
(https://huggingface.co/docs/hub/datasets-audio). They are written so that `datasets` 2 to 5 know them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from wavcaps_assets.exports.audio import BYTES, clips_of, read_audio, with_audio
from wavcaps_assets.exports.credit_lines import add_credit_lines
from wavcaps_assets.exports.croissant import CROISSANT, PAPER, describe
from wavcaps_assets.exports.description import ExportedFile
from wavcaps_assets.exports.export_folder import ExportFolder, Part
from wavcaps_assets.exports.exported_set import ExportedSet
from wavcaps_assets.exports.format import AudioSettings, ExportFormat
from wavcaps_assets.exports.hub_card import CARD, hub_card
from wavcaps_assets.exports.names import file_stems
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import MANIFEST

AUDIO = "audio"
SAMPLE_RATE = 32_000
# Of the Hub's viewer: a row group is read as a whole.
GROUP_CLIPS, GROUP_BYTES = 100, 32_000_000
# A row without its audio has about this size (bytes).
ROW_BYTES = 2048
LEFT_OUT = frozenset({"audio_path"})
AUDIO_TYPE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])


class HuggingFaceSettings(AudioSettings):
    """How the clips are put into Parquet files."""

    shard_mb: int = Field(
        500, ge=1, description="About how large a Parquet file is (MB); the Hub's have 500."
    )
    url: str = Field(
        PAPER,
        description="The page where you publish the export, which Croissant requires; else the paper's.",
    )


def write(exported: ExportedSet, settings: HuggingFaceSettings, folder: ExportFolder) -> None:
    """Writes `data/train-….parquet`, `README.md`, `croissant.json` and the credit lines."""
    table = with_audio(exported, folder)
    table = table.append_column("stem", file_stems(table.column("clip_id")))
    shards = list(_cut(table, settings.shard_mb * 1_000_000, None))
    sizes = [pc.sum(shard.column(BYTES)).as_py() + ROW_BYTES * len(shard) for shard in shards]
    folder.require_space(sum(sizes), max(sizes, default=0))
    # A set whose audio is all gone has one file, with the columns and no rows.
    shards = shards or [table]
    gone: set[str] = set()
    files: list[ExportedFile] = []
    for number, shard in enumerate(shards):
        name = f"data/train-{number:05d}-of-{len(shards):05d}.parquet"
        task = partial(_write_shard, exported.store, settings, name, shard)
        record = folder.add(f"train-{number:05d}", task)
        gone.update(one.clip_id for one in record.left_out)
        files += record.files
    there = pc.invert(pc.is_in(table.column("clip_id"), value_set=pa.array(sorted(gone), pa.string())))
    clips = table.filter(there).select(MANIFEST.arrow.names)
    add_credit_lines(exported, clips, folder)
    folder.add("card", lambda part: part.write(CARD, hub_card(exported, clips, files)))
    croissant = describe(exported, clips, files, schema(), settings.url)
    folder.add("croissant", lambda part: part.write(CROISSANT, croissant))


def schema() -> pa.Schema:
    """The columns of the Parquet files: the audio, and those of the manifest but the path in the store."""
    fields = [pa.field(AUDIO, AUDIO_TYPE, metadata={"description": "the clip: FLAC, 32 kHz, mono"})]
    fields += [field for field in MANIFEST.arrow if field.name not in LEFT_OUT]
    features = {AUDIO: {"sampling_rate": SAMPLE_RATE, "_type": "Audio"}}
    features |= {field.name: _feature(field.type) for field in fields[1:]}
    info = {"info": {"features": features}}
    return pa.schema(fields, metadata={"huggingface": json.dumps(info)})


def _feature(kind: pa.DataType) -> Any:
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    if pa.types.is_list(kind):
        inner = _feature(kind.value_type)
        # In a `Sequence`, a struct of lists was meant once; a list of structs is written as a list.
        is_struct = pa.types.is_struct(kind.value_type)
        return [inner] if is_struct else {"feature": inner, "_type": "Sequence"}
    names = {"double": "float64", "bool": "bool", "string": "string"}
    return {"dtype": names[str(kind)], "_type": "Value"}


def _write_shard(store: Store, settings: HuggingFaceSettings, name: str, rows: pa.Table, part: Part) -> None:
    import pyarrow.parquet as pq

    columns = schema()
    with (
        part.file(name) as path,
        pq.ParquetWriter(path, columns, compression="zstd", write_page_index=True) as writer,
    ):
        for group in _cut(rows, GROUP_BYTES, GROUP_CLIPS):
            audio = list(read_audio(store, clips_of(group), part, settings.check_samples))
            there = pa.array([data is not None for data in audio])
            paths = pc.binary_join_element_wise(group.column("stem"), ".flac", "").combine_chunks()
            sound = pa.StructArray.from_arrays([pa.array(audio, pa.binary()), paths], fields=list(AUDIO_TYPE))
            kept = group.select(columns.names[1:]).add_column(0, AUDIO, sound).filter(there)
            writer.write_table(kept.cast(columns), row_group_size=max(len(kept), 1))
            part.clips += len(kept)


def _cut(table: pa.Table, most_bytes: int, most_clips: int | None) -> Iterator[pa.Table]:
    """Cuts rows into runs of at most a size of audio, and a number of clips."""
    start, total = 0, 0
    for end, size in enumerate(table.column(BYTES).to_pylist()):
        full = most_clips is not None and end - start >= most_clips
        if end > start and (full or total + size > most_bytes):
            yield table.slice(start, end - start)
            start, total = end, 0
        total += size
    if start < len(table):
        yield table.slice(start)


FORMAT = ExportFormat(
    "hugging_face",
    "Parquet files with the audio in them, a data-set card, Croissant metadata and credit lines: for "
    "Hugging Face `datasets` and the Hub.",
    HuggingFaceSettings,
    write,
    frozenset({"huggingface", "parquet"}),
)
