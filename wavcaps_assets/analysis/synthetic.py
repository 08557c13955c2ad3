"""The share of AI-made sounds by month of upload."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from wavcaps_assets.tables.analysis import SYNTHETIC_SOUNDS

# A month of a partition may be a month of another one too, since partitions need not be months.
COUNTED = """
    select left(created, 7) as month, count(*) as clips, count(synthetic) as known,
        count(*) filter (synthetic) as synthetic
    from clips
    where regexp_matches(created, '^[0-9]{4}-[0-9]{2}')
    group by month
"""
ADDED_UP = """
    select source, month, sum(clips)::bigint as clips, sum(known)::bigint as known,
        case when sum(known) > 0 then sum(synthetic)::bigint end as synthetic,
        case when sum(known) > 0 then sum(synthetic) / sum(known) end as share
    from counted
    where source in (select source from counted group by source having sum(known) > 0)
    group by source, month
    order by source, month
"""


def count_synthetic(raw_by_source: Mapping[str, Iterable[pa.Table]]) -> pa.Table:
    """`tables.analysis.SYNTHETIC_SOUNDS`, from all crawled sounds, published or not.

    A source that never says which sounds are AI-made has no rows, and neither has a sound without a date.

    Args:
        raw_by_source: for each crawled source, by its name, tables with the columns `created` and
            `synthetic` of `tables.RAW_CLIPS`, read one at a time.
    """
    import duckdb

    with duckdb.connect() as database:
        database.execute(
            "create table counted "
            "(month varchar, clips bigint, known bigint, synthetic bigint, source varchar)"
        )
        for source, tables in raw_by_source.items():
            for table in tables:
                database.register("clips", table)
                database.execute(
                    f"insert into counted select *, $source from ({COUNTED})", {"source": source}
                )
        return SYNTHETIC_SOUNDS.check(database.sql(ADDED_UP).to_arrow_table().cast(SYNTHETIC_SOUNDS.arrow))
