"""FSD50K: 51,197 labelled sounds of FreeSound, named by their ids (https://zenodo.org/records/4060432)."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from wavcaps_assets.benchmark_sets.audio_files import AudioFiles
from wavcaps_assets.benchmark_sets.benchmarks.benchmark import Benchmark, BenchmarkClips, whole_number
from wavcaps_assets.benchmark_sets.columns import read_list_columns
from wavcaps_assets.benchmark_sets.downloads import PublishedFile
from wavcaps_assets.benchmark_sets.lists import SetError
from wavcaps_assets.store.storage import Store

GROUND_TRUTH = ("FSD50K.ground_truth/", "")
METADATA = ("FSD50K.metadata/", "")
COLUMNS = {"fname": ("fname",), "labels": ("labels",), "split": ("split",)}
SPLITS = {"train": "train", "val": "validation"}
# The split of a clip, where no list says whether it is for training or for validation.
SPLIT_OF = {"dev": "train", "eval": "test"}


class Fsd50k(Benchmark):
    """FSD50K: its ids. The labels are separated by commas, as in its lists."""

    name = "fsd50k"
    title = "FSD50K"
    source = "https://zenodo.org/records/4060432"
    layout = (
        "FSD50K.ground_truth/dev.csv and eval.csv, or FSD50K.metadata/dev_clips_info_FSD50K.json and "
        "eval_clips_info_FSD50K.json, or both"
    )
    official_clips: ClassVar = {"1": 51_197}
    # The lists. The audio is published as split archives, of 30 GB.
    published = (
        PublishedFile(
            "https://zenodo.org/records/4060432/files/FSD50K.ground_truth.zip?download=1",
            "ca27382c195e37d2269c4c866dd73485",
        ),
        PublishedFile(
            "https://zenodo.org/records/4060432/files/FSD50K.metadata.zip?download=1",
            "b9ea0c829a411c1d42adb9da539ed237",
        ),
    )

    def read(self, store: Store) -> BenchmarkClips:
        found: dict[str, dict[str, Any]] = {}
        notes = []
        for part, split in SPLIT_OF.items():
            table = self.first_there(store, (f"{root}{part}.csv" for root in GROUND_TRUTH))
            about = self.first_there(store, (f"{root}{part}_clips_info_FSD50K.json" for root in METADATA))
            if table is None and about is None:
                notes.append(f"Neither list of its {part} set is there.")
            for sound, row in self._labelled(store, table, split) if table else ():
                found[sound] = row
            for sound, row in self._described(store, about) if about else ():
                found[sound] = {"split": split, **found.get(sound, {}), **row}
        if not found:
            raise self.no_lists(store)
        audio = AudioFiles(store, [f"{self.folder}/FSD50K.{part}_audio" for part in SPLIT_OF])
        files = [f"{sound}.wav" for sound in found]
        columns: dict[str, list[Any]] = {
            name: [row.get(name) for row in found.values()]
            for name in ("split", "label", "licence", "author")
        }
        columns |= {"file": files, "freesound_id": list(found)}
        clips = self.clips("1", {**columns, "audio_path": [audio.find(file) for file in files]})
        return BenchmarkClips(clips, tuple(notes))

    def _labelled(self, store: Store, path: str, split: str) -> list[tuple[str, dict[str, Any]]]:
        listed, where = read_list_columns(store, path, COLUMNS, optional=("split",)), store.describe(path)
        return [
            (str(whole_number(sound, "fname", where)), {"split": SPLITS.get(own, split), "label": labels})
            for sound, labels, own in zip(listed["fname"], listed["labels"], listed["split"], strict=True)
        ]

    def _described(self, store: Store, path: str) -> list[tuple[str, dict[str, Any]]]:
        where = store.describe(path)
        try:
            entries = json.loads(store.read_bytes(path))
            return [
                (
                    str(whole_number(sound, "id", where)),
                    {"licence": entry.get("license"), "author": entry.get("uploader")},
                )
                for sound, entry in entries.items()
            ]
        except SetError:
            raise
        except (ValueError, AttributeError) as error:
            raise SetError(
                f"{where} is no list of FSD50K: expected is an object with an object for each FreeSound id, "
                f"with `license` and `uploader` ({type(error).__name__}: {error})"
            ) from error


BENCHMARK = Fsd50k()
