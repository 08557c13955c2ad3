"""The leak audit of a set: which of its clips are, or may be, in benchmarks, and what was not checked."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.benchmark_sets.benchmarks.benchmark import UNKNOWN_VERSION, Benchmark
from wavcaps_assets.benchmark_sets.evidence import compared, overlaps_by_id, overlaps_by_text
from wavcaps_assets.benchmark_sets.exclusion_lists import (
    ALL,
    CLASSIFICATION,
    EVALUATION,
    LISTED,
    RELEASED,
    lists_of,
    read_listed,
)
from wavcaps_assets.importing.importing import SetTables
from wavcaps_assets.importing.reading import WITHOUT_CAPTION, WITHOUT_DESCRIPTION
from wavcaps_assets.sources.packed_audio import is_packed
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import BENCHMARK_CLIPS, OVERLAPS

logger = logging.getLogger(__name__)

SAME = "same"
EVALUATED = ("validation", "test")
# The splits of entries and clips of which it is not known, or that have none, count as evaluation.
WITHOUT_SPLIT = "none"
KINDS = ("list", "id", "audio", "text")

NOTHING_LISTED = LISTED.empty_table()
WITHOUT_AUDIO = "The audio was not compared: a recording with another id and another text is not found."
# Finds evidence by audio, from the clips of the set and of the benchmark; None: nothing could be compared.
# And what could not, a sentence each.
ByAudio = Callable[[pa.Table, pa.Table], tuple[pa.Table | None, list[str]]]


@dataclass(frozen=True)
class AuditedBenchmark:
    """What a set has in common with one benchmark.

    Attributes:
        name, title, version: of the benchmark.
        clips: how many of its clips the set was compared with.
        by_kind: how many clips of the set each kind of evidence names, of either verdict; kinds that were not
            compared are not among them.
        leaked: how many clips of the set are in the benchmark, by any evidence.
        to_review: how many may be, and are not among these.
        unchecked: what could not be checked, a sentence each.
    """

    name: str
    title: str
    version: str
    clips: int
    by_kind: Mapping[str, int]
    leaked: int
    to_review: int
    unchecked: tuple[str, ...]


@dataclass(frozen=True)
class Audit:
    """The audit of a set.

    Attributes:
        set_name: for people.
        clips: how many clips the set has, by source.
        benchmarks: those that it was compared with.
        overlaps: `tables.OVERLAPS`, all evidence.
        notes: what a person should know of the set itself, a sentence each.
    """

    set_name: str
    clips: Counter[str]
    benchmarks: tuple[AuditedBenchmark, ...]
    overlaps: pa.Table
    notes: tuple[str, ...] = ()

    @property
    def leaks(self) -> bool:
        return any(one.leaked for one in self.benchmarks)


def audit_set(
    built: SetTables,
    set_name: str,
    benchmarks: Sequence[Benchmark],
    store: Store,
    *,
    evaluation_only: bool = False,
    by_audio: ByAudio | None = None,
) -> Audit:
    """Compares a set with benchmarks: by the released exclusion lists, by ids, by texts and by audio.

    Args:
        built: the clips of the set.
        store: the store with the benchmarks' lists, `sets/`.
        evaluation_only: only the validation and test clips of the benchmarks count. Clips of a benchmark
            without splits, such as ESC-50, count in any case.
        by_audio: finds evidence by audio; None: audio is not compared.

    Raises:
        SetError: a benchmark's lists are not there, or do not have the expected format.
        StoreError: the store cannot be read.
    """
    clips = pa.concat_tables(built.tables.values())
    comparable, captioned = _comparable(clips), _captioned(clips)
    audited, tables = [], [OVERLAPS.empty()]
    for benchmark in benchmarks:
        logger.info("comparing with %s", benchmark.title)
        found = benchmark.read(store)
        of_benchmark, unchecked = _chosen(found.clips, evaluation_only), list(benchmark.lacking(found))
        evidence = {"id": overlaps_by_id(comparable, of_benchmark, NOTHING_LISTED)}
        lists = [name for name in lists_of(benchmark.name) if name in _lists(evaluation_only)]
        there = [name for name in lists if store.exists(RELEASED[name].path)]
        if there:
            listed = read_listed(store, there)
            listed = listed.filter(pc.equal(listed.column("benchmark"), benchmark.name))
            evidence["list"] = overlaps_by_id(comparable, BENCHMARK_CLIPS.empty(), listed)
        unchecked += [f"The released list {name}.json is not there." for name in lists if name not in there]
        unchecked += _unknown(of_benchmark)
        if pc.any(pc.greater(pc.list_value_length(of_benchmark.column("captions")), 0)).as_py():
            evidence["text"] = overlaps_by_text(captioned, of_benchmark)
        if by_audio is None:
            unchecked.append(WITHOUT_AUDIO)
        else:
            heard, not_compared = by_audio(clips, of_benchmark)
            unchecked += not_compared
            if heard is not None:
                evidence["audio"] = heard
        tables += evidence.values()
        audited.append(_audited(benchmark, of_benchmark, evidence, unchecked))
    counted = Counter({name: table.num_rows for name, table in built.tables.items()})
    return Audit(set_name, counted, tuple(audited), pa.concat_tables(tables), _notes(built))


def _comparable(clips: pa.Table) -> pa.Table:
    """What ids are looked for in: the clip's id, its texts, its page, and the name of its audio file."""
    files = pa.array(
        [
            PurePosixPath(place).name if place and not is_packed(place) else ""
            for place in clips.column("audio").to_pylist()
        ],
        pa.string(),
    )
    columns = {name: clips.column(name) for name in ("clip_id", "source", "title", "page_url")}
    return compared(pa.table({**columns, "text": clips.column("description"), "description": files}))


