"""The training manifest: a split in which every recording is in one part only, and stays there.

The part of each clip is written down in the table `split_assignments` when the clip is first published, and
kept when the clip leaves the set. So a clip that was once in the test split is never trained on, in this
version of the set or in a later one. Only new knowledge moves clips: two recordings that turn out to be one
both go to `test` if one of them is there, else to `validation`.

The samples and the recordings of each clip are written down too. So a sound whose clip left the set, and that
comes back under another id, goes where it was. Of clips that left before this was written down, only the ids
are known.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, Field

from wavcaps_assets.publishing.components import components
from wavcaps_assets.store.storage import DamagedTable
from wavcaps_assets.tables import SPLIT_ASSIGNMENTS, TRAINING_MANIFEST
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore, set_version_of, with_set_version
from wavcaps_assets.tables.further_captions import with_further_captions
from wavcaps_assets.tables.shrinking import ENOUGH_ROWS, FarFewerRows

logger = logging.getLogger(__name__)

ASSIGNMENTS_KEY = ("split_assignments",)
MANIFEST_KEY = ("training_manifest",)
DRAWN, ADOPTED, JOINED = "drawn", "adopted", "joined"

# The clips of the set, and those that left it, as far as the recordings or their part are known. Samples that
# a clip once had stay its own. A recording that it was of counts until a list or its source says another.
MATERIALS = """
    select clip_id, 'samples:' || samples_sha256 as material from clips
    union
    select clip_id, 'recording:' || recording from recordings
    where clip_id in (select clip_id from clips union select clip_id from assigned)
    union
    select clip_id, material from (select clip_id, unnest(materials) as material from assigned)
    where material like 'samples:%' or (
        clip_id not in (select clip_id from clips) and clip_id not in (select clip_id from recordings)
    )
"""
MATERIALS_OF_CLIP = (
    "select clip_id, list(material order by material) as materials from pairs group by clip_id"
)
# By clip: its group, and the part of the group, if one of its clips has one.
KNOWN = """
    with members as (
        select clip_id, clip_group, split from groups left join assigned using (clip_id)
    )
    select clip_id, clip_group, split as before,
        case when bool_or(split = 'test') over same then 'test'
            when bool_or(split = 'validation') over same then 'validation'
            when bool_or(split = 'train') over same then 'train' end as known,
        min(clip_id) filter (split = 'test') over same as test_clip,
        min(clip_id) filter (split = 'validation') over same as validation_clip,
        min(clip_id) filter (split = 'train') over same as train_clip
    from members
    window same as (partition by clip_group)
"""
# The draw is the first 64 bits of a hash, compared as hexadecimal digits.
DRAW = """
    select clip_id, clip_group, before, coalesce(known, case
        when draw < $test then 'test' when draw < $validation then 'validation' else 'train' end) as split,
        case known when 'test' then test_clip when 'validation' then validation_clip else train_clip
        end as because
    from (select *, substr(sha256($seed || chr(10) || clip_group), 1, 16) as draw from known)
