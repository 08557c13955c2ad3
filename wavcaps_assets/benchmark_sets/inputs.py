"""What training sets are composed of, and compared with: each read once for all sets of a process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.benchmark_sets.benchmarks import benchmark_named
from wavcaps_assets.benchmark_sets.benchmarks.benchmark import BenchmarkClips, NoLists
from wavcaps_assets.benchmark_sets.benchmarks.own_lists import ListedAsOwnSet
from wavcaps_assets.benchmark_sets.evidence import compared, text_keys
from wavcaps_assets.benchmark_sets.exclusion_lists import read_listed
from wavcaps_assets.benchmark_sets.folders import CLIPS, FILE, STAGE, TEXTS, OwnSet
from wavcaps_assets.benchmark_sets.sets import (
    AFTER_STAGE_1,
    AFTER_STAGE_3,
    AUDIO,
    BEFORE_STAGE_1,
    FREESOUND,
)
from wavcaps_assets.tables import DROPPED
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore, set_version_of

WAVCAPS = "wavcaps"
NAMING = ["title", "attribution", "page_url"]
OF_MANIFEST = ["clip_id", "source", "caption", "audio_path", "duration_s", "text", *NAMING]
OF_RAW = ["clip_id", "source", "description", *NAMING]


@dataclass(frozen=True)
class Part:
    """Clips of one origin, such as a split of AudioCaps, or WavCaps.

    Attributes:
        kept: `folders.CLIPS` without the texts.
        dropped: `tables.DROPPED`.
        keys: `evidence.NAMED_KEYS`, the keys in the texts.
        set_version: the version of the set that they are of; None: of none.
    """

    kept: pa.Table
    dropped: pa.Table
    keys: pa.Table
    set_version: str | None = None


class SetInputs:
    """Reads a store. What it has read stays as it was: make another one to see what changed since.

    Args:
        tables: of the store.
    """

    def __init__(self, tables: TableStore) -> None:
        self.tables = tables
        self.own = cache(self._own)
        self.own_part = cache(self._own_part)
        self.benchmark = cache(self._benchmark)
        self.listed = cache(self._listed)
        self._pipeline: tuple[str, Part] | None = None

    def pipeline(self, name: str) -> Part:
        """The clips of WavCaps, or of a stage of FreeSound. Only those asked for last are kept in memory.

        Raises:
            StoreError: a table is missing.
        """
        if self._pipeline is None or self._pipeline[0] != name:
            self._pipeline = None
            self._pipeline = (name, PIPELINE[name](self.tables))
        return self._pipeline[1]

    def _own(self, name: str) -> OwnSet:
        return OwnSet(self.tables.store, name)

    def _own_part(self, name: str, split: str) -> Part:
        """As `OwnSet.read`, with its errors."""
        stage = self.own(name).read(split)
        return _part(stage.kept, stage.dropped)

    def _benchmark(self, name: str) -> BenchmarkClips | None:
        """The clips of a benchmark; None: its lists are not there.

        Raises:
            SetError: a list does not have the expected format.
        """
        benchmark = benchmark_named(name)
        try:
            if isinstance(benchmark, ListedAsOwnSet):
                return benchmark.read_own(self.tables.store, self.own(name))
            return benchmark.read(self.tables.store)
        except NoLists:
            return None

    def _listed(self, name: str) -> pa.Table:
        """As `read_listed`, of one list, with its errors."""
        return read_listed(self.tables.store, [name])


def _wavcaps(tables: TableStore) -> Part:
    wavcaps = tables.read(["wavcaps"], [WHOLE], OF_MANIFEST)
    return _training_part(wavcaps, DROPPED.empty(), set_version_of(wavcaps))


def _after_stage_3(tables: TableStore) -> Part:
    return _training_part(tables.read(["manifest"], [FREESOUND], OF_MANIFEST), DROPPED.empty())


def _before_stage_1(tables: TableStore) -> Part:
    return _described(tables, tables.read([FREESOUND, "raw_clips"], columns=OF_RAW))


def _after_stage_1(tables: TableStore) -> Part:
    return _described(tables, tables.read(["filtered_clips"], [FREESOUND], [*OF_RAW[:3], "title"]))


PIPELINE: Mapping[str, Callable[[TableStore], Part]] = {
    WAVCAPS: _wavcaps,
    BEFORE_STAGE_1: _before_stage_1,
    AFTER_STAGE_1: _after_stage_1,
    AFTER_STAGE_3: _after_stage_3,
}


def _described(tables: TableStore, clips: pa.Table) -> Part:
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
    return _training_part(described, dropped)


def _training_part(clips: pa.Table, dropped: pa.Table, set_version: str | None = None) -> Part:
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
    return _part(pa.table(columns, schema=CLIPS), dropped, set_version)


def _part(clips: pa.Table, dropped: pa.Table, set_version: str | None = None) -> Part:
    keys = text_keys(compared(clips))
    return Part(clips.drop_columns(TEXTS), dropped, keys, set_version)
