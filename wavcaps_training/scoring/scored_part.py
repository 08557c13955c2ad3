"""The part of a benchmark that models are scored on: its test split, as far as its audio is there."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.benchmark_sets.benchmarks import benchmark_named
from wavcaps_assets.benchmark_sets.benchmarks.benchmark import NO_SPLIT
from wavcaps_assets.benchmark_sets.scored_clips import scored_clips, scored_split
from wavcaps_training.evaluation.nothing_to_score import NothingToScore


@dataclass(frozen=True)
class ScoredPart:
    """The clips of a benchmark that can be scored.

    Attributes:
        benchmark: its name.
        version: the version of its lists.
        clips: of `tables.BENCHMARK_CLIPS`, those of the test split, or of all folds, whose audio is there.
        listed: all clips of that split in its lists.
        official: how many clips that split has, by the benchmark's authors; None: not known.
    """

    benchmark: str
    version: str
    clips: pa.Table
    listed: pa.Table
    official: int | None

    @property
    def missing(self) -> int:
        """How many listed clips have no audio here."""
        return self.listed.num_rows - self.clips.num_rows

    def partial(self, scored: int) -> str:
        """A sentence if not all of its clips were scored; empty: all were.

        Args:
            scored: how many clips were scored.
        """
        whole = max(self.official or 0, self.listed.num_rows)
        if scored >= whole:
            return ""
        title = benchmark_named(self.benchmark).title
        return f"partial: {scored:,} of the {whole:,} clips of {title} that are scored"


def scored_part(benchmark: str, clips: pa.Table) -> ScoredPart:
    """The part of a benchmark that is scored: its test split, or, if it has no splits, all of it.

    Args:
        clips: its `tables.BENCHMARK_CLIPS`.

    Raises:
        NothingToScore: there is no clip in it, or none has audio.
    """
    about = benchmark_named(benchmark)
    split = scored_split(clips)
    listed = scored_clips(clips)
    folder = f"the store's folder {about.folder}"
    if not listed.num_rows:
        raise NothingToScore(
            f"the benchmark {benchmark!r} has {clips.num_rows} clips, and none of them is in its test split: "
            f"put {about.layout} into {folder}, and materialize benchmark/{benchmark} again"
        )
    here = listed.filter(pc.is_valid(listed["audio_path"]))
    if not here.num_rows:
        raise NothingToScore(
            f"none of the {listed.num_rows} clips of the benchmark {benchmark!r} has audio here: put its "
            f"audio into {folder} ({about.source}), and materialize benchmark/{benchmark} again"
        )
    version = listed["version"][0].as_py()
    sizes = about.official_clips if split == NO_SPLIT else about.official_test_clips
    # Of an unknown version, the size that all versions have.
    of_all = sizes.values() if len(set(sizes.values())) == 1 else ()
    official = sizes.get(version) or next(iter(of_all), None)
    return ScoredPart(benchmark, version, here, listed, official)
