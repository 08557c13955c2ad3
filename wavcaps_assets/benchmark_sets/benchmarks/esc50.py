"""ESC-50: 2,000 clips of 5 s in 50 classes, cut from sounds of FreeSound (https://github.com/karolpiczak/ESC-50)."""

from __future__ import annotations

from typing import ClassVar

from wavcaps_assets.benchmark_sets.audio_files import AudioFiles
from wavcaps_assets.benchmark_sets.benchmarks.benchmark import Benchmark, BenchmarkClips, whole_number
from wavcaps_assets.benchmark_sets.columns import read_list_columns
from wavcaps_assets.store.storage import Store

# An unpacked archive of the repository, and its content.
ROOTS = ("", "ESC-50-master/", "ESC-50/")
COLUMNS = {name: (name,) for name in ("filename", "fold", "category", "src_file", "esc10")}


class Esc50(Benchmark):
    """ESC-50. Its clips are `<fold>-<FreeSound id>-<take>-<class>.wav`."""

    name = "esc50"
    title = "ESC-50"
    source = "https://github.com/karolpiczak/ESC-50"
    layout = "meta/esc50.csv and audio/"
    official_clips: ClassVar = {"1": 2_000}
    official_classes = 50

    def read(self, store: Store) -> BenchmarkClips:
        path = self.first_there(store, (f"{root}meta/esc50.csv" for root in ROOTS))
        if path is None:
            raise self.no_lists(store)
        listed = read_list_columns(store, path, COLUMNS, optional=("esc10",))
        where, root = store.describe(path), path.removesuffix("/meta/esc50.csv")
        audio = AudioFiles(store, [f"{root}/audio"])
        clips = self.clips(
            "1",
            {
                "file": listed["filename"],
                "fold": [whole_number(value, "fold", where) for value in listed["fold"]],
                "label": listed["category"],
                "freesound_id": [str(whole_number(value, "src_file", where)) for value in listed["src_file"]],
                "audio_path": [audio.find(file) for file in listed["filename"]],
                # The set is CC BY-NC, and the clips of its subset ESC-10 are CC BY.
                "licence": ["CC BY" if value == "True" else "CC BY-NC" for value in listed["esc10"]],
            },
        )
        return BenchmarkClips(clips)


BENCHMARK = Esc50()
