"""The labelled sound events of the published clips, as a table of their own."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from wavcaps_assets.tables import STRONG_LABELS

ROWS = """
    select
        clip_id, cast(place - 1 as integer) as event,
        events[place].onset_s as start_s, events[place].offset_s as end_s, events[place].label as label,
        event_mids[place] as mid
    from (select clip_id, events, event_mids, unnest(range(1, len(events) + 1)) as place from published)
    order by clip_id, event
"""


def label_rows(published: pa.Table) -> pa.Table:
    """One row for each labelled event of the published clips. Clips without events have no row.

    Args:
        published: `tables.MANIFEST`, of one source or of the whole set.

    Returns:
        `tables.STRONG_LABELS`.
    """
    import duckdb

    with duckdb.connect() as database:
        database.register("published", published.select(["clip_id", "events", "event_mids"]))
        rows = database.sql(ROWS).to_arrow_table()
    return STRONG_LABELS.check(rows.cast(STRONG_LABELS.arrow))


def frequent_labels(rows: pa.Table, most: int = 20) -> Mapping[str, int]:
    """The classes with the most events, and how many they have.

    Args:
        rows: `tables.STRONG_LABELS`.
        most: how many classes.
    """
    counted = rows.group_by("label").aggregate([([], "count_all")])
    ordered = counted.sort_by([("count_all", "descending"), ("label", "ascending")]).slice(0, most)
    return {row["label"]: row["count_all"] for row in ordered.to_pylist()}
