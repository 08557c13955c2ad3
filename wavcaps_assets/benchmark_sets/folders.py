"""Your own data sets, such as AudioCaps and Clotho: one folder of the store each, with lists and audio.

`sets/<name>/<split>.csv` or `.json`, and the audio in `sets/<name>/<split>/`, or `sets/<name>/audio/`; or
WebDataset tars, `sets/<name>/<split>*.tar`. Splits are `train`, `val` and `test`.

A CSV has `file_name` and `caption`, or `caption_1` to `caption_5`, as Clotho's; or AudioCaps' own columns,
with `Y<youtube_id>.wav` as the audio. A JSON file has the format of WavCaps' own files.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import soundfile

from wavcaps_assets.benchmark_sets.tars import tar_manifest
from wavcaps_assets.store.storage import Store

FOLDER = "sets"
# The name of each split in the lists of a set.
SPLITS = {"train": "train", "validation": "val", "test": "test"}
CAPTION_COLUMNS = ("caption", *(f"caption_{number}" for number in range(1, 6)))


class SetError(ValueError):
    """One of your own data sets is missing, or does not have the expected format."""


def read_set(store: Store, name: str, split: str) -> list[dict[str, Any]]:
    """The clips of one split of a set.

    Args:
        store: the store that contains the folder `sets`.
        name: the set's folder.
        split: `train`, `validation` or `test`.

    Returns:
        Rows of `tables.TRAINING_MANIFEST`. Clips without audio are left out, since every copy of AudioCaps
        lacks some.

    Raises:
        SetError: there is no such list, or it cannot be read; says what is expected.
        TarError, StoreError: a tar or the store cannot be read.
    """
    folder, stem = f"{FOLDER}/{name}", SPLITS[split]
    there = store.sizes(folder)
    tars = sorted(f"{folder}/{file}" for file in there if file.startswith(stem) and file.endswith(".tar"))
    if tars:
        return tar_manifest(store, tars, split, name).to_pylist()
    if f"{stem}.csv" in there:
        records = list(_csv_records(store, f"{folder}/{stem}.csv"))
    elif f"{stem}.json" in there:
        records = list(_json_records(store, f"{folder}/{stem}.json"))
    else:
        raise SetError(
            f"the set {name!r} has no {split} split here: put {stem}.csv, {stem}.json or {stem}-*.tar into "
            f"{store.describe(folder)}, and the audio into its folder {stem}/ or audio/ (docs/experiments.md)"
        )
    audio = {
        file: f"{folder}/{place}/{file}"
        for place in ("audio", stem)
        for file in store.sizes(f"{folder}/{place}")
    }
    rows = [
        _row(store, name, split, record, audio[record["file"]])
        for record in records
        if record["file"] in audio
    ]
    if not rows:
        raise SetError(
            f"the set {name!r} lists {len(records)} {split} clips, but none of their audio files is in "
            f"{store.describe(folder)}/{stem} or …/audio: put them there with the names of the list, such as "
            f"{records[0]['file'] if records else 'file_name'!r}"
        )
    return rows


def _row(store: Store, name: str, split: str, record: Mapping[str, Any], path: str) -> dict[str, Any]:
    captions: Sequence[str] = record["captions"]
    duration = record["duration"]
    if duration is None:
        with store.reading(path) as audio:
            try:
                duration = soundfile.info(audio).duration
            except soundfile.LibsndfileError as error:
                raise SetError(
                    f"the audio {store.describe(path)} cannot be read ({error}): replace or remove it"
                ) from error
    return {
        "clip_id": f"{name}-{record['file']}",
        "source": name,
        "caption": captions[0],
        "other_captions": list(captions[1:]),
        "audio_path": path,
        "duration_s": float(duration),
        "recording": f"{name}-{record['file']}",
        "split": split,
    }


def _csv_records(store: Store, path: str) -> Iterator[dict[str, Any]]:
    text = store.read_bytes(path).decode("utf-8-sig", "replace")
    # In AudioCaps' own validation and test lists, each line is a caption: five lines per clip.
    found: dict[str, list[str]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        file = row.get("file_name") or (f"Y{row['youtube_id']}.wav" if row.get("youtube_id") else None)
        captions = [row[column].strip() for column in CAPTION_COLUMNS if (row.get(column) or "").strip()]
        if file is None or not captions:
            raise SetError(
                f"{store.describe(path)}: a row has no file_name (or youtube_id) or no caption: {dict(row)}"
            )
        found.setdefault(file, []).extend(captions)
    for file, captions in found.items():
        yield {"file": file, "captions": captions, "duration": None}


def _json_records(store: Store, path: str) -> Iterator[dict[str, Any]]:
    try:
        data = json.loads(store.read_bytes(path))["data"]
        for entry in data:
            captions = [entry[column] for column in CAPTION_COLUMNS if entry.get(column)]
            file = str(entry["audio"]).replace("\\", "/").rpartition("/")[2]
            if not captions:
                raise SetError(f"{store.describe(path)}: {file!r} has no caption")
            yield {"file": file, "captions": captions, "duration": entry.get("duration")}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, SetError):
            raise
        raise SetError(
            f"{store.describe(path)} does not have the format of WavCaps' JSON files: an object with `data`, "
            f"a list of objects with `audio` and `caption` ({type(error).__name__}: {error})"
        ) from error
