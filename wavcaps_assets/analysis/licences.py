"""The licences of the published clips."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.crawl.licences import normalise_licence
from wavcaps_assets.tables.analysis import LICENCES

COUNTED = """
    select source, licence_id, count(*) as clips,
        coalesce(sum(duration_s) filter (duration_s >= 0 and isfinite(duration_s)), 0) / 3600 as hours,
        count(distinct author) filter (trim(author) <> '') as authors
    from clips
    group by source, licence_id
    order by source, clips desc, licence_id
"""


def count_licences(wavcaps: pa.Table) -> pa.Table:
    """`tables.analysis.LICENCES` from `tables.MANIFEST`."""
    import duckdb

    with duckdb.connect() as database:
        database.register("clips", wavcaps.select(["source", "licence_id", "duration_s", "author"]))
        counted = database.sql(COUNTED).to_arrow_table().to_pylist()
    return LICENCES.from_rows(
        {**row, "licence_class": normalise_licence(row["licence_id"]).name} for row in counted
    )
