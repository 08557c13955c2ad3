"""Summaries of the measures of clips, by source and for the whole set."""

from __future__ import annotations

from dataclasses import asdict

import pyarrow as pa

from wavcaps_assets.analysis.paper_figures import UNIQUE_CAPTIONS, WHOLE_SET
from wavcaps_assets.analysis.words import MEANING, Kind
from wavcaps_assets.store.schema import TableSchema
from wavcaps_assets.tables import analysis

# A row for each source, in order, and one for all of them at the end; no row for an empty set.
BY_SOURCE = f"""
    select coalesce(source, '{WHOLE_SET}') as source, {{columns}}
    from {{table}}
    group by grouping sets ((source), ())
    having count(*) > 0
    order by grouping(source), source
"""
SPREAD = """
    avg({measure}) {where} as mean,
    quantile_cont({measure}, 0.1) {where} as p10,
    quantile_cont({measure}, 0.5) {where} as median,
    quantile_cont({measure}, 0.9) {where} as p90
"""
DURATION = "filter (duration_s >= 0 and isfinite(duration_s))"
STAGES = """
    select source, 'before' as stage, text_kind as kind from measures
    union all
    select source, 'after', caption_kind from measures
"""
COPIES = """
    with copies as (
        select coalesce(source, '{whole}') as source, grouping(source) as whole, caption_key,
            count(*) as copies, any_value(caption_words) as words
        from measures
        where caption_key is not null
        group by grouping sets ((source, caption_key), (caption_key))
    )
    select source, sum(copies)::bigint as captions, count(*) as unique,
        count(*) filter (copies = 1) as once,
        count(*) filter (copies > 1) as recurring,
        count(*) filter (copies > $often) as often,
        sum(copies * words) / sum(copies) as mean_words,
        avg(words) filter (copies > $often) as often_mean_words
    from copies
    group by source, whole
    order by whole, source
"""


def summarise_similarity(measures: pa.Table) -> pa.Table:
    """`tables.analysis.JACCARD` from `TEXT_MEASURES`."""
    columns = f"""
        count(jaccard) as clips, count(*) - count(jaccard) as without_words,
        {SPREAD.format(measure="jaccard", where="")},
        avg((jaccard = 0)::int) as share_none, avg((jaccard = 1)::int) as share_all
    """
    return _select(BY_SOURCE.format(columns=columns, table="measures"), analysis.JACCARD, measures=measures)


def summarise_readability(raw_grades: pa.Table, measures: pa.Table) -> pa.Table:
    """`tables.analysis.READABILITY`.

    Args:
        raw_grades: `measures.grade_raw` of all crawled descriptions, published or not, as in Figure 2c.
        measures: `TEXT_MEASURES`, with the grades of the captions.
    """
    query = f"""
        select coalesce(source, '{WHOLE_SET}') as source, stage,
            count(grade) as texts, count(*) - count(grade) as left_out,
            {SPREAD.format(measure="grade", where="")}
        from (
            select source, 'before' as stage, grade from raw_grades
            union all
            select source, 'after', caption_grade from measures
        )
        group by grouping sets ((source, stage), (stage))
        order by grouping(source), source, stage desc
    """
    return _select(query, analysis.READABILITY, raw_grades=raw_grades, measures=measures)


def count_kinds(measures: pa.Table) -> pa.Table:
    """`tables.analysis.ODD_TEXTS` from `TEXT_MEASURES`."""
    meanings = pa.table(
        {
            "kind": [kind.name.lower() for kind in Kind],
            "meaning": [MEANING[kind] for kind in Kind],
        }
    )
    query = f"""
        select source, stage, kind, count(*) as texts, any_value(meaning) as meaning
        from ({STAGES}) join meanings using (kind)
        group by source, stage, kind
        order by source, stage desc, texts desc, kind
    """
    return _select(query, analysis.ODD_TEXTS, measures=measures, meanings=meanings)


def summarise_durations(wavcaps: pa.Table) -> pa.Table:
    """`tables.analysis.DURATIONS` from `tables.MANIFEST`."""
    columns = f"""
        count(*) {DURATION} as clips, count(*) - count(*) {DURATION} as left_out,
        coalesce(sum(duration_s) {DURATION}, 0) / 3600 as hours,
        {SPREAD.format(measure="duration_s", where=DURATION)},
        min(duration_s) {DURATION} as least, max(duration_s) {DURATION} as most
    """
    query = BY_SOURCE.format(columns=columns, table="clips")
    return _select(query, analysis.DURATIONS, clips=wavcaps.select(["source", "duration_s"]))


def count_copies(measures: pa.Table, often: int) -> pa.Table:
    """`tables.analysis.UNIQUE_CAPTIONS` from `TEXT_MEASURES`.

    Captions are equal if they have the same sequence of words (section III.C).

    Args:
        often: a caption with more copies recurs often.
    """
    query = COPIES.format(whole=WHOLE_SET)
    counted = _query(query, {"often": often}, measures=measures)
    rows = counted.to_pylist()
    for row in rows:
        if row["source"] == WHOLE_SET:
            row |= {f"paper_{name}": value for name, value in asdict(UNIQUE_CAPTIONS).items()}
    return analysis.UNIQUE_CAPTIONS.from_rows(rows)


def _select(query: str, schema: TableSchema, **tables: pa.Table) -> pa.Table:
    return schema.check(_query(query, None, **tables).cast(schema.arrow))


def _query(query: str, values: dict[str, object] | None = None, **tables: pa.Table) -> pa.Table:
    import duckdb

    with duckdb.connect() as database:
        for name, table in tables.items():
            database.register(name, table)
        return database.sql(query, params=values).to_arrow_table()
