"""AudioCaps: captions of clips of AudioSet, ten seconds of YouTube's videos (https://audiocaps.github.io)."""

from __future__ import annotations

from typing import ClassVar

from wavcaps_assets.benchmark_sets.audio_files import video_of
from wavcaps_assets.benchmark_sets.benchmarks.benchmark import UNKNOWN_VERSION, BenchmarkClips
from wavcaps_assets.benchmark_sets.benchmarks.own_lists import ListedAsOwnSet, listed_clips
from wavcaps_assets.benchmark_sets.folders import AUDIOCAPS, OwnSet
from wavcaps_assets.store.storage import Store

# The captions of the train list (README of https://github.com/cdjkim/audiocaps/tree/master/dataset, and
# of /dataset2.0). The validation and test lists of both versions have the same sizes. Copies lack some clips.
TRAIN_CAPTIONS = {"v1": 49_838, "v2": 91_256}
LEAST_SHARE = 0.85
# Both test lists have 4,875 captions, five for each clip.
TEST_CLIPS = 975


class AudioCaps(ListedAsOwnSet):
    """AudioCaps, v1 or v2. Its clips are `Y<YouTube id>.wav`."""

    name = AUDIOCAPS
    title = "AudioCaps"
    source = "https://github.com/cdjkim/audiocaps"
    layout = "train.csv, val.csv and test.csv, and the audio in train/, val/ and test/, or in audio/"
    official_test_clips: ClassVar = dict.fromkeys(TRAIN_CAPTIONS, TEST_CLIPS)

    def read_own(self, store: Store, own: OwnSet) -> BenchmarkClips:
        columns, notes = listed_clips(own)
        if not columns["file"]:
            raise self.no_lists(store)
        columns["youtube_id"] = [video_of(file) for file in columns["file"]]
        if unknown := columns["youtube_id"].count(None):
            notes.append(f"{unknown} clips have file names without the id of a YouTube video.")
        del columns["listed_id"]
        pairs = zip(columns["split"], columns["captions"], strict=True)
        captions = sum(len(texts) for split, texts in pairs if split == "train")
        version = next(
            (name for name, all_of in TRAIN_CAPTIONS.items() if LEAST_SHARE * all_of <= captions <= all_of),
            UNKNOWN_VERSION,
        )
        return BenchmarkClips(self.clips(version, columns), tuple(notes))


BENCHMARK = AudioCaps()
