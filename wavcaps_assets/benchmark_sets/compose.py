"""Composes the training sets of the paper's experiments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.benchmark_sets.folders import CLIPS, FILE, LISTED_ID, STAGE, OwnSet
from wavcaps_assets.benchmark_sets.overlap import (
    EXCLUSION_LIST,
    IN_EVALUATION,
    OverlapPolicy,
    OverlapSettings,
    in_two_splits,
    on_list,
    read_exclusions,
)
from wavcaps_assets.benchmark_sets.sets import (
    AFTER_STAGE_1,
    AFTER_STAGE_3,
    AUDIO,
    BEFORE_STAGE_1,
    FREESOUND,
    TrainingSet,
)
from wavcaps_assets.tables import DROPPED, TRAINING_MANIFEST
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore, set_version_of, with_set_version
from wavcaps_assets.tables.stage import Stage

DEFAULTS = OverlapSettings()
COMPARED = ["clip_id", "source", "split", FILE, LISTED_ID]
OF_MANIFEST = ["clip_id", "source", "caption", "audio_path", "duration_s"]


@dataclass(frozen=True)
class ComposedSet:
    """A composed training set.

    Attributes:
        stage: `tables.TRAINING_MANIFEST`, and every clip that was left out, with the reason.
        overlaps: the clips that are in two splits, removed or not, see `overlap.in_two_splits`.
    """

    stage: Stage
    overlaps: pa.Table


def compose(
    training_set: TrainingSet, tables: TableStore, settings: OverlapSettings = DEFAULTS
) -> ComposedSet:
    """Composes a training set.

    Raises:
        SetError: one of your own data sets, or an exclusion list, is not in the store.
        StoreError: a table is missing.
    """
    own = {name: OwnSet(tables.store, name) for name in (*training_set.own, *training_set.evaluated_on)}
    parts = [own[name].read("train") for name in training_set.own]
    if training_set.pipeline is not None:
        parts.insert(0, PIPELINE[training_set.pipeline](tables))
    for name in training_set.evaluated_on:
        parts += [own[name].read(split) for split in ("validation", "test")]
    clips = pa.concat_tables([part.kept for part in parts])
    dropped = [part.dropped for part in parts]
    if training_set.excluded is not None:
        found = on_list(clips.select(COMPARED), read_exclusions(tables.store, training_set.excluded))
        dropped.append(_dropped(found, EXCLUSION_LIST, f" is on the list {training_set.excluded}"))
        clips = _without(clips, found)
    overlaps = in_two_splits(clips.select(COMPARED))
    if settings.overlaps is OverlapPolicy.remove_from_train:
        found = overlaps.filter(pc.equal(overlaps.column("split"), "train"))
        where = pc.binary_join_element_wise(
            " is also ", found.column("same_as"), " of the ", found.column("other_split"), " split", ""
        )
        dropped.append(_dropped(found, IN_EVALUATION, where))
        clips = _without(clips, found)
    manifest = clips.select(TRAINING_MANIFEST.arrow.names).cast(TRAINING_MANIFEST.arrow)
    version = set_version_of(parts[0].kept) if training_set.pipeline is not None else None
    stage = Stage(
        with_set_version(manifest, version), pa.concat_tables(dropped), settings=settings.model_dump_json()
    )
    return ComposedSet(stage, overlaps)


def _dropped(found: pa.Table, reason: str, why: str | pa.ChunkedArray) -> pa.Table:
    """Rows of `tables.DROPPED`. The detail is the key by which a clip was found, and why that matters."""
    detail = pc.binary_join_element_wise(found.column("key"), why, "")
    columns = [found.column("clip_id"), found.column("source"), pa.repeat(STAGE, len(found))]
    columns += [pa.repeat(reason, len(found)), detail]
    return pa.table(columns, schema=DROPPED.arrow)


def _without(clips: pa.Table, found: pa.Table) -> pa.Table:
    """The clips that were not found. A clip of another split with the same id stays."""
    ids = found.column("clip_id").combine_chunks()
    train = pc.equal(clips.column("split"), "train")
    return clips.filter(pc.invert(pc.and_(train, pc.is_in(clips.column("clip_id"), value_set=ids))))


def _wavcaps(tables: TableStore) -> Stage:
    wavcaps = tables.read(["wavcaps"], [WHOLE], OF_MANIFEST)
    return Stage(with_set_version(_training_rows(wavcaps), set_version_of(wavcaps)), DROPPED.empty())


def _after_stage_3(tables: TableStore) -> Stage:
    return Stage(_training_rows(tables.read(["manifest"], [FREESOUND], OF_MANIFEST)), DROPPED.empty())


def _before_stage_1(tables: TableStore) -> Stage:
    return _described(
        tables, tables.read([FREESOUND, "raw_clips"], columns=["clip_id", "source", "description"])
    )


def _after_stage_1(tables: TableStore) -> Stage:
    clips = tables.read(["filtered_clips"], [FREESOUND], ["clip_id", "source", "description"])
    return _described(tables, clips)


def _described(tables: TableStore, clips: pa.Table) -> Stage:
    """Clips with their raw descriptions as captions, if they have a description and audio."""
    audio = tables.read(list(AUDIO), columns=["clip_id", "audio_path", "duration_s"])
    text = pc.utf8_trim_whitespace(clips.column("description").fill_null(""))
    place = pc.index_in(clips.column("clip_id"), value_set=audio.column("clip_id").combine_chunks())
    without_text, without_audio = pc.equal(text, ""), pc.is_null(place)
    kept = pc.invert(pc.or_(without_text, without_audio))
    described = clips.select(["clip_id", "source"]).append_column("caption", text).filter(kept)
    for name in ("audio_path", "duration_s"):
        described = described.append_column(name, audio.column(name).take(place.filter(kept)))
    reasons = pc.if_else(without_text, "no_text", "no_audio_yet")
    left_out = clips.select(["clip_id", "source"]).append_column("reason", reasons).filter(pc.invert(kept))
    unknown = pa.nulls(len(left_out), pa.string())
    columns = [left_out.column("clip_id"), left_out.column("source"), pa.repeat(STAGE, len(left_out))]
    dropped = pa.table([*columns, left_out.column("reason"), unknown], schema=DROPPED.arrow)
    return Stage(_training_rows(described), dropped)


def _training_rows(clips: pa.Table) -> pa.Table:
    """Rows of the train split, with one caption each."""
    rows = len(clips)
    constant = {
        "other_captions": pa.array([[]], pa.list_(pa.string())).take(pa.repeat(0, rows)),
        "recording": clips.column("clip_id"),
        "split": pa.repeat("train", rows),
        FILE: pa.nulls(rows, pa.string()),
        LISTED_ID: pa.nulls(rows, pa.string()),
    }
    columns = [constant[name] if name in constant else clips.column(name) for name in CLIPS.names]
    return pa.table(columns, schema=CLIPS)


PIPELINE: dict[str, Callable[[TableStore], Stage]] = {
    "wavcaps": _wavcaps,
    BEFORE_STAGE_1: _before_stage_1,
    AFTER_STAGE_1: _after_stage_1,
    AFTER_STAGE_3: _after_stage_3,
}
