"""Whether the table of a benchmark is what its official lists promise."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from wavcaps_assets.benchmark_sets.benchmarks.benchmark import without_ids
from wavcaps_assets.checks.outcome import CheckOutcome

SPLITS = frozenset({"train", "validation", "test", "none"})


def check_splits(clips: pa.Table) -> CheckOutcome:
    """Whether every clip is in a split that is known, and its fold, if it has one, counts from 1.

    Args:
        clips: `tables.BENCHMARK_CLIPS`.
    """
    unknown = set(clips.column("split").unique().to_pylist()) - SPLITS
    folds = {fold for fold in clips.column("fold").unique().to_pylist() if fold is not None}
    problems = [f"there is no split {split!r}" for split in sorted(unknown)]
    problems += [f"the fold {fold} is less than 1" for fold in sorted(folds) if fold < 1]
    if not len(clips):
        problems.append("there are no clips")
    described = f"{len(clips)} clips in {len(clips.column('split').unique())} splits, {len(folds)} folds"
    return CheckOutcome(not problems, "; ".join(problems) or described, {"folds": len(folds)})


def check_official_size(clips: pa.Table, official: Mapping[str, int]) -> CheckOutcome:
    """Whether there are as many clips as in the official lists of this version.

    Args:
        clips: `tables.BENCHMARK_CLIPS`.
        official: the number of clips by version; empty: not known.
    """
    versions = clips.column("version").unique().to_pylist()
    expected = {number for version, number in official.items() if version in versions}
    if not expected:
        return CheckOutcome(True, f"{len(clips)} clips; how many there should be is not known")
    (number,) = expected
    described = f"{len(clips)} clips of {number} in the official lists"
    return CheckOutcome(len(clips) == number, described, {"clips": len(clips), "official": number})


def check_known_ids(clips: pa.Table) -> CheckOutcome:
    """Whether the FreeSound sound or the YouTube video of every clip is known: others are not found by id.

    Args:
        clips: `tables.BENCHMARK_CLIPS`.
    """
    unknown = without_ids(clips)
    example = f", but not of {unknown.column('clip_id')[0].as_py()}" if len(unknown) else ""
    described = f"the ids of {len(clips) - len(unknown)} of {len(clips)} clips are known{example}"
    return CheckOutcome(not len(unknown), described, {"unknown": len(unknown)})
