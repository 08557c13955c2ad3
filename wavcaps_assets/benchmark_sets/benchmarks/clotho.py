"""Clotho: captions of FreeSound's sounds of 15 to 30 s (https://zenodo.org/records/4783391).

The FreeSound ids are in its metadata, `clotho_metadata_<subset>.csv`, and not in the lists of captions.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import ClassVar

from wavcaps_assets.benchmark_sets.benchmarks.benchmark import UNKNOWN_VERSION, BenchmarkClips
from wavcaps_assets.benchmark_sets.benchmarks.own_lists import ListedAsOwnSet, listed_clips
from wavcaps_assets.benchmark_sets.columns import read_list_columns
from wavcaps_assets.benchmark_sets.downloads import PublishedFile
from wavcaps_assets.benchmark_sets.folders import CSV_FOLDER, OwnSet
from wavcaps_assets.store.storage import Store

METADATA = {"train": "development", "validation": "validation", "test": "evaluation"}
COLUMNS = {
    name: (name,)
    for name in ("file_name", "sound_id", "sound_link", "start_end_samples", "manufacturer", "license")
}
OPTIONAL = ("sound_id", "sound_link", "start_end_samples", "manufacturer", "license")
SAMPLE_RATE = 44_100
# MD5 of `clotho_captions_development.csv` at https://zenodo.org/records/3490684, /4743815 and /4783391.
VERSION_OF_MD5 = {
    "dd568352389f413d832add5cf604529f": "v1",
    "800633304e73d3daed364a2ba6069827": "v2",
    "d4090b39ce9f2491908eebf4d5b09bae": "v2.1",
}
# In other forms of the lists, the sizes say it: v1 has no validation split, and v2.1 has the clips of v2.
TRAIN_CLIPS = {2_893: "v1", 3_839: "v2.1"}
SOUND_LINK = re.compile(r"freesound\.org/(?:people/[^/\s]+/sounds|s)/(\d+)")
# v2.1 replaced characters of file names that some file systems do not have, but not in all lists.
REPLACED = re.compile(r"[^a-z0-9]+")


class Clotho(ListedAsOwnSet):
    """Clotho, v1, v2 or v2.1. Its validation and test splits are its validation and evaluation subsets."""

    name = "clotho"
    title = "Clotho"
    source = "https://zenodo.org/records/4783391"
    layout = (
        "clotho_captions_<subset>.csv (or train.csv, val.csv, test.csv), clotho_metadata_<subset>.csv, and "
        "the audio in <subset>/, for development, validation and evaluation,"
    )
    # The lists of v2.1. The audio is published as 7-Zip archives.
    published = tuple(
        PublishedFile(f"https://zenodo.org/records/4783391/files/{name}?download=1", md5)
        for name, md5 in (
            ("clotho_captions_development.csv", "d4090b39ce9f2491908eebf4d5b09bae"),
            ("clotho_captions_validation.csv", "5879e023032b22a2c930aaa0528bead4"),
            ("clotho_captions_evaluation.csv", "1b16b9e57cf7bdb7f13a13802aeb57e2"),
            ("clotho_metadata_development.csv", "170d20935ecfdf161ce1bb154118cda5"),
            ("clotho_metadata_validation.csv", "2e010427c56b1ce6008b0f03f41048ce"),
            ("clotho_metadata_evaluation.csv", "13946f054d4e1bf48079813aac61bf77"),
        )
    )
    official_clips: ClassVar = {"v1": 3_938, "v2": 5_929, "v2.1": 5_929}
    official_test_clips: ClassVar = {"v1": 1_045, "v2": 1_045, "v2.1": 1_045}

    def read_own(self, store: Store, own: OwnSet) -> BenchmarkClips:
        columns, notes = listed_clips(own)
        if not columns["file"]:
            raise self.no_lists(store)
        details = {split: self._metadata(store, split) for split in METADATA}
        rows = [
            details[split].get(_plain(file), {})
            for split, file in zip(columns["split"], columns["file"], strict=True)
        ]
        listed_ids = columns.pop("listed_id")
        columns["freesound_id"] = [
            listed or _sound(row) for listed, row in zip(listed_ids, rows, strict=True)
        ]
        columns["start_s"] = [_start(row) for row in rows]
        columns["licence"] = [row.get("license") or None for row in rows]
        columns["author"] = [row.get("manufacturer") or None for row in rows]
        for split in METADATA:
            ids = [
                sound
                for sound, of in zip(columns["freesound_id"], columns["split"], strict=True)
                if of == split
            ]
            if unknown := ids.count(None):
                why = "does not have them" if details[split] else "is not there"
                notes.append(
                    f"The FreeSound ids of {unknown} of {len(ids)} {split} clips are not known: "
                    f"{self._metadata_name(split)} {why}."
                )
        clips = self.clips(self._version(store, own, columns["split"].count("train")), columns)
        return BenchmarkClips(clips, tuple(notes))

    def _metadata_name(self, split: str) -> str:
        return f"clotho_metadata_{METADATA[split]}.csv"

    def _metadata(self, store: Store, split: str) -> dict[str, Mapping[str, str]]:
        """The rows of a subset's metadata, by the plain form of the file name."""
        name = self._metadata_name(split)
        path = self.first_there(store, (name, f"{CSV_FOLDER}/{name}"))
        if path is None:
            return {}
        listed = read_list_columns(store, path, COLUMNS, OPTIONAL)
        rows = (dict(zip(listed, values, strict=True)) for values in zip(*listed.values(), strict=True))
        return {_plain(row["file_name"]): row for row in rows}

    def _version(self, store: Store, own: OwnSet, train_clips: int) -> str:
        path = own.address("train")
        md5 = hashlib.md5(store.read_bytes(path), usedforsecurity=False).hexdigest() if path else ""
        return VERSION_OF_MD5.get(md5) or TRAIN_CLIPS.get(train_clips, UNKNOWN_VERSION)


def _plain(file: str) -> str:
    return REPLACED.sub("_", file.lower())


def _sound(row: Mapping[str, str]) -> str | None:
    """The FreeSound id of a row; some have "Not found" in its place."""
    own = row.get("sound_id", "")
    if own.isdecimal():
        return own
    link = SOUND_LINK.search(row.get("sound_link", ""))
    return link[1] if link else None


def _start(row: Mapping[str, str]) -> float | None:
    """Where a clip starts in its sound (s): the column has `[first sample, last sample]`."""
    samples = row.get("start_end_samples")
    if not samples:
        return None
    try:
        first, _ = json.loads(samples)
        return float(first) / SAMPLE_RATE
    except (ValueError, TypeError):
        return None


BENCHMARK = Clotho()
