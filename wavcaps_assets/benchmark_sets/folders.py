"""Your own data sets, such as AudioCaps and Clotho: one folder of the store each, with lists and audio.

`sets/<name>/<split>.csv` or `.json`, and the audio in `sets/<name>/<split>/`, or `sets/<name>/audio/`; or
WebDataset tars, `sets/<name>/<split>*.tar`. Splits are `train`, `val` and `test`. The names that Clotho's own
archives and the usual download tools give to lists and folders are known, too.

A CSV has `file_name` and `caption`, or `caption_1` to `caption_5`, as Clotho's; or AudioCaps' own columns,
with `Y<youtube_id>.wav` as the audio. A JSON file has the format of WavCaps' own files. The audio has the
listed name, or the same with another format's ending; AudioCaps' also any name with the video's id.

A clip's id is `<name>-<file>`. A file name that two splits have, as four of Clotho's do, is two clips: their
ids are `<name>-<split>-<file>`.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import soundfile

from wavcaps_assets.benchmark_sets.audio_files import AudioFiles, video_of
from wavcaps_assets.benchmark_sets.caption_lists import read_csv
from wavcaps_assets.benchmark_sets.lists import SetError, SetList, read_json
from wavcaps_assets.benchmark_sets.tars import tar_keys, tar_manifest
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import DROPPED, TRAINING_MANIFEST
from wavcaps_assets.tables.stage import Stage

FOLDER = "sets"
# The name of each split in the lists of a set.
SPLITS = {"train": "train", "validation": "val", "test": "test"}
# The names of a split's list, the first that is there; and the folders of its audio, the last that has it.
CSV_FOLDER = "clotho_csv_files"
LISTS = {
    "train": ("train", "train_v2", "clotho_captions_development"),
    "validation": ("val", "clotho_captions_validation"),
    "test": ("test", "clotho_captions_evaluation"),
}
PLACES = {
    "train": ("audio", "audio_32000Hz/train", "clotho_audio_files/development", "development", "train"),
    "validation": ("audio", "audio_32000Hz/val", "clotho_audio_files/validation", "validation", "val"),
    "test": ("audio", "audio_32000Hz/test", "clotho_audio_files/evaluation", "evaluation", "test"),
}
STAGE = "training_manifest"
NO_AUDIO = "no_audio"
AUDIOCAPS = "audiocaps"
# What is known about a clip, beside the columns of a training manifest: its file in the list of a set, and
# its texts, which may say which sound of another set it is.
FILE, TEXTS = "file", "texts"
CLIPS = pa.schema([*TRAINING_MANIFEST.arrow, pa.field(FILE, pa.string()), pa.field(TEXTS, pa.string())])

logger = logging.getLogger(__name__)


class OwnSet:
    """One of your own data sets. Each of its lists is read once.

    Args:
        store: the store that contains the folder `sets`.
        name: the set's folder.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._folder = f"{FOLDER}/{name}"
        self._there = {
            file: f"{folder}/{file}"
            for folder in (f"{self._folder}/{CSV_FOLDER}", self._folder)
            for file in store.names(folder)
        }
        self._lists: dict[str, SetList] = {}
        self._found: dict[str, dict[str, str]] = {}

    def read(self, split: str) -> Stage:
        """The clips of one split.

        Args:
            split: `train`, `validation` or `test`.

        Returns:
            The table `CLIPS`, and the clips whose audio is not there: every copy of AudioCaps lacks some.

        Raises:
            SetError: there is no such list, or it cannot be read; says what is expected.
            TarError, StoreError: a tar or the store cannot be read.
        """
        if tars := self._tars(split):
            clips = tar_manifest(self._store, tars, split, self._name)
            prefix = len(self._name) + 1
            files = [clip_id[prefix:] for clip_id in clips.column("clip_id").to_pylist()]
            ids = pa.array([self._clip_id(file, split) for file in files], pa.string())
            clips = clips.set_column(clips.column_names.index("clip_id"), "clip_id", ids)
            named = pa.array(files, pa.string())
            own = clips.append_column(FILE, named).append_column(TEXTS, named)
            return Stage(own.cast(CLIPS), DROPPED.empty())
        listed = self._list(split)
        audio = self._audio(split, listed.files)
        here = [number for number, file in enumerate(listed.files) if file in audio]
        if not here:
            example = repr(listed.files[0]) if listed.files else "'file_name'"
            raise SetError(
                f"the set {self._name!r} lists {len(listed.files)} {split} clips, but none of their audio "
                f"files is in {self._store.describe(self._folder)}/{SPLITS[split]} or …/audio: put them "
                f"there with the names of the list, such as {example}"
            )
        return Stage(self._table(listed, split, here, audio), self._without_audio(listed, split, set(here)))

    def has(self, split: str) -> bool:
        """Whether there is a list, or tars, of a split."""
        return bool(self._tars(split) or self._address(split))

    def address(self, split: str) -> str | None:
        """The path of the list of a split; None: there is none, or the split is in tars."""
        return None if self._tars(split) else self._address(split) or None

    def notes(self, split: str) -> Sequence[str]:
        """What the list of a split leaves out, a sentence each.

        Raises:
            SetError, StoreError: as `read`.
        """
        return () if self._tars(split) else self._list(split).notes

    def list_clips(self, split: str) -> dict[str, list[Any]]:
        """All clips that a split lists, with or without audio, which is not opened.

        Returns:
            By name, the columns `clip_id`, `file`, `captions`, `audio_path`, `duration_s`, `listed_id` and
            `start_s`; the last four may be None.

        Raises:
            SetError, TarError, StoreError: as `read`.
        """
        if self._tars(split):
            kept = self.read(split).kept.select(
                ["clip_id", FILE, "caption", "other_captions", "audio_path", "duration_s"]
            )
            columns = kept.to_pydict()
            pairs = zip(columns.pop("caption"), columns.pop("other_captions"), strict=True)
            unknown = [None] * len(kept)
            captions = [[one, *others] for one, others in pairs]
            return {**columns, "captions": captions, "listed_id": unknown, "start_s": unknown}
        listed = self._list(split)
        audio = self._audio(split, listed.files)
        return {
            "clip_id": [self._clip_id(file, split) for file in listed.files],
            FILE: listed.files,
            "captions": listed.captions,
            "audio_path": [audio.get(file) for file in listed.files],
            "duration_s": listed.durations,
            "listed_id": listed.ids,
            "start_s": listed.starts,
        }

    def _audio(self, split: str, files: Collection[str]) -> dict[str, str]:
        """The paths of the listed files that are there."""
        if split in self._found:
            return self._found[split]
        there = AudioFiles(self._store, [f"{self._folder}/{place}" for place in PLACES[split]])
        found = self._found.setdefault(split, there.with_names(files))
        for file in files:
            if file in found:
                continue
            path = there.find(file)
            if path is None and self._name == AUDIOCAPS and (video := video_of(file)):
                path = there.find_video(video)
            if path is not None:
                found[file] = path
        return found

    def _table(self, listed: SetList, split: str, here: list[int], audio: dict[str, str]) -> pa.Table:
        files = [listed.files[number] for number in here]
        paths = [audio[file] for file in files]
        durations = [
            self._duration(path) if (seconds := listed.durations[number]) is None else seconds
            for number, path in zip(here, paths, strict=True)
        ]
        captions = [listed.captions[number] for number in here]
        names = pa.array(files, pa.string())
        recordings = pc.binary_join_element_wise(self._name, names, "-")
        columns = {
            "clip_id": [self._clip_id(file, split) for file in files] if self._in_two_splits else recordings,
            "source": pa.repeat(self._name, len(files)),
            "caption": [texts[0] for texts in captions],
            "other_captions": [texts[1:] for texts in captions],
            "audio_path": paths,
            "duration_s": durations,
            "recording": recordings,
            "split": pa.repeat(split, len(files)),
            FILE: names,
            TEXTS: names,
        }
        return pa.table([pa.array(columns[field.name], field.type) for field in CLIPS], schema=CLIPS)

    def _without_audio(self, listed: SetList, split: str, here: set[int]) -> pa.Table:
        missing = [file for number, file in enumerate(listed.files) if number not in here]
        where = f"{self._folder}/{SPLITS[split]} and {self._folder}/audio do not have it"
        columns = {
            "clip_id": [self._clip_id(file, split) for file in missing],
            "source": [self._name] * len(missing),
            "stage": [STAGE] * len(missing),
            "reason": [NO_AUDIO] * len(missing),
            "detail": [where] * len(missing),
        }
        return pa.table(
            [pa.array(columns[field.name], field.type) for field in DROPPED.arrow], schema=DROPPED.arrow
        )

    def _clip_id(self, file: str, split: str) -> str:
        return f"{self._name}-{split}-{file}" if file in self._in_two_splits else f"{self._name}-{file}"

    @cached_property
    def _in_two_splits(self) -> frozenset[str]:
        """The file names that several splits have. All lists count, whichever of them are asked for."""
        files = [frozenset(self._files(split)) for split in SPLITS]
        return frozenset().union(*(one & other for one, other in itertools.combinations(files, 2)))

    def _files(self, split: str) -> Iterable[str]:
        tars = self._tars(split)
        if not tars:
            return self._list(split).files if self._address(split) else ()
        # One split in tars has nothing to be compared with, and is not scanned for it.
        others = any(self._tars(other) or self._address(other) for other in SPLITS if other != split)
        return tar_keys(self._store, tars) if others else ()

    def _tars(self, split: str) -> list[str]:
        stem = SPLITS[split]
        return sorted(
            path for file, path in self._there.items() if file.startswith(stem) and file.endswith(".tar")
        )

    def _address(self, split: str) -> str:
        """The path of a split's list; empty: there is none."""
        names = (f"{stem}{ending}" for stem in LISTS[split] for ending in (".csv", ".json"))
        return next((self._there[name] for name in names if name in self._there), "")

    def _list(self, split: str) -> SetList:
        if split not in self._lists:
            path, stem = self._address(split), SPLITS[split]
            if not path:
                raise SetError(
                    f"the set {self._name!r} has no {split} split here: put {stem}.csv, {stem}.json or "
                    f"{stem}-*.tar into {self._store.describe(self._folder)}, and the audio into its folder "
                    f"{stem}/ or audio/ (docs/experiments.md)"
                )
            reader = read_csv if path.endswith(".csv") else read_json
            self._lists[split] = reader(self._store, path)
            for note in self._lists[split].notes:
                logger.warning("%s: %s", self._name, note)
        return self._lists[split]

    def _duration(self, path: str) -> float:
        with self._store.reading(path) as audio:
            try:
                return float(soundfile.info(audio).duration)
            except soundfile.LibsndfileError as error:
                raise SetError(
                    f"the audio {self._store.describe(path)} cannot be read ({error}): replace or remove it"
                ) from error
