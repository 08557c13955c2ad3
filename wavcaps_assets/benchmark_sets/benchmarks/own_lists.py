"""The clips of AudioCaps and Clotho, whose lists are also read as training sets."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from wavcaps_assets.benchmark_sets.benchmarks.benchmark import Benchmark, BenchmarkClips
from wavcaps_assets.benchmark_sets.folders import SPLITS, OwnSet
from wavcaps_assets.store.storage import Store


class ListedAsOwnSet(Benchmark):
    """A benchmark whose lists are also read as training sets."""

    def read(self, store: Store) -> BenchmarkClips:
        return self.read_own(store, OwnSet(store, self.name))

    @abstractmethod
    def read_own(self, store: Store, own: OwnSet) -> BenchmarkClips:
        """As `read`, from lists that may have been read before."""


def listed_clips(own: OwnSet) -> tuple[dict[str, list[Any]], list[str]]:
    """All clips that the lists of a set have, in all splits.

    Returns:
        Columns of `tables.BENCHMARK_CLIPS`, and `listed_id`; and which lists are not there, and what the
        others leave out, a sentence each.

    Raises:
        SetError, TarError, StoreError: as `OwnSet.read`.
    """
    names = ("clip_id", "file", "captions", "audio_path", "duration_s", "listed_id", "start_s", "split")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    notes = []
    for split in SPLITS:
        if not own.has(split):
            notes.append(f"The list of its {split} split is not there.")
            continue
        listed = own.list_clips(split)
        notes += own.notes(split)
        for name, values in listed.items():
            columns[name] += values
        columns["split"] += [split] * len(listed["file"])
    return columns, notes
