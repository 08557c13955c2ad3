"""The part of a benchmark that models are scored on: its test split, as far as its audio is there."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.benchmark_sets.benchmarks import benchmark_named
from wavcaps_assets.benchmark_sets.benchmarks.benchmark import NO_SPLIT
from wavcaps_training.evaluation.nothing_to_score import NothingToScore

TEST = "test"


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
    splits = clips["split"].unique().to_pylist()
    split = NO_SPLIT if splits == [NO_SPLIT] else TEST
    listed = clips.filter(pc.equal(clips["split"], split))
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


def clips_sha256(clips: pa.Table, clip_ids: Sequence[str]) -> str:
    """A hash of the ids, labels and captions of clips, in the order of the ids.

    Args:
        clips: of `tables.BENCHMARK_CLIPS`.
        clip_ids: which of them.
    """
    some = clips.filter(pc.is_in(clips["clip_id"], pa.array(clip_ids, pa.string())))
    digest = hashlib.sha256()
    for row in some.select(["clip_id", "label", "captions"]).sort_by("clip_id").to_pylist():
        texts = (row["clip_id"], row["label"] or "", *row["captions"])
        digest.update("\0".join(texts).encode() + b"\n")
    return digest.hexdigest()
