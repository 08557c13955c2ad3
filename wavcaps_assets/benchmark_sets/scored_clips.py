"""Which clips of a benchmark models are scored on, and a hash by which a change of them is seen."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.benchmark_sets.benchmarks.benchmark import NO_SPLIT

TEST = "test"


def scored_split(clips: pa.Table) -> str:
    """The split of a benchmark that models are scored on: the test split, or, if it has no splits, all of it.

    Args:
        clips: its `tables.BENCHMARK_CLIPS`.
    """
    return NO_SPLIT if clips["split"].unique().to_pylist() == [NO_SPLIT] else TEST


def scored_clips(clips: pa.Table) -> pa.Table:
    """The clips of a benchmark that its lists have in that split, with audio or without."""
    return clips.filter(pc.equal(clips["split"], scored_split(clips)))


def clips_sha256(clips: pa.Table) -> str:
    """A hash of the ids, labels and captions of clips, in the order of the ids.

    Args:
        clips: of `tables.BENCHMARK_CLIPS`.
    """
    digest = hashlib.sha256()
    for row in clips.select(["clip_id", "label", "captions"]).sort_by("clip_id").to_pylist():
        texts = (row["clip_id"], row["label"] or "", *row["captions"])
        digest.update("\0".join(texts).encode() + b"\n")
    return digest.hexdigest()
