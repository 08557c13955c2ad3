"""What changed between two states of the set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from wavcaps_assets.tables import MANIFEST, SET_CHANGES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

COMPARED = ("clip_id", "source", "caption", "licence_id", "gen_ai_preference", "samples_sha256")
MADE = ("model", "prompt_version")
# Where a clip's audio is in the store says nothing about the clip.
PLACES = frozenset({"audio_path"})
FURTHER = "other_captions"
KINDS = (
    *("added", "removed", "recaptioned", "other_captions_changed", "relicensed", "preference_changed"),
    *("audio_changed", "details_changed"),
)
STATE = """
    create temp table {name} as
    select {compared}, model || ', prompt ' || left(prompt_version, 8) as made, hash({others}) as others,
        {further} as further, {further_made} as further_made
    from {table}
"""
# The texts of further captions, one a line; and what wrote them.
TEXTS = f"coalesce(array_to_string([one.kind || ': ' || one.text for one in {FURTHER}], chr(10)), '')"
WRITERS = f"hash([[one.model, one.prompt_version] for one in {FURTHER}])"
PAIRS = """
    create temp table pairs as
    select coalesce(one.clip_id, other.clip_id) as clip_id, coalesce(one.source, other.source) as source,
        one.clip_id is null as added, other.clip_id is null as removed,
        one.caption as caption_before, other.caption as caption_after,
        one.made as made_before, other.made as made_after,
        one.licence_id as licence_before, other.licence_id as licence_after,
        one.gen_ai_preference as preference_before, other.gen_ai_preference as preference_after,
        one.samples_sha256 <> other.samples_sha256 as audio_changed,
        one.further as further_before, other.further as further_after,
        one.others <> other.others or one.made <> other.made or one.source <> other.source
            or (one.further = other.further and one.further_made <> other.further_made) as details_changed
    from one full join other on one.clip_id = other.clip_id
    where one.clip_id is null or other.clip_id is null or one.caption <> other.caption
        or one.licence_id <> other.licence_id
        or one.gen_ai_preference is distinct from other.gen_ai_preference
        or one.samples_sha256 <> other.samples_sha256 or one.others <> other.others or one.made <> other.made
        or one.source <> other.source or one.further <> other.further
        or one.further_made <> other.further_made
"""
CHANGES = """
    with stayed as (select * from pairs where not added and not removed)
    select clip_id, source, 'added' as change, null as before, caption_after as after, null as detail
    from pairs where added
    union all
    select clip_id, source, 'removed', caption_before, null, null from pairs where removed
    union all
    select clip_id, source, 'recaptioned', caption_before, caption_after,
        case when made_before <> made_after then made_before || ' → ' || made_after else made_after end
    from stayed where caption_before <> caption_after
    union all
    select clip_id, source, 'other_captions_changed', nullif(further_before, ''), nullif(further_after, ''),
        null
    from stayed where further_before <> further_after
    union all
    select clip_id, source, 'relicensed', licence_before, licence_after, null
    from stayed where licence_before <> licence_after
    union all
    select clip_id, source, 'preference_changed', preference_before, preference_after, null
    from stayed where preference_before is distinct from preference_after
    union all
    select clip_id, source, 'audio_changed', null, null, null from stayed where audio_changed
    union all
    select clip_id, source, 'details_changed', null, null, null
    from stayed where details_changed and caption_before = caption_after
    order by clip_id, change
"""


def diff(before: pa.Table | Path, after: pa.Table | Path) -> pa.Table:
    """The changes from one state of the set to another.

    Columns that only one of them has, which an older version of the project wrote, are not compared.

    Args:
        before, after: `tables.MANIFEST`, or Parquet files of it.

    Returns:
        `tables.SET_CHANGES`, in the order of the clips' ids. It does not say why clips were removed.
    """
    import duckdb

    common = [name for name in _columns(before) if name in _columns(after)]
    others = [name for name in common if name not in (*COMPARED, *MADE, *PLACES, FURTHER)]
    with duckdb.connect(config={"preserve_insertion_order": False}) as database:
        for name, state in (("one", before), ("other", after)):
            _load(database, name, state, others)
        database.execute(PAIRS)
        found = database.sql(CHANGES).to_arrow_table()
    why = pa.nulls(len(found), pa.string())
    return found.append_column("why", why).select(SET_CHANGES.arrow.names).cast(SET_CHANGES.arrow)


def counts_of(changes: pa.Table, column: str = "change") -> dict[str, int]:
    """How many rows have each value, the changes in their usual order, others the most frequent first."""
    counted = Counter(
        {row["values"]: row["counts"] for row in changes.column(column).value_counts().to_pylist()}
    )
    if column == "change":
        return {kind: counted[kind] for kind in KINDS}
    return {name: number for name, number in counted.most_common() if name is not None}


def _columns(state: pa.Table | Path) -> list[str]:
    names = state.column_names if isinstance(state, pa.Table) else pq.read_schema(state).names
    return [name for name in MANIFEST.arrow.names if name in names]


def _load(database: DuckDBPyConnection, name: str, state: pa.Table | Path, others: list[str]) -> None:
    """Makes a table of what is compared. Of most columns, that is a hash of all of them."""
    there = _columns(state)
    if isinstance(state, pa.Table):
        database.register(f"{name}_rows", state)
    else:
        database.read_parquet(str(state)).create_view(f"{name}_rows")
    compared = ", ".join(column if column in there else f"null::varchar as {column}" for column in COMPARED)
    # A state that an older version of the project wrote has no further captions.
    further, writers = (TEXTS, WRITERS) if FURTHER in there else ("''", "hash(null)")
    statement = STATE.format(
        name=name,
        table=f"{name}_rows",
        compared=compared,
        others=", ".join(others) or "1",
        further=further,
        further_made=writers,
    )
    database.execute(statement)
