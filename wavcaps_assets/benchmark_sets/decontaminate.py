"""Finds the clips of a training set that are in benchmarks, by all evidence, and what was not compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, Field

from wavcaps_assets.benchmark_sets.benchmarks import benchmark_named
from wavcaps_assets.benchmark_sets.benchmarks.benchmark import BenchmarkClips, without_ids
from wavcaps_assets.benchmark_sets.evidence import REVIEW, overlaps_by_id, queries
from wavcaps_assets.benchmark_sets.exclusion_lists import LISTED
from wavcaps_assets.benchmark_sets.heard import Heard, alike, heard, not_heard
from wavcaps_assets.benchmark_sets.inputs import SetInputs
from wavcaps_assets.benchmark_sets.presets import EVALUATED, Preset
from wavcaps_assets.tables import BENCHMARK_CLIPS, OVERLAPS

EXCLUSION_LIST, IN_EVALUATION, IN_BENCHMARK = "exclusion_list", "in_evaluation", "in_benchmark"

# Which evidence excludes a clip, with the reason. Of a clip that is in two splits of the training set,
# `split` is its own, and its clip is removed unless the policy keeps it. A clip is not excluded for being in
# its own benchmark.
EXCLUDING = f"""
    select evidence.*, clips.split, case
            when evidence.evidence = 'list' then '{EXCLUSION_LIST}'
            when evaluated.benchmark is not null then '{IN_EVALUATION}'
            else '{IN_BENCHMARK}'
        end as reason,
        clips.split = 'train' and not (reason = '{IN_EVALUATION}' and $keeps) as removed
    from evidence join clips using (clip_id)
    left join excluded evaluated on evaluated.why = '{IN_EVALUATION}'
        and evaluated.benchmark = evidence.benchmark and evaluated.split = evidence.benchmark_split
    left join excluded preset on preset.why = '{IN_BENCHMARK}' and preset.benchmark <> evidence.source
        and preset.benchmark = evidence.benchmark and preset.split = evidence.benchmark_split
    where evidence.verdict = 'same' and (
        (clips.split = 'train' and (evaluated.benchmark is not null or preset.benchmark is not null))
        or (clips.split = 'validation' and evidence.benchmark_split = 'test' and evidence.evidence = 'id'
            and evaluated.benchmark is not null)
    )
"""
# Of the clips that stay, and of the same splits, what is for people to look at, most alike first.
TO_REVIEW = f"""
    select distinct evidence.* from evidence join clips using (clip_id)
    join excluded on excluded.benchmark = evidence.benchmark and excluded.split = evidence.benchmark_split
    where evidence.verdict = '{REVIEW}' and clips.split = 'train' and (
        excluded.why = '{IN_EVALUATION}' or excluded.benchmark <> evidence.source
    ) and clip_id not in (select clip_id from excluding where removed)
    order by score desc nulls last, clip_id, benchmark_clip_id, evidence
"""
# One row for each clip: the first reason in the order of the list, with its evidence.
WHY = f"""
    with ranked as (
        select *, list_position(['{EXCLUSION_LIST}', '{IN_EVALUATION}', '{IN_BENCHMARK}'], reason) as place,
            replace(key, ' on the list ', ' is on the list ') || case
                when evidence = 'list' then ''
                when benchmark_split = 'none' then ' is also ' || benchmark_clip_id
                else ' is also ' || benchmark_clip_id || ' of the ' || benchmark_split || ' split'
            end as detail
        from excluding where removed
    )
    select clip_id, any_value(source) as source, arg_min(reason, (place, detail)) as reason,
        arg_min(detail, (place, detail)) as detail
    from ranked group by clip_id order by clip_id
"""


class OverlapPolicy(StrEnum):
    """What happens to a training clip that is also a validation or test clip of the same training set."""

    remove_from_train = "remove_from_train"
    """It is removed from the train split, and stays in the evaluation."""
    keep = "keep"
    """It stays in both; the table of overlaps names it."""


class OverlapSettings(BaseModel):
    """How a training set treats clips that are in two of its splits, and which captions it takes."""

    overlaps: OverlapPolicy = Field(
        OverlapPolicy.remove_from_train,
        description="training clips with the id of a validation or test clip of the same set: "
        "`remove_from_train`, or `keep`, which trains on what is tested. Clips of validation and test stay "
        "in both",
    )
    other_captions: list[str] = Field(
        [],
        description="kinds of further captions that WavCaps' train clips get beside their caption, such as "
        "`query`; none: one caption for each clip, as the paper",
    )

    @property
    def stored(self) -> str:
        """As JSON, for the table's file; without what has no effect, as an older version wrote it."""
        return self.model_dump_json(exclude=None if self.other_captions else {"other_captions"})


@dataclass(frozen=True)
class Compared:
    """What a training set was compared with, and what not.

    Attributes:
        benchmark: its name.
        splits: the splits whose clips are excluded.
        clips: how many clips its lists have; None: the lists are not there.
        without_ids: how many of these have neither a FreeSound nor a YouTube id that is known.
        without_audio: how many of these have no audio here.
        by_audio: whether the audio was compared, as it is now.
        notes: what its lists and the comparison of the audio lack, such as a split, a sentence each.
        unheard: how many training clips the comparison of the audio did not cover.
    """

    benchmark: str
    splits: tuple[str, ...]
    clips: int | None
    without_ids: int
    without_audio: int
    by_audio: bool
    notes: tuple[str, ...] = ()
    unheard: int = 0


