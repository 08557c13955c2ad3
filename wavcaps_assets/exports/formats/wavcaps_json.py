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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from wavcaps_assets.exports.audio import BYTES, ROWS_AT_ONCE, clips_of, read_audio, with_audio
from wavcaps_assets.exports.export_folder import ExportFolder, Part
from wavcaps_assets.exports.exported_set import ExportedSet
from wavcaps_assets.exports.format import AudioSettings, ExportFormat
from wavcaps_assets.exports.names import file_stems
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


@dataclass(frozen=True)
class Layout:
    """Where the clips of a source are in the released set.

    Attributes:
        folder: of its JSON file and its audio.
        file: the beginning of the name of its JSON file.
    """

    folder: str
    file: str


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

    @model_validator(mode="after")
    def _samples_are_read(self) -> WavCapsJsonSettings:
        if self.check_samples and self.audio_files == "in_store":
            raise ValueError(
                "check_samples reads the audio, which audio_files=in_store does not: leave one out"
            )
        return self


def write(exported: ExportedSet, settings: WavCapsJsonSettings, folder: ExportFolder) -> None:
    """Writes `waveforms/<Source>_flac/<id>.flac` and `json_files/<Source>/<name>_final.json`."""
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
    for layout, rows in _by_layout(table):
        if copies:
            paths = _paths(layout, rows)
            _copy(exported.store, settings, layout, rows, paths, folder)
        else:
            paths = [str(exported.store.path(path)) for path in rows.column("audio_path").to_pylist()]
        folder.add(f"json-{layout.folder}", partial(_write_json, settings, layout, rows, paths, folder))


def _by_layout(table: pa.Table) -> Iterator[tuple[Layout, pa.Table]]:
    """The clips of each JSON file."""
    sources = table.column("source")
    layouts: dict[Layout, list[str]] = {}
    known = sorted(pc.unique(sources).to_pylist())
    for source, plain in zip(known, file_stems(known), strict=True):
        layouts.setdefault(LAYOUTS.get(source.casefold(), Layout(plain, plain)), []).append(source)
    for layout, names in layouts.items():
        yield layout, table.filter(pc.is_in(sources, pa.array(names)))


def _paths(layout: Layout, rows: pa.Table) -> list[str]:
    """The path of each clip's audio in the export."""
    ids = rows.column("source_id").to_pylist()
    names = [_released_id(layout, one).removesuffix(".wav") for one in ids]
    stems = file_stems(rows.column("clip_id").to_pylist(), names)
    return [f"waveforms/{layout.folder}_flac/{stem}.flac" for stem in stems]


def _released_id(layout: Layout, source_id: str) -> str:
    """The clip's id in the released files. Those of AudioSet are `Y<video>.wav`, without the start."""
    if layout != AUDIOSET or source_id.endswith(".wav"):
        return source_id
    segment = SEGMENT.fullmatch(source_id)
    return f"Y{segment[1] if segment else source_id}.wav"


def _copy(
    store: Store,
    settings: WavCapsJsonSettings,
    layout: Layout,
    rows: pa.Table,
    paths: Sequence[str],
    folder: ExportFolder,
) -> None:
    for start in range(0, rows.num_rows, CLIPS_AT_ONCE):
        some = slice(start, start + CLIPS_AT_ONCE)

        def copy(part: Part, some: slice = some) -> None:
            clips = clips_of(rows.slice(some.start, CLIPS_AT_ONCE))
            for path, flac in zip(
                paths[some], read_audio(store, clips, part, settings.check_samples), strict=True
            ):
                if flac is not None:
                    part.write(path, flac)
                    part.clips += 1

        folder.add(f"audio-{layout.folder}-{start // CLIPS_AT_ONCE:06d}", copy)


def _write_json(
    settings: WavCapsJsonSettings,
    layout: Layout,
    rows: pa.Table,
    paths: Sequence[str],
    folder: ExportFolder,
    part: Part,
) -> None:
    number = CAPTIONS if settings.captions == "five" else 1
    root = f"{settings.audio_root.rstrip('/')}/" if settings.audio_root else ""
    gone = folder.left_out
    separator = ""
    with part.stream(f"json_files/{layout.folder}/{layout.file}_final.json") as file:
        file.write(f'{{"num_captions_per_audio": {number}, "data": ['.encode())
        for row, path in zip(_rows(rows), paths, strict=True):
            if row["clip_id"] in gone:
                continue
            audio = path if settings.audio_files == "in_store" else root + path
            record = _record(layout, row, _captions(row, number, part), audio)
            file.write(f"{separator}{json.dumps(record)}".encode())
            separator = ", "
            part.clips += settings.audio_files == "in_store"
        file.write(b"]}")


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(ROWS_AT_ONCE):
        yield from batch.to_pylist()


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
