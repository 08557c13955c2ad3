"""The demo's benchmark: clips that `demo/planted.py` makes of the demo's own, to see decontamination work."""

from __future__ import annotations

from wavcaps_assets.benchmark_sets.audio_files import AudioFiles
from wavcaps_assets.benchmark_sets.benchmarks.benchmark import Benchmark, BenchmarkClips
from wavcaps_assets.benchmark_sets.columns import read_list_columns
from wavcaps_assets.store.storage import Store

COLUMNS = {name: (name,) for name in ("file", "split", "change", "caption")}


class DemoSounds(Benchmark):
    """Some of the demo's clips, changed, and sounds that are like them. The label is what was done, and the
    caption is that of the published clip."""

    name = "demo_sounds"
    title = "the demo's benchmark"
    source = "https://github.com/XinhaoMei/WavCaps"
    layout = "clips.csv and audio/"

    def read(self, store: Store) -> BenchmarkClips:
        path = self.first_there(store, ["clips.csv"])
        if path is None:
            raise self.no_lists(store)
        listed = read_list_columns(store, path, COLUMNS, optional=("caption",))
        audio = AudioFiles(store, [f"{self.folder}/audio"])
        clips = self.clips(
            "1",
            {
                "file": listed["file"],
                "split": listed["split"],
                "label": listed["change"],
                "captions": [[caption] if caption else [] for caption in listed["caption"]],
                "audio_path": [audio.find(file) for file in listed["file"]],
            },
        )
        return BenchmarkClips(clips)


BENCHMARK = DemoSounds()