@dataclass(frozen=True)
class Decontamination:
    """What must leave a training set.

    Attributes:
        excluded: `clip_id`, `source`, `reason` and `detail` of each training clip that is removed.
        exclusions: `tables.OVERLAPS`: all evidence for these.
        in_two_splits: `tables.OVERLAPS`: clips of a split that are also in another one, removed or not.
        to_review: `tables.OVERLAPS`: pairs that people should look at, of training clips that stay.
        compared: with which benchmarks.
    """

    excluded: pa.Table
    exclusions: pa.Table
    in_two_splits: pa.Table
    to_review: pa.Table
    compared: tuple[Compared, ...]


def decontaminate(
    clips: pa.Table,
    inputs: SetInputs,
    preset: Preset | None,
    evaluated_on: Sequence[str],
    policy: OverlapPolicy,
    keys: pa.Table | None = None,
) -> Decontamination:
    """Finds the training clips that are in a benchmark.

    Args:
        clips: `evidence.COMPARED`, of all splits.
        inputs: of the store with the benchmarks' lists, and with evidence by audio, if there is any.
        preset: which benchmarks are excluded; None: only what the set is evaluated on.
        evaluated_on: the benchmarks whose validation and test clips are in the set.
        policy: what happens to clips that are in two splits of the set.
        keys: the `evidence.text_keys` of the clips, if they are known; their texts are not read then.

    Raises:
        SetError: the preset's exclusion list is not there, or a list does not have the expected format.
        StoreError: the store cannot be read.
    """
    splits = {name: set(EVALUATED) for name in evaluated_on}
    for name, excluded in (preset.excluded if preset else {}).items():
        splits.setdefault(name, set()).update(excluded)
    tables, found = inputs.tables, {name: inputs.benchmark(name) for name in splits}
    listed = inputs.listed(preset.released_list) if preset else LISTED.empty_table()
    benchmark_clips = pa.concat_tables(
        [BENCHMARK_CLIPS.empty(), *(one.clips for one in found.values() if one is not None)]
    )
    # Of a clip of the test split, nothing is asked.
    to_compare = _not_of_test(clips)
    by_audio = {
        name: heard(tables, name, None if (read := found[name]) is None else read.clips) for name in splits
    }
    evidence = pa.concat_tables(
        [
            overlaps_by_id(to_compare, benchmark_clips, listed, None if keys is None else _not_of_test(keys)),
            *(one.overlaps for one in by_audio.values() if one is not None),
            *(alike(tables, name) for name in splits),
        ]
    )
    rules = [(IN_EVALUATION, name, split) for name in evaluated_on for split in sorted(EVALUATED)]
    for name, excluded in (preset.excluded if preset else {}).items():
        rules += [(IN_BENCHMARK, name, split) for split in sorted(excluded)]
    there_is_evidence = pc.is_in(to_compare.column("clip_id"), value_set=evidence.column("clip_id").unique())
    of_evidence = to_compare.select(["clip_id", "split"]).filter(there_is_evidence)
    excluding, why, to_review = _excluding(evidence, of_evidence, rules, policy)
    of_set = pc.equal(excluding.column("reason"), IN_EVALUATION)
    removing = excluding.filter(excluding.column("removed"))
    return Decontamination(
        why,
        removing.select(OVERLAPS.arrow.names).cast(OVERLAPS.arrow),
        excluding.filter(of_set).select(OVERLAPS.arrow.names).cast(OVERLAPS.arrow),
        to_review.cast(OVERLAPS.arrow),
        tuple(
            _with_audio(_compared(name, tuple(sorted(splits[name])), found[name]), by_audio[name], to_compare)
            for name in splits
        ),
    )


def _not_of_test(rows: pa.Table) -> pa.Table:
    return rows.filter(pc.not_equal(rows.column("split"), "test"))


def _compared(name: str, splits: tuple[str, ...], found: BenchmarkClips | None) -> Compared:
    if found is None:
        return Compared(name, splits, None, 0, 0, by_audio=False)
    clips, notes = found.clips, benchmark_named(name).lacking(found)
    audio = clips.column("audio_path").null_count
    return Compared(name, splits, len(clips), len(without_ids(clips)), audio, by_audio=False, notes=notes)


def _with_audio(compared: Compared, by_audio: Heard | None, clips: pa.Table) -> Compared:
    if by_audio is None:
        return compared
    notes = (*compared.notes, *not_heard(by_audio, compared.benchmark, clips))
    return replace(compared, by_audio=not by_audio.stale, notes=notes, unheard=by_audio.unheard(clips))


def _excluding(
    evidence: pa.Table, clips: pa.Table, rules: Sequence[tuple[str, str, str]], policy: OverlapPolicy
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """What excludes clips, with `removed`: whether it removes them; why each is removed; what to look at."""
    columns = zip(*rules, strict=True) if rules else ([], [], [])
    arrays = [pa.array(column, pa.string()) for column in columns]
    keeps = policy is OverlapPolicy.keep
    with queries() as database:
        database.register("evidence", evidence)
        database.register("clips", clips)
        database.register("excluded", pa.table(arrays, names=["why", "benchmark", "split"]))
        database.execute(f"create temp table excluding as {EXCLUDING}", {"keeps": keeps})
        excluding = database.sql("select * from excluding order by all").to_arrow_table()
        return excluding, database.sql(WHY).to_arrow_table(), database.sql(TO_REVIEW).to_arrow_table()
