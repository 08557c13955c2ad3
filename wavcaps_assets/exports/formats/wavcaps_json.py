"""The layout of the released set: `json_files/<Source>/<name>_final.json`, and the audio as FLAC.

The keys, their order and the ids are those of the released files
(https://huggingface.co/datasets/cvssp/WavCaps). The released training code
(https://github.com/XinhaoMei/WavCaps, `data_handling/pretrain_dataset.py`) reads `num_captions_per_audio`,
and of each clip `audio`, `caption` or `caption_1` and on, `duration` and `id`. It opens `audio` as it is,
relative to the folder that it runs in, and finds `FreeSound` and `AudioSet` in the path of the JSON file to
know which list of excluded ids applies.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from wavcaps_assets.exports.audio import BYTES, ROWS_AT_ONCE, clips_of, read_audio, with_audio
from wavcaps_assets.exports.credit_lines import add_credit_lines
from wavcaps_assets.exports.export_folder import ExportFolder, Part
from wavcaps_assets.exports.exported_set import ExportedSet
from wavcaps_assets.exports.format import AudioSettings, ExportFormat
from wavcaps_assets.exports.names import file_stems
from wavcaps_assets.slices.attributions import COLUMNS as CREDITED
from wavcaps_assets.store.storage import Store

logger = logging.getLogger(__name__)

# The code that scores models accepts one caption for each clip, or five.
CAPTIONS = 5
REPEATED = "captions that repeat another of their clip, to make five"
# Words in the path of a JSON file by which the released code chooses its list of excluded ids.
MARKS = ("FreeSound", "AudioSet", "AudioCaps", "Clotho")
# Clips whose audio is copied as one part: what a killed run may have to copy again.
CLIPS_AT_ONCE = 500
RECORD_BYTES = 1024
# Of the manifest: what reading the audio needs, and what a JSON file has.
AUDIO_COLUMNS = ["clip_id", "source", "source_id", "audio_path", BYTES, "samples_sha256"]
COLUMNS = ["clip_id", "source", "source_id", "audio_path", "caption", "other_captions"]
COLUMNS += ["title", "text", "tags", "author", "page_url", "duration_s"]
# What the released layout has no keys for. An import reads them under these names.
FURTHER_KEYS = [
    "clip_id",
    "source",
    "source_id",
    "licence_id",
    "gen_ai_preference",
    "attribution",
    "page_url",
]
FURTHER_KEYS += ["text", "tags", "events", "start_s", "recording", "synthetic"]
FURTHER_KEYS += ["model", "prompt_version", "other_captions"]


@dataclass(frozen=True)
class Layout:
    """Where the clips of a source are in the released set.

    Attributes:
        folder: of its JSON file and its audio.
        file: the beginning of the name of its JSON file.
    """

    folder: str
    file: str


@dataclass(frozen=True)
class JsonFile:
    """A JSON file of the export.

    Attributes:
        sources: whose clips it has.
        paths: of each clip's audio in the export, in the order of the set.
    """

    layout: Layout
    sources: tuple[str, ...]
    paths: pa.Array


AUDIOSET = Layout("AudioSet_SL", "as")
BBC = Layout("BBC_Sound_Effects", "bbc")
FREESOUND = Layout("FreeSound", "fsd")
SOUNDBIBLE = Layout("SoundBible", "sb")
LAYOUTS: Mapping[str, Layout] = {
    "audioset_sl": AUDIOSET,
    "bbc_sound_effects": BBC,
    "freesound": FREESOUND,
    "freesound_data_packs": FREESOUND,
    "soundbible": SOUNDBIBLE,
}
# The id of a segment of AudioSet: the video's, and the start in ms.
SEGMENT = re.compile(r"(.{11})_(\d+)")


class WavCapsJsonSettings(AudioSettings):
    """How the released layout is filled."""

    captions: Literal["one", "five"] = Field(
        "one",
        description="`one`: each clip's caption; `five`: `caption_1` to `caption_5`, the caption and the "
        "clip's further ones, repeated where it has fewer. The released code does not apply its lists of "
        "excluded ids to files with five.",
    )
    audio_root: str = Field(
        "",
        description="What `audio` begins with: the folder of the export, as the training code sees it; "
        "empty: the paths are relative to that folder.",
    )
    audio_files: Literal["copy", "in_store"] = Field(
        "copy",
        description="`copy`: the audio is in the export; `in_store`: `audio` is the path of the file in the "
        "store, which must be a folder.",
    )

    keys: Literal["released", "all"] = Field(
        "released",
        description="`released`: the keys of the released files; `all`: behind them also licence, wish about "
        "generative models, start, and what else the release has no keys for. The released code does not "
        "read these; `wavcaps import` does.",
    )

    @model_validator(mode="after")
    def _samples_are_read(self) -> WavCapsJsonSettings:
        if self.check_samples and self.audio_files == "in_store":
            raise ValueError(
                "check_samples reads the audio, which audio_files=in_store does not: leave one out"
            )
        return self


def write(exported: ExportedSet, settings: WavCapsJsonSettings, folder: ExportFolder) -> None:
    """Writes `waveforms/<Source>_flac/<id>.flac` and `json_files/<Source>/<name>_final.json`.

    Audio that is passed on has its credit lines with it.
    """
    table = with_audio(exported, folder)
    copies = settings.audio_files == "copy"
    audio = pc.sum(table.column(BYTES)).as_py() or 0
    records = table.num_rows * RECORD_BYTES
    folder.require_space((audio if copies else 0) + records, records)
    place = folder.store.describe(folder.path)
    for word in MARKS:
        if word in place:
            logger.warning(
                "%s contains %r, by which the released training code chooses its list of excluded ids: for "
                "every source, it would be the same one. Read the files at another path",
                place,
                word,
            )
    for layout, sources in _layouts(table).items():
        rows = table.select(AUDIO_COLUMNS)
        rows = rows.filter(pc.is_in(rows.column("source"), pa.array(sources)))
        file = JsonFile(layout, tuple(sources), _paths(layout, rows))
        if copies:
            _copy(exported.store, settings, file, rows, folder)
        columns = list(dict.fromkeys([*COLUMNS, *FURTHER_KEYS])) if settings.keys == "all" else COLUMNS
        task = partial(_write_json, exported.store, settings, table.select(columns), file, folder)
        folder.add(f"json-{layout.folder}", task)
    if copies:
        gone = pa.array(sorted(folder.left_out), pa.string())
        clips = table.select(list(CREDITED)).filter(
            pc.invert(pc.is_in(table.column("clip_id"), value_set=gone))
        )
        add_credit_lines(exported, clips, folder)


def _layouts(table: pa.Table) -> dict[Layout, list[str]]:
    """The sources of each JSON file."""
    known = sorted(pc.unique(table.column("source")).to_pylist())
    layouts: dict[Layout, list[str]] = {}
    for source, plain in zip(
        known, file_stems(pa.chunked_array([known], pa.string())).to_pylist(), strict=True
    ):
        layouts.setdefault(LAYOUTS.get(source.casefold(), Layout(plain, plain)), []).append(source)
    return layouts


def _paths(layout: Layout, rows: pa.Table) -> pa.Array:
    """The path of each clip's audio in the export."""
    names = pa.chunked_array(
        [
            [_released_id(layout, one).removesuffix(".wav") for one in batch.column(0).to_pylist()]
            for batch in rows.select(["source_id"]).to_batches(ROWS_AT_ONCE)
        ],
        pa.string(),
    )
    stems = file_stems(rows.column("clip_id"), names)
    return pc.binary_join_element_wise(f"waveforms/{layout.folder}_flac/", stems, ".flac", "")


