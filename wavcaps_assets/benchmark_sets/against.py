"""What a written training set is compared with, when a check looks at it again."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.benchmark_sets.benchmarks import MODULES, benchmark_named
from wavcaps_assets.benchmark_sets.benchmarks.benchmark import BenchmarkClips, NoLists
from wavcaps_assets.benchmark_sets.evidence import SAME
from wavcaps_assets.benchmark_sets.exclusion_lists import LISTED, read_listed
from wavcaps_assets.benchmark_sets.heard import Heard, heard
from wavcaps_assets.benchmark_sets.presets import EVALUATED
from wavcaps_assets.benchmark_sets.sets import AFTER_STAGE_3, FREESOUND, TrainingSet
from wavcaps_assets.tables import BENCHMARK_CLIPS, OVERLAPS
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore

TEXTS = ["clip_id", "title", "text", "attribution", "page_url"]


@dataclass(frozen=True)
class Against:
    """What a training set is compared with.

    Attributes:
        benchmark: its name.
        splits: the splits whose clips must not be in the training set.
        clips: `tables.BENCHMARK_CLIPS`; None: its lists are not there.
        listed: `exclusion_lists.LISTED` for this benchmark.
        overlaps: `tables.OVERLAPS` by audio, for these splits and with the verdict `same`.
        own: `tables.BENCHMARK_CLIPS` of the benchmarks whose train split is in the training set.
        notes: what its lists lack, such as a split, a sentence each.
        by_audio: the comparison of the audio; None: there is none.
    """

    benchmark: str
    splits: tuple[str, ...]
    clips: pa.Table | None
    listed: pa.Table
    overlaps: pa.Table
    own: pa.Table
    notes: tuple[str, ...] = ()
    by_audio: Heard | None = None


def against(tables: TableStore, training_set: TrainingSet, benchmark: str, keeps_evaluation: bool) -> Against:
    """What a training set is compared with.

    Args:
        keeps_evaluation: whether it keeps clips that it is also evaluated on.

    Raises:
        SetError: a list does not have the expected format.
    """
    preset = training_set.excluded
    splits = set(training_set.excluded_splits(benchmark))
    if keeps_evaluation and benchmark in training_set.evaluated_on:
        splits -= EVALUATED
    listed = LISTED.empty_table()
    if preset is not None and benchmark in preset.excluded:
        listed = read_listed(tables.store, [preset.released_list])
        listed = listed.filter(pc.equal(listed.column("benchmark"), benchmark))
    read = _read(tables, benchmark)
    overlaps, by_audio = OVERLAPS.empty(), heard(tables, benchmark, None if read is None else read.clips)
    if by_audio is not None:
        found = by_audio.overlaps
        same = pc.equal(found.column("verdict"), SAME)
        of_splits = pc.is_in(found.column("benchmark_split"), value_set=pa.array(sorted(splits), pa.string()))
        overlaps = found.filter(pc.and_(same, of_splits))
    own = [_read(tables, name) for name in training_set.own if name in MODULES and name != benchmark]
    return Against(
        benchmark,
        tuple(sorted(splits)),
        None if read is None else read.clips,
        listed,
        overlaps,
        pa.concat_tables([BENCHMARK_CLIPS.empty(), *(one.clips for one in own if one is not None)]),
        () if read is None else benchmark_named(benchmark).lacking(read),
        by_audio,
    )


def texts_of(tables: TableStore, training_set: TrainingSet) -> pa.Table:
    """The texts of the pipeline's clips: `clip_id`, `title`, `text`, `attribution` and `page_url`."""
    if training_set.pipeline is None:
        return pa.table({name: pa.array([], pa.string()) for name in TEXTS})
    if training_set.pipeline == "wavcaps":
        return tables.read(["wavcaps"], [WHOLE], TEXTS)
    if training_set.pipeline == AFTER_STAGE_3:
        return tables.read(["manifest"], [FREESOUND], TEXTS)
    raw = ["clip_id", "title", "description", "attribution", "page_url"]
    return tables.read([FREESOUND, "raw_clips"], columns=raw).rename_columns(TEXTS)


def _read(tables: TableStore, benchmark: str) -> BenchmarkClips | None:
    try:
        return benchmark_named(benchmark).read(tables.store)
    except NoLists:
        return None
