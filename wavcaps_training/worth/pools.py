"""The clips of one side of a comparison: what it has, and what it may be trained on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.captioning.texts import clip_text
from wavcaps_assets.store.storage import MissingFile
from wavcaps_assets.tables import MANIFEST
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_assets.tables.set_versions import SetVersions
from wavcaps_training.worth.sides import AFTER_STAGE_1, BEFORE_STAGE_1, COLUMNS, FILTER, RAW, BadSide, Side

logger = logging.getLogger(__name__)

# What is compared, and what training needs; as in `tables.MANIFEST`.
NAMES = [
    *("clip_id", "source", "caption", "audio_path", "duration_s", "samples_sha256", "licence_id"),
    *("gen_ai_preference", "model", "prompt_version", "other_captions", "recording"),
]
POOL = pa.schema([pa.field(name, MANIFEST.arrow.field(name).type) for name in NAMES])
OF_RAW = [
    *("clip_id", "source", "title", "description", "tags", "events", "licence_id", "gen_ai_preference"),
    "recording",
]
OF_AUDIO = ["clip_id", "audio_path", "duration_s", "samples_sha256"]
# Stages that drop clips, each with a partition for each source.
STAGES = ("filtered_clips", "llm_captions", "captions", "manifest")
UPLOADERS = "uploader"
SHOWN = 8


@dataclass(frozen=True)
class Pool:
    """The clips of a side.

    Attributes:
        name: the side, with the full name of its version.
        clips: `POOL`, in the order of the ids: all that its version or stage has, with the side's captions.
            Test clips and references are taken from these.
        trained: `POOL`: what it may be trained on, without what the side leaves out.
        notes: what a reader should know, a sentence each.
    """

    name: str
    clips: pa.Table
    trained: pa.Table
    notes: tuple[str, ...] = ()


def read_pool(side: Side, tables: TableStore) -> Pool:
    """Reads a side.

    Raises:
        BadSide: it names something that its version does not have.
        UnknownSetVersion, DamagedSetVersion, StoreError: its version or a table cannot be read.
    """
    name, clips, notes = _base(side.base, tables)
    if side.captions:
        clips, note = _with_captions(clips, side.captions, tables)
        notes += note
    trained = clips
    for kind, values in side.without:
        if kind == FILTER:
            trained = pa.concat_tables([trained, *(_dropped(value, clips, tables) for value in values)])
            notes += ("Clips that come back have the caption of stage 2, or else their raw text.",)
        else:
            trained = _without(trained, kind, values)
    resolved = Side(name, side.without, side.captions)
    return Pool(str(resolved), clips, trained.sort_by("clip_id"), notes)


def values_of(kind: str, pool: Pool, tables: TableStore) -> list[str]:
    """What a side can be compared without: the values of a kind that its clips have, the most frequent first.

    Args:
        kind: of `sides.KINDS`.
    """
    if kind == FILTER:
        known = _reasons(tables)
        return [value for value in known if len(_dropped(value, pool.clips, tables))]
    counted = pool.clips.group_by(COLUMNS[kind]).aggregate([([], "count_all")])
    order = [("count_all", "descending"), (COLUMNS[kind], "ascending")]
    return [value for value in counted.sort_by(order).column(COLUMNS[kind]).to_pylist() if value]


def _base(base: str, tables: TableStore) -> tuple[str, pa.Table, tuple[str, ...]]:
    if base not in (BEFORE_STAGE_1, AFTER_STAGE_1):
        versions = SetVersions(tables.store)
        version = versions.find(base)
        # Some columns only: the hash of the whole set is not checked.
        clips = versions.read(version, NAMES).cast(POOL)
        return version.name, clips.sort_by("clip_id"), ()
    parts = [_raw(source, tables, base == AFTER_STAGE_1) for source in tables.partitions(["filtered_clips"])]
    if not parts:
        raise MissingFile("there is no table of filtered_clips: run crawl_… and caption_source first")
    what = "before" if base == BEFORE_STAGE_1 else "after"
    note = f"The clips {what} stage 1 have their raw text as caption: description, labels or title."
    return base, pa.concat_tables(parts).sort_by("clip_id"), (note,)


def _raw(source: str, tables: TableStore, filtered: bool) -> pa.Table:
    """The clips of a source that have a text and audio, with the text as caption."""
    raw = tables.read([source, "raw_clips"], columns=OF_RAW)
    if filtered:
        passed = tables.read(["filtered_clips"], [source], ["clip_id"]).column("clip_id").combine_chunks()
        raw = raw.filter(pc.is_in(raw.column("clip_id"), passed))
    return _with_texts(raw, tables.read([source, "audio"], columns=OF_AUDIO))


def _with_texts(raw: pa.Table, audio: pa.Table) -> pa.Table:
    """Raw clips as rows of `POOL`; those without text or audio are left out."""
    texts = pa.array([clip_text(row) for row in raw.to_pylist()], pa.string())
    place = pc.index_in(raw.column("clip_id"), value_set=audio.column("clip_id").combine_chunks())
    kept = pc.and_(pc.is_valid(place), pc.not_equal(texts, ""))
    raw, texts, heard = raw.filter(kept), texts.filter(kept), audio.take(place.filter(kept))
    columns = {
        **{name: raw.column(name) for name in NAMES if name in raw.column_names},
        **{name: heard.column(name) for name in OF_AUDIO[1:]},
        "caption": texts,
        "model": pa.repeat(UPLOADERS, len(raw)),
        "prompt_version": pa.repeat("", len(raw)),
        "other_captions": pa.nulls(len(raw), POOL.field("other_captions").type),
    }
    return pa.table([columns[name] for name in NAMES], NAMES).cast(POOL)


def _with_captions(clips: pa.Table, wanted: str, tables: TableStore) -> tuple[pa.Table, tuple[str, ...]]:
    """Clips with other captions; a clip that has none of these keeps its own."""
    if wanted == RAW:
        parts = [
            _raw(source, tables, filtered=False) for source in pc.unique(clips.column("source")).to_pylist()
        ]
        others = pa.concat_tables(parts).select(["clip_id", "caption"])
    else:
        others = _further(clips, wanted)
    place = pc.index_in(clips.column("clip_id"), value_set=others.column("clip_id").combine_chunks())
    captions = pc.coalesce(others.column("caption").take(place), clips.column("caption"))
    made = pa.repeat(UPLOADERS if wanted == RAW else wanted, len(clips))
    writers = pc.if_else(pc.is_valid(place), made, clips.column("model"))
    for name, column in (("caption", captions), ("model", writers)):
        clips = clips.set_column(NAMES.index(name), POOL.field(name), column)
    kept = pc.sum(pc.is_null(place)).as_py() or 0
    note = (f"{kept:,} clips have no caption of the kind {wanted} and keep their own.",) if kept else ()
    return clips, note


def _further(clips: pa.Table, kind: str) -> pa.Table:
    """The first further caption of a kind, of the clips that have one."""
    listed = clips.column("other_captions").combine_chunks()
    parents, every = pc.list_parent_indices(listed), pc.list_flatten(listed)
    kinds, texts = pc.struct_field(every, "kind"), pc.struct_field(every, "text")
    there = sorted({name for name in kinds.to_pylist() if name})
    if kind not in there:
        raise BadSide(
            f"there are no captions of the kind {kind!r}; there are {', '.join(['raw', *there])} "
            "(WAVCAPS_OTHER_CAPTIONS says which further ones are made)"
        )
    same = pc.equal(kinds, kind)
    found = pa.table({"clip": parents.filter(same), "caption": texts.filter(same)})
    first = found.group_by("clip", use_threads=False).aggregate([("caption", "first")])
    return pa.table(
        {
            "clip_id": clips.column("clip_id").take(first.column("clip")),
            "caption": first.column("caption_first"),
        }
    )


def _without(clips: pa.Table, kind: str, values: Sequence[str]) -> pa.Table:
    column = clips.column(COLUMNS[kind])
    there = pc.unique(column).to_pylist()
    unknown = [value for value in values if value not in there]
    if unknown:
        known = ", ".join(sorted(str(value) for value in there if value)[:SHOWN])
        raise BadSide(f"no clip has the {kind} {', '.join(unknown)}; there are {known or 'none'}")
    return clips.filter(pc.invert(pc.is_in(column, pa.array(values, column.type))))


def _reasons(tables: TableStore) -> list[str]:
    """Why stages dropped clips, the most frequent reason first."""
    dropped = [tables.read_dropped([stage]) for stage in STAGES]
    if tables.exists(["wavcaps"], None):
        dropped.append(tables.read_dropped(["wavcaps"], [WHOLE]))
    counted = pa.concat_tables(dropped).group_by("reason").aggregate([([], "count_all")])
    return (
        counted.sort_by([("count_all", "descending"), ("reason", "ascending")]).column("reason").to_pylist()
    )


def _dropped(reason: str, clips: pa.Table, tables: TableStore) -> pa.Table:
    """The clips that a stage dropped for a reason, that have a text and audio, and are not among `clips`.

    Raises:
        BadSide: no clip was dropped for it.
    """
    known = _reasons(tables)
    if reason not in known:
        raise BadSide(f"no clip was dropped for {reason!r}; the reasons are {', '.join(known) or 'none'}")
    whole = [tables.read_dropped(["wavcaps"], [WHOLE])] if tables.exists(["wavcaps"], None) else []
    found = pa.concat_tables([*(tables.read_dropped([stage]) for stage in STAGES), *whole])
    ids = found.filter(pc.equal(found.column("reason"), reason)).column("clip_id").unique()
    ids = ids.filter(pc.invert(pc.is_in(ids, clips.column("clip_id").combine_chunks())))
    parts = [POOL.empty_table()]
    for source in tables.partitions(["filtered_clips"]):
        raw = tables.read([source, "raw_clips"], columns=OF_RAW)
        raw = raw.filter(pc.is_in(raw.column("clip_id"), ids))
        if not len(raw):
            continue
        back = _with_texts(raw, tables.read([source, "audio"], columns=OF_AUDIO))
        if tables.exists(["llm_captions"], source):
            back = _as_captioned(back, tables.read(["llm_captions"], [source]))
        parts.append(back)
    return pa.concat_tables(parts)


def _as_captioned(clips: pa.Table, llm_captions: pa.Table) -> pa.Table:
    """Clips with the captions of stage 2, where they have one."""
    place = pc.index_in(clips.column("clip_id"), value_set=llm_captions.column("clip_id").combine_chunks())
    for name in ("caption", "model", "prompt_version"):
        column = pc.coalesce(llm_captions.column(name).take(place), clips.column(name))
        clips = clips.set_column(NAMES.index(name), POOL.field(name), column)
    return clips
