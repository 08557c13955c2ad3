"""Composes the training sets of the paper's experiments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from wavcaps_assets.benchmark_sets.folders import read_set
from wavcaps_assets.benchmark_sets.overlap import read_exclusions
from wavcaps_assets.benchmark_sets.sets import (
    AFTER_STAGE_1,
    AFTER_STAGE_3,
    AUDIO,
    AUDIOCAPS,
    BEFORE_STAGE_1,
    CLOTHO,
    FREESOUND,
    TrainingSet,
)
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import TRAINING_MANIFEST
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore


@dataclass(frozen=True)
class ComposedSet:
    """A composed training set.

    Attributes:
        manifest: `tables.TRAINING_MANIFEST`.
        excluded: for each source, how many clips were excluded because they are in a benchmark.
    """

    manifest: pa.Table
    excluded: dict[str, int]


def compose(training_set: TrainingSet, tables: TableStore) -> ComposedSet:
    """Composes a training set.

    Raises:
        SetError: one of your own data sets, or an exclusion list, is not in the store.
        StoreError: a table is missing.
    """
    store: Store = tables.store
    stage = training_set.pipeline
    pipeline = list(PIPELINE[stage](tables)) if stage is not None else []
    train = [*pipeline, *(row for name in training_set.own for row in read_set(store, name, "train"))]
    excluded: dict[str, int] = {}
    if training_set.excluded is not None:
        exclusions = read_exclusions(store, training_set.excluded)
        kept = []
        for row in train:
            # The training clips of AudioCaps and Clotho are never excluded.
            if row["source"] not in (AUDIOCAPS, CLOTHO) and exclusions.exclude(row):
                excluded[row["source"]] = excluded.get(row["source"], 0) + 1
            else:
                kept.append(row)
        train = kept
    evaluated = [
        row
        for name in training_set.evaluated_on
        for split in ("validation", "test")
        for row in read_set(store, name, split)
    ]
    return ComposedSet(TRAINING_MANIFEST.from_rows([*train, *evaluated]), excluded)


def _of_manifest(clips: pa.Table) -> Iterator[dict[str, Any]]:
    for clip in clips.select(["clip_id", "source", "caption", "audio_path", "duration_s"]).to_pylist():
        yield _training_row(clip, clip["caption"])


def _wavcaps(tables: TableStore) -> Iterator[dict[str, Any]]:
    return _of_manifest(tables.read(["wavcaps"], [WHOLE]))


def _after_stage_3(tables: TableStore) -> Iterator[dict[str, Any]]:
    return _of_manifest(tables.read(["manifest"], [FREESOUND]))


def _described(tables: TableStore, clips: pa.Table) -> Iterator[dict[str, Any]]:
    """Clips with their raw descriptions as captions. Clips without a description or audio are left out."""
    audio = tables.read(list(AUDIO), columns=["clip_id", "audio_path", "duration_s"]).to_pylist()
    by_id = {row["clip_id"]: row for row in audio}
    for clip in clips.select(["clip_id", "source", "description"]).to_pylist():
        text = (clip["description"] or "").strip()
        if text and clip["clip_id"] in by_id:
            yield _training_row({**clip, **by_id[clip["clip_id"]]}, text)


def _before_stage_1(tables: TableStore) -> Iterator[dict[str, Any]]:
    return _described(tables, tables.read([FREESOUND, "raw_clips"]))


def _after_stage_1(tables: TableStore) -> Iterator[dict[str, Any]]:
    return _described(tables, tables.read(["filtered_clips"], [FREESOUND]))


def _training_row(clip: dict[str, Any], caption: str) -> dict[str, Any]:
    return {
        "clip_id": clip["clip_id"],
        "source": clip["source"],
        "caption": caption,
        "other_captions": [],
        "audio_path": clip["audio_path"],
        "duration_s": clip["duration_s"],
        "recording": clip["clip_id"],
        "split": "train",
    }


PIPELINE: dict[str, Callable[[TableStore], Iterator[dict[str, Any]]]] = {
    "wavcaps": _wavcaps,
    BEFORE_STAGE_1: _before_stage_1,
    AFTER_STAGE_1: _after_stage_1,
    AFTER_STAGE_3: _after_stage_3,
}
