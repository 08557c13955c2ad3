"""VGGSound: about 200,000 clips of 10 s of YouTube's videos (https://www.robots.ox.ac.uk/~vgg/data/vggsound)."""

from __future__ import annotations

import re
from typing import ClassVar

from wavcaps_assets.benchmark_sets.audio_files import AudioFiles
from wavcaps_assets.benchmark_sets.benchmarks.benchmark import Benchmark, BenchmarkClips, whole_number
from wavcaps_assets.benchmark_sets.columns import read_headless_rows
from wavcaps_assets.benchmark_sets.lists import SetError
from wavcaps_assets.store.storage import Store

LIST = "vggsound.csv"
COLUMNS = ("YouTube ID", "start seconds", "label", "train/test split")
# The lists of the repository of the paper's code: `<id>_<start>.mp4,label`.
SPLIT_LISTS = {"train": "train.csv", "test": "test.csv"}
SPLIT_COLUMNS = ("<id>_<start>.mp4", "label")
FILE = re.compile(r"([A-Za-z0-9_-]{11})_(\d{6})\.mp4")
VIDEO = re.compile(r"[A-Za-z0-9_-]{11}")
# Lines of the repository's test.csv.
TEST_CLIPS = 15_446
PLACES = ("audio", "video", "train", "test", "audio/train", "audio/test", "video/train", "video/test")


class VggSound(Benchmark):
    """VGGSound. Its clips are `<YouTube id>_<start, 6 digits>`, with the ending of a video or of audio."""

    name = "vggsound"
    title = "VGGSound"
    source = "https://www.robots.ox.ac.uk/~vgg/data/vggsound/"
    layout = (
        "vggsound.csv (no header; id, start, label, split), or test.csv and train.csv of its repository, and "
        "the clips in audio/ or video/"
    )
    # The paper says 310 (section IV.C); the published lists have 309.
    official_classes = 309
    class_list = "stat.csv"

    official_test_clips: ClassVar = {"1": TEST_CLIPS}

    def read(self, store: Store) -> BenchmarkClips:
        path = self.first_there(store, [LIST])
        rows = self._whole(store, path) if path else self._by_split(store)
        audio = AudioFiles(store, [self.folder, *(f"{self.folder}/{place}" for place in PLACES)])
        files = [f"{video}_{start:06d}.mp4" for video, start, _, _ in rows]
        clips = self.clips(
            "1",
            {
                "file": files,
                "split": [split for _, _, _, split in rows],
                "label": [label for _, _, label, _ in rows],
                "youtube_id": [video for video, _, _, _ in rows],
                "start_s": [float(start) for _, start, _, _ in rows],
                "audio_path": [audio.find(file) for file in files],
            },
        )
        without = sorted({"train", "test"} - {split for _, _, _, split in rows})
        return BenchmarkClips(
            clips, tuple(f"The list of its {split} split is not there." for split in without)
        )

    def _whole(self, store: Store, path: str) -> list[tuple[str, int, str, str]]:
        where, rows = store.describe(path), []
        for video, start, label, split in read_headless_rows(store, path, COLUMNS):
            if not VIDEO.fullmatch(video):
                raise SetError(
                    f"{where}: {video!r} is not the id of a YouTube video, of 11 characters. Expected are "
                    f"the columns {', '.join(COLUMNS)}, without a header line"
                )
            if split not in SPLIT_LISTS:
                raise SetError(f"{where}: the column {COLUMNS[3]!r} is train or test, not {split!r}")
            rows.append((video, whole_number(start, COLUMNS[1], where), label, split))
        return rows

    def _by_split(self, store: Store) -> list[tuple[str, int, str, str]]:
        rows = []
        paths = {split: self.first_there(store, [name]) for split, name in SPLIT_LISTS.items()}
        if not any(paths.values()):
            raise self.no_lists(store)
        for split, path in paths.items():
            for file, label in read_headless_rows(store, path, SPLIT_COLUMNS) if path else ():
                match = FILE.fullmatch(file)
                if match is None:
                    raise SetError(
                        f"{store.describe(path or '')}: {file!r} is not a clip. Expected are the columns "
                        f"{', '.join(SPLIT_COLUMNS)}, without a header line"
                    )
                rows.append((match[1], int(match[2]), label, split))
        return rows


BENCHMARK = VggSound()
