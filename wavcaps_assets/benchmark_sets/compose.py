"""Composes the training sets of the paper's experiments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.benchmark_sets.decontaminate import Compared, OverlapSettings, decontaminate
from wavcaps_assets.benchmark_sets.evidence import NOBODY, compared
from wavcaps_assets.benchmark_sets.folders import CLIPS, FILE, STAGE, TEXTS, OwnSet
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
from wavcaps_assets.tables.further_captions import with_further_captions
from wavcaps_assets.tables.stage import Stage

DEFAULTS = OverlapSettings()
WAVCAPS = "wavcaps"
NAMING = ["title", "attribution", "page_url"]
OF_MANIFEST = ["clip_id", "source", "caption", "audio_path", "duration_s", "text", *NAMING]
OF_RAW = ["clip_id", "source", "description", *NAMING]


@dataclass(frozen=True)
class ComposedSet:
    """A composed training set.

    Attributes:
        stage: `tables.TRAINING_MANIFEST`, and every clip that was left out, with the reason.
        overlaps: `tables.OVERLAPS`: the clips that are in two of its splits, removed or not.
        exclusions: `tables.OVERLAPS`: the evidence for every clip that was removed.
        to_review: `tables.OVERLAPS`: pairs that people should look at, of training clips that stay.
        compared: the benchmarks that it was compared with.
    """

    stage: Stage
    overlaps: pa.Table
    exclusions: pa.Table
    to_review: pa.Table
    compared: tuple[Compared, ...]


def compose(
    training_set: TrainingSet,
    tables: TableStore,
    settings: OverlapSettings = DEFAULTS,
    ids_of: Mapping[str, str] = NOBODY,
) -> ComposedSet:
    """Composes a training set.

    Args:
        ids_of: by source, the source whose ids its clips have, for sources that were imported.

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
    evaluated_on = {name: own[name] for name in training_set.evaluated_on}
    found = decontaminate(
        compared(clips, ids_of), tables, training_set.excluded, evaluated_on, settings.overlaps
    )
    dropped.append(_dropped(found.excluded))
    clips = _without(clips, found.excluded)
    manifest = clips.select(TRAINING_MANIFEST.arrow.names).cast(TRAINING_MANIFEST.arrow)
    if settings.other_captions and training_set.pipeline == WAVCAPS:
        published = tables.read(["wavcaps"], [WHOLE], ["clip_id", "other_captions"])
        manifest = with_further_captions(manifest, published, settings.other_captions)
    version = set_version_of(parts[0].kept) if training_set.pipeline is not None else None
    stage = Stage(with_set_version(manifest, version), pa.concat_tables(dropped), settings=settings.stored)
    return ComposedSet(stage, found.in_two_splits, found.exclusions, found.to_review, found.compared)


def _dropped(found: pa.Table) -> pa.Table:
    """Rows of `tables.DROPPED`."""
    stages = pa.repeat(STAGE, len(found))
    return pa.table(
        [
            found.column("clip_id"),
            found.column("source"),
            stages,
            found.column("reason"),
            found.column("detail"),
        ],
        schema=DROPPED.arrow,
    )


def _without(clips: pa.Table, found: pa.Table) -> pa.Table:
    """The clips that were not found. A clip of another split with the same id stays."""
    if not len(found):
        return clips
    ids = found.column("clip_id").combine_chunks()
    train = pc.equal(clips.column("split"), "train")
    return clips.filter(pc.invert(pc.and_(train, pc.is_in(clips.column("clip_id"), value_set=ids))))


def _wavcaps(tables: TableStore) -> Stage:
    wavcaps = tables.read(["wavcaps"], [WHOLE], OF_MANIFEST)
    return Stage(with_set_version(_training_rows(wavcaps), set_version_of(wavcaps)), DROPPED.empty())


def _after_stage_3(tables: TableStore) -> Stage:
    return Stage(_training_rows(tables.read(["manifest"], [FREESOUND], OF_MANIFEST)), DROPPED.empty())


def _before_stage_1(tables: TableStore) -> Stage:
    return _described(tables, tables.read([FREESOUND, "raw_clips"], columns=OF_RAW))


def _after_stage_1(tables: TableStore) -> Stage:
    return _described(tables, tables.read(["filtered_clips"], [FREESOUND], [*OF_RAW[:3], "title"]))


def _described(tables: TableStore, clips: pa.Table) -> Stage:
    """Clips with their raw descriptions as captions, if they have a description and audio."""
    audio = tables.read(list(AUDIO), columns=["clip_id", "audio_path", "duration_s"])
    text = pc.utf8_trim_whitespace(clips.column("description").fill_null(""))
    place = pc.index_in(clips.column("clip_id"), value_set=audio.column("clip_id").combine_chunks())
    without_text, without_audio = pc.equal(text, ""), pc.is_null(place)
    kept = pc.invert(pc.or_(without_text, without_audio))
    described = clips.append_column("caption", text).filter(kept)
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
        TEXTS: compared(clips).column(TEXTS),
    }
    columns = [constant[name] if name in constant else clips.column(name) for name in CLIPS.names]
    return pa.table(columns, schema=CLIPS)


PIPELINE: dict[str, Callable[[TableStore], Stage]] = {
    WAVCAPS: _wavcaps,
    BEFORE_STAGE_1: _before_stage_1,
    AFTER_STAGE_1: _after_stage_1,
    AFTER_STAGE_3: _after_stage_3,
}