def _released_id(layout: Layout, source_id: str) -> str:
    """The clip's id in the released files. Those of AudioSet are `Y<video>.wav`, without the start."""
    if layout != AUDIOSET or source_id.endswith(".wav"):
        return source_id
    segment = SEGMENT.fullmatch(source_id)
    return f"Y{segment[1] if segment else source_id}.wav"


def _copy(
    store: Store, settings: WavCapsJsonSettings, file: JsonFile, rows: pa.Table, folder: ExportFolder
) -> None:
    for start in range(0, rows.num_rows, CLIPS_AT_ONCE):

        def copy(part: Part, start: int = start) -> None:
            clips = clips_of(rows.slice(start, CLIPS_AT_ONCE))
            paths = file.paths.slice(start, CLIPS_AT_ONCE).to_pylist()
            audio = read_audio(store, clips, part, settings.check_samples)
            for path, flac in zip(paths, audio, strict=True):
                if flac is not None:
                    part.write(path, flac)
                    part.clips += 1

        folder.add(f"audio-{file.layout.folder}-{start // CLIPS_AT_ONCE:06d}", copy)


def _write_json(
    store: Store,
    settings: WavCapsJsonSettings,
    table: pa.Table,
    file: JsonFile,
    folder: ExportFolder,
    part: Part,
) -> None:
    number = CAPTIONS if settings.captions == "five" else 1
    root = f"{settings.audio_root.rstrip('/')}/" if settings.audio_root else ""
    in_store, gone = settings.audio_files == "in_store", folder.left_out
    separator = ""
    with part.stream(f"json_files/{file.layout.folder}/{file.layout.file}_final.json") as output:
        output.write(f'{{"num_captions_per_audio": {number}, "data": ['.encode())
        for row, path in _rows(table, file):
            if row["clip_id"] in gone:
                continue
            audio = str(store.path(row["audio_path"])) if in_store else root + path
            record = _record(file.layout, row, _captions(row, number, part), audio)
            if settings.keys == "all":
                record |= {name: row[name] for name in FURTHER_KEYS if row[name] is not None}
            output.write(f"{separator}{json.dumps(record)}".encode())
            separator = ", "
            part.clips += in_store
        output.write(b"]}")


