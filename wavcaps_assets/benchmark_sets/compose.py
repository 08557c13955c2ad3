"""Composes the training sets of the paper's experiments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.benchmark_sets.decontaminate import Compared, OverlapSettings, decontaminate
from wavcaps_assets.benchmark_sets.evidence import NOBODY, compared
from wavcaps_assets.benchmark_sets.folders import STAGE
from wavcaps_assets.benchmark_sets.inputs import WAVCAPS, SetInputs
from wavcaps_assets.benchmark_sets.sets import TrainingSet
from wavcaps_assets.tables import DROPPED, TRAINING_MANIFEST
from wavcaps_assets.tables.asset_tables import WHOLE, with_set_version
from wavcaps_assets.tables.further_captions import with_further_captions
from wavcaps_assets.tables.stage import Stage

DEFAULTS = OverlapSettings()


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
    inputs: SetInputs,
    settings: OverlapSettings = DEFAULTS,
    ids_of: Mapping[str, str] = NOBODY,
) -> ComposedSet:
    """Composes a training set.

    Args:
        inputs: of the store; several sets of one process may share what it has read.
        ids_of: by source, the source whose ids its clips have, for sources that were imported.

    Raises:
        SetError: one of your own data sets, or an exclusion list, is not in the store.
        StoreError: a table is missing.
    """
    parts = [inputs.own_part(name, "train") for name in training_set.own]
    if training_set.pipeline is not None:
        parts.insert(0, inputs.pipeline(training_set.pipeline))
    for name in training_set.evaluated_on:
        parts += [inputs.own_part(name, split) for split in ("validation", "test")]
    clips = pa.concat_tables([part.kept for part in parts])
    dropped = [part.dropped for part in parts]
    by, keys = compared(clips, ids_of), pa.concat_tables([part.keys for part in parts])
    found = decontaminate(
        by, inputs, training_set.excluded, training_set.evaluated_on, settings.overlaps, keys
    )
    dropped.append(_dropped(found.excluded))
    clips = _without(clips, found.excluded)
    manifest = clips.select(TRAINING_MANIFEST.arrow.names).cast(TRAINING_MANIFEST.arrow)
    if settings.other_captions and training_set.pipeline == WAVCAPS:
        published = inputs.tables.read(["wavcaps"], [WHOLE], ["clip_id", "other_captions"])
        manifest = with_further_captions(manifest, published, settings.other_captions)
    version = parts[0].set_version if training_set.pipeline is not None else None
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