"""


class SplitSettings(BaseModel):
    """The sizes of the parts. The released set has no split, and the benchmarks have their own test sets."""

    validation_share: float = Field(
        0.15, ge=0, lt=1, description="share of the new recordings that go to `validation`"
    )
    test_share: float = Field(0.2, ge=0, lt=1, description="share of the new recordings that go to `test`")
    seed: str = Field(
        "wavcaps",
        description="another seed gives another split. The split of each seed is kept: its clips stay where "
        "they are, so other shares apply only to recordings that are new",
    )
    other_captions: list[str] = Field(
        [],
        description="kinds of further captions that train clips get beside their caption, such as `query`; "
        "none: one caption for each clip, as the paper",
    )


@dataclass(frozen=True)
class Split:
    """The set with its split.

    Attributes:
        manifest: `tables.TRAINING_MANIFEST`.
        assignments: `tables.SPLIT_ASSIGNMENTS` of all seeds, also of clips that left the set.
        moved: the clips of this set that changed their part: `clip_id`, `before`, `split`, and the clip whose
            recording they turned out to share (`because`).
        train_before: how many clips of this set were in the train split.
    """

    manifest: pa.Table
    assignments: pa.Table
    moved: pa.Table
    train_before: int


def read_assignments(tables: TableStore, seed: str) -> pa.Table:
    """The parts of the split that were written down.

    Where there are none, since an older version made the split or the table is damaged, the split of the
    current training manifest is adopted as it is.

    Args:
        seed: the seed under which they are adopted.

    Returns:
        `tables.SPLIT_ASSIGNMENTS`.

    Raises:
        StoreError: a table cannot be read.
    """
    try:
        if tables.exists(ASSIGNMENTS_KEY, None):
            return tables.read(ASSIGNMENTS_KEY, [WHOLE])
    except DamagedTable as error:
        logger.warning("%s. The split of the current training manifest is adopted in its place", error)
    if not tables.exists(MANIFEST_KEY, None):
        return SPLIT_ASSIGNMENTS.empty()
    current = tables.read(MANIFEST_KEY, [WHOLE], ["clip_id", "split"])
    return _rows(current, seed, pa.repeat(ADOPTED, len(current)), None)


def split_by_recording(
    manifest: pa.Table, recordings: pa.Table, settings: SplitSettings, assigned: pa.Table, now: datetime
) -> Split:
    """Assigns every clip a part of the split, the same one for all clips of a recording.

    Two clips are in the same group when they share a recording or have the same samples, directly or
    through other clips. A group keeps the part of its clips. If these are in different parts, all go to
    `test` if one is there, else to `validation`. The part of a new group is drawn by its name and the seed.

    Args:
        manifest: `tables.MANIFEST`.
        recordings: `tables.RECORDINGS`; a clip that is not listed there is a recording by itself.
        assigned: `tables.SPLIT_ASSIGNMENTS`, as it was before.
        now: the time that is written down for new assignments.
    """
    import duckdb

    own = pc.equal(assigned.column("seed"), settings.seed)
    before = assigned.filter(own)
    clips = manifest.select(["clip_id", "samples_sha256"])
    with duckdb.connect() as database:
        for name, table in (("clips", clips), ("recordings", recordings), ("assigned", before)):
            database.register(name, table)
        pairs = database.sql(MATERIALS).to_arrow_table()
        database.register("pairs", pairs)
        materials = database.sql(MATERIALS_OF_CLIP).to_arrow_table()
        database.register("groups", components(pairs))
        database.sql("create temp table known as " + KNOWN)
        test, validation = _digits(settings.test_share), settings.test_share + settings.validation_share
        drawn = {"seed": settings.seed, "test": test, "validation": _digits(validation)}
        groups = database.sql(DRAW, params=drawn).to_arrow_table()
    place = pc.index_in(clips.column("clip_id"), value_set=groups.column("clip_id").combine_chunks())
    here = groups.take(place)
    split = {
        **{
            name: manifest.column(name)
            for name in ("clip_id", "source", "caption", "audio_path", "duration_s")
        },
        "other_captions": pa.array([[]], pa.list_(pa.string())).take(pa.repeat(0, len(manifest))),
        "recording": here.column("clip_group"),
        "split": here.column("split"),
    }
    changed = pc.and_(
        pc.is_valid(here.column("before")), pc.not_equal(here.column("before"), here.column("split"))
    )
    moved = here.filter(changed.fill_null(False)).select(["clip_id", "before", "split", "because"])
    rows = pa.table([split[name] for name in TRAINING_MANIFEST.arrow.names], schema=TRAINING_MANIFEST.arrow)
    rows = with_further_captions(rows, manifest, settings.other_captions)
    return Split(
        manifest=with_set_version(rows, set_version_of(manifest)),
        assignments=pa.concat_tables(
            [
                _with_materials(assigned.filter(pc.invert(own)), materials, only_missing=True),
                _with_materials(_updated(before, groups, settings.seed, now), materials),
            ]
        ),
        moved=moved.sort_by("clip_id"),
        train_before=pc.sum(pc.equal(here.column("before"), "train").fill_null(False)).as_py() or 0,
    )


def require_train(split: Split, smallest_share: float) -> None:
    """Refuses a split that moves most of the train clips to other parts, as a wrong list of recordings does.

    Args:
        smallest_share: the least share of the train clips that must stay (0 to 1).

    Raises:
        FarFewerRows: fewer would stay.
    """
    leaving = pc.sum(pc.equal(split.moved.column("before"), "train")).as_py() or 0
    if split.train_before < ENOUGH_ROWS or leaving <= (1 - smallest_share) * split.train_before:
        return
    example = split.moved.slice(0, 1).to_pylist()[0]
    raise FarFewerRows(
        f"{leaving:,} of {split.train_before:,} train clips would leave the train split for good, because "
        f"they share a recording with clips there, such as {example['clip_id']} with "
        f"{example['because']}. That is more often a fault in the list of recordings "
        "(WAVCAPS_RECORDINGS_URL) than the truth. The split in the store is kept."
    )


def _digits(share: float) -> str:
    """The share of all 64-bit numbers, as hexadecimal digits. `g` is beyond all of them."""
    return f"{round(share * 2**64):016x}" if share < 1 else "g"


def _updated(before: pa.Table, groups: pa.Table, seed: str, now: datetime) -> pa.Table:
    """The assignments of a seed: those that stay as they are, and new and changed ones."""
    same = pc.equal(groups.column("before"), groups.column("split")).fill_null(False)
    new = groups.filter(pc.invert(same))
    stays = before.filter(
        pc.invert(pc.is_in(before.column("clip_id"), new.column("clip_id").combine_chunks()))
    )
    origin = pc.if_else(pc.is_valid(new.column("because")), JOINED, DRAWN)
    return pa.concat_tables([stays, _rows(new, seed, origin, now)])


def _with_materials(assignments: pa.Table, materials: pa.Table, only_missing: bool = False) -> pa.Table:
    """The assignments with what is known now of the clips' samples and recordings.

    Args:
        assignments: of one seed or several.
        materials: `clip_id` and `materials`.
        only_missing: whether what is written down already stays, as it does for other seeds.
    """
    place = pc.index_in(assignments.column("clip_id"), value_set=materials.column("clip_id").combine_chunks())
    names = SPLIT_ASSIGNMENTS.arrow.names
    known = materials.column("materials").take(place)
    if only_missing:
        known = pc.coalesce(assignments.column("materials"), known)
    return assignments.set_column(names.index("materials"), "materials", known).cast(SPLIT_ASSIGNMENTS.arrow)


def _rows(clips: pa.Table, seed: str, origin: pa.Array, now: datetime | None) -> pa.Table:
    """Rows of `tables.SPLIT_ASSIGNMENTS`."""
    nothing = pa.nulls(len(clips), pa.string())
    columns = {
        "clip_id": clips.column("clip_id"),
        "seed": pa.repeat(seed, len(clips)),
        "split": clips.column("split"),
        "origin": origin,
        "moved_from": clips.column("before") if "before" in clips.column_names else nothing,
        "because": clips.column("because") if "because" in clips.column_names else nothing,
        "materials": pa.nulls(len(clips), pa.list_(pa.string())),
        "since": pa.array(np.repeat(np.datetime64(now and now.replace(tzinfo=None), "us"), len(clips))),
    }
    table = pa.table([columns[name] for name in SPLIT_ASSIGNMENTS.arrow.names], SPLIT_ASSIGNMENTS.arrow.names)
    return table.cast(SPLIT_ASSIGNMENTS.arrow)