def _captioned(clips: pa.Table) -> pa.Table:
    """A row for each caption of a clip, with its raw text; one without a caption for a clip that has none."""
    lists = clips.column("captions").combine_chunks()
    places = pc.list_parent_indices(lists)
    without = pc.indices_nonzero(pc.equal(pc.list_value_length(lists), 0))
    rows = clips.select(["clip_id", "source", "description"]).rename_columns(["clip_id", "source", "text"])
    captions = pc.list_flatten(lists).cast(pa.string())
    with_caption = rows.take(places).append_column("caption", captions)
    none = rows.take(without).append_column("caption", pa.nulls(len(without), pa.string()))
    return pa.concat_tables([with_caption, none])


def _chosen(clips: pa.Table, evaluation_only: bool) -> pa.Table:
    if not evaluation_only:
        return clips
    return clips.filter(pc.is_in(clips.column("split"), pa.array([*EVALUATED, WITHOUT_SPLIT])))


def _lists(evaluation_only: bool) -> tuple[str, ...]:
    return (EVALUATION if evaluation_only else ALL, CLASSIFICATION)


def _unknown(of_benchmark: pa.Table) -> list[str]:
    """What ids cannot show: clips of the benchmark that have none."""
    ids = (of_benchmark.column("freesound_id"), of_benchmark.column("youtube_id"))
    unknown = pc.sum(pc.and_(*(pc.is_null(one) for one in ids))).as_py() or 0
    if not unknown:
        return []
    return [
        f"{unknown:,} of its {len(of_benchmark):,} clips have no known FreeSound or YouTube id: they are "
        "compared by the name of their file, and by their captions."
    ]


def _audited(
    benchmark: Benchmark, of_benchmark: pa.Table, evidence: Mapping[str, pa.Table], unchecked: Sequence[str]
) -> AuditedBenchmark:
    overlaps = pa.concat_tables(evidence.values())
    same = overlaps.filter(pc.equal(overlaps.column("verdict"), SAME))
    leaked = set(same.column("clip_id").to_pylist())
    named = set(overlaps.column("clip_id").to_pylist())
    return AuditedBenchmark(
        benchmark.name,
        benchmark.title,
        of_benchmark.column("version")[0].as_py() if len(of_benchmark) else UNKNOWN_VERSION,
        len(of_benchmark),
        {kind: pc.count_distinct(table.column("clip_id")).as_py() for kind, table in evidence.items()},
        len(leaked),
        len(named - leaked),
        tuple(unchecked),
    )


def _notes(built: SetTables) -> tuple[str, ...]:
    harmless = {WITHOUT_CAPTION, WITHOUT_DESCRIPTION}
    notes = [f"{count:,} {what}." for what, count in built.notes.problems.items() if what not in harmless]
    if repeated := built.repeated.total():
        notes.append(f"{repeated:,} rows repeat the id of an earlier one, and were not compared.")
    return tuple(notes)
