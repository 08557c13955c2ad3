"""Why clips are no longer in the set, from what each stage dropped."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.tables import DROPPED
from wavcaps_assets.tables.asset_tables import TableStore

# The stages in their order: the first one that dropped a clip says why.
CRAWL_STAGES = ("raw_clips", "audio")
LATER_STAGES = ("filtered_clips", "llm_captions", "captions", "manifest")
STAGES = (*CRAWL_STAGES, *LATER_STAGES, "wavcaps")
# By reason code; then, by stage. What no line names was dropped by a rule of its stage.
BY_REASON = {
    "gone": "gone",
    "audio_gone": "gone",
    "not_listed": "gone",
    "licence_not_allowed": "licence",
    "preference_not_allowed": "preference",
    "exclusion_list": "decontamination",
    "in_evaluation": "decontamination",
    "in_benchmark": "decontamination",
    "same_sound": "same_sound",
    "exact_duplicate": "same_sound",
    "no_audio_yet": "audio",
}
BY_STAGE = {"audio": "audio"}
RULE, SOURCE, UNKNOWN = "rule", "source", "unknown"
FIRST = """
    select clip_id, arg_min(stage, place) as stage, arg_min(reason, place) as reason,
        arg_min(detail, place) as detail
    from (select *, list_position($stages, stage) as place from dropped)
    group by clip_id
"""
WHY = """
    select removed.clip_id, case when not list_contains($sources, removed.source) then $other
            when first.reason is null then $unknown
            else coalesce(by_reason.why, by_stage.why, $rule)
        end as why,
        case when not list_contains($sources, removed.source) then 'its source does not take part any more'
            else first.stage || ': ' || first.reason || coalesce(': ' || first.detail, '') end as detail
    from removed left join first using (clip_id)
    left join by_reason on by_reason.name = first.reason
    left join by_stage on by_stage.name = first.stage
"""


def with_reasons(
    changes: pa.Table, tables: TableStore, dropped: pa.Table, sources: Sequence[str]
) -> pa.Table:
    """Says of each removed clip why it was removed, as far as the store knows.

    Args:
        changes: `tables.SET_CHANGES`.
        tables: the store's tables.
        dropped: what the set itself leaves out, `tables.DROPPED`.
        sources: those that take part.
    """
    import duckdb

    removed = changes.filter(pc.equal(changes.column("change"), "removed")).select(["clip_id", "source"])
    if not len(removed):
        return changes
    found = _dropped(tables, removed, dropped)
    with duckdb.connect() as database:
        for name, table in (("removed", removed), ("dropped", found)):
            database.register(name, table)
        for name, reasons in (("by_reason", BY_REASON), ("by_stage", BY_STAGE)):
            database.register(name, pa.table({"name": list(reasons), "why": list(reasons.values())}))
        first = database.sql(FIRST, params={"stages": list(STAGES)}).to_arrow_table()
        database.register("first", first)
        words = {"sources": list(sources), "other": SOURCE, "unknown": UNKNOWN, "rule": RULE}
        why = database.sql(WHY, params=words).to_arrow_table()
    place = pc.index_in(changes.column("clip_id"), value_set=why.column("clip_id").combine_chunks())
    for name in ("why", "detail"):
        new = pc.coalesce(why.column(name).take(place), changes.column(name))
        changes = changes.set_column(changes.column_names.index(name), changes.schema.field(name), new)
    return changes


def _dropped(tables: TableStore, removed: pa.Table, dropped: pa.Table) -> pa.Table:
    """The rows of all tables of dropped clips that name a removed clip."""
    ids = removed.column("clip_id").combine_chunks()
    rows = [DROPPED.empty(), dropped]
    for source in pc.unique(removed.column("source")).to_pylist():
        rows += [tables.read_dropped([source, stage]) for stage in CRAWL_STAGES]
        rows += [
            tables.read_dropped([stage], [source]) for stage in LATER_STAGES if tables.exists([stage], source)
        ]
    return pa.concat_tables(table.filter(pc.is_in(table.column("clip_id"), value_set=ids)) for table in rows)
