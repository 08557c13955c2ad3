"""UrbanSound8K: 8,732 slices of FreeSound's sounds in 10 classes (https://urbansounddataset.weebly.com)."""

from __future__ import annotations

from typing import ClassVar

from wavcaps_assets.benchmark_sets.audio_files import AudioFiles
from wavcaps_assets.benchmark_sets.benchmarks.benchmark import Benchmark, BenchmarkClips, whole_number
from wavcaps_assets.benchmark_sets.columns import number, read_list_columns
from wavcaps_assets.benchmark_sets.downloads import PublishedFile
from wavcaps_assets.store.storage import Store

# An unpacked archive, and its content.
ROOTS = ("", "UrbanSound8K/")
LIST = "metadata/UrbanSound8K.csv"
FOLDS = 10
COLUMNS = {
    "slice_file_name": ("slice_file_name",),
    "fsID": ("fsID",),
    "start": ("start",),
    "end": ("end",),
    "fold": ("fold",),
    # Some copies call it `class_name`, because `class` is a word of many languages.
    "class": ("class", "class_name"),
}


class UrbanSound8k(Benchmark):
    """UrbanSound8K. Its clips are `<FreeSound id>-<class>-<occurrence>-<slice>.wav`."""

    name = "urbansound8k"
    title = "UrbanSound8K"
    source = "https://zenodo.org/records/1203745"
    layout = "metadata/UrbanSound8K.csv and audio/fold1/ to audio/fold10/"
    official_clips: ClassVar = {"1": 8_732}
    official_classes = 10
    # About 6 GB. The checksum is second-hand: public loaders of the set repeat it, and it was not compared
    # with the record's page.
    published = (
        PublishedFile(
            "https://zenodo.org/records/1203745/files/UrbanSound8K.tar.gz?download=1",
            "9aa69802bbf37fb986f71ec1483a196e",
            2**33,
        ),
    )

    def read(self, store: Store) -> BenchmarkClips:
        path = self.first_there(store, (f"{root}{LIST}" for root in ROOTS))
        if path is None:
            raise self.no_lists(store)
        listed = read_list_columns(store, path, COLUMNS)
        where, root = store.describe(path), path.removesuffix(f"/{LIST}")
        audio = AudioFiles(store, [f"{root}/audio/fold{fold}" for fold in range(1, FOLDS + 1)])
        starts = [number(value, "start", where) for value in listed["start"]]
        ends = [number(value, "end", where) for value in listed["end"]]
        clips = self.clips(
            "1",
            {
                "file": listed["slice_file_name"],
                "fold": [whole_number(value, "fold", where) for value in listed["fold"]],
                "label": listed["class"],
                "freesound_id": [str(whole_number(value, "fsID", where)) for value in listed["fsID"]],
                "start_s": starts,
                "audio_path": [audio.find(file) for file in listed["slice_file_name"]],
                "duration_s": [end - start for start, end in zip(starts, ends, strict=True)],
                "licence": ["CC BY-NC 3.0"] * len(starts),
            },
        )
        return BenchmarkClips(clips)


BENCHMARK = UrbanSound8k()