def _rows(table: pa.Table, file: JsonFile) -> Iterator[tuple[dict[str, Any], str]]:
    """The clips of a JSON file, with their paths."""
    sources, place = pa.array(file.sources), 0
    for batch in table.to_batches(ROWS_AT_ONCE):
        rows = batch.filter(pc.is_in(batch.column("source"), sources)).to_pylist()
        yield from zip(rows, file.paths.slice(place, len(rows)).to_pylist(), strict=True)
        place += len(rows)


def _captions(row: Mapping[str, Any], number: int, part: Part) -> dict[str, str]:
    if number == 1:
        return {"caption": row["caption"]}
    texts = [row["caption"], *(other["text"] for other in row["other_captions"] or ())]
    part.count(REPEATED, max(number - len(texts), 0))
    return {f"caption_{place + 1}": texts[place % len(texts)] for place in range(number)}


def _record(
    layout: Layout, row: Mapping[str, Any], captions: Mapping[str, str], audio: str
) -> dict[str, Any]:
    """A clip with the keys that the released file of its source has, in their order."""
    page, identity = row["page_url"] or "", _released_id(layout, row["source_id"])
    end = {"id": identity, "duration": row["duration_s"], "audio": audio}
    if layout == AUDIOSET:
        return {"id": identity, **captions, "audio": audio, "duration": row["duration_s"]}
    if layout == BBC:
        # The released file has the list of categories as Python shows it.
        return {
            "description": row["text"],
            "category": str(row["tags"]),
            **captions,
            **end,
            "download_link": f"https://sound-effects-media.bbcrewind.co.uk/zip/{identity}.wav.zip",
        }
    if layout == SOUNDBIBLE:
        root, _, name = page.rpartition("/")
        return {
            "title": row["title"],
            "description": row["text"],
            "author": row["author"],
            "href": name,
            **captions,
            **end,
            "download_link": f"{root}/grab.php?id={identity}&type=wav",
        }
    return {
        "id": identity,
        "file_name": row["title"],
        "href": urlsplit(page).path,
        "tags": row["tags"],
        "description": row["text"],
        "author": row["author"],
        "duration": row["duration_s"],
        "download_link": f"{page.rstrip('/')}/download/" if page else "",
        **captions,
        "audio": audio,
    }


FORMAT = ExportFormat(
    "wavcaps_json",
    "The layout of the released WavCaps: a JSON file for each source, and the audio as FLAC. The released "
    "training code reads it.",
    WavCapsJsonSettings,
    write,
    frozenset({"json"}),
)
