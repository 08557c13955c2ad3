"""What is counted in the clips of a version, for the summary of training content."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.rules.languages import foreign_languages
from wavcaps_assets.show.text import shown
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore

HOURS_BY_DOMAIN = """
    select lower(regexp_extract(page_url, '^https?://(?:[^/?#@]*@)?([^/?#:]+)', 1)) as domain,
        count(*) as clips,
        coalesce(sum(duration_s) filter (duration_s >= 0 and isfinite(duration_s)), 0) / 3600 as hours
    from clips where page_url is not null group by domain having domain <> '' order by hours desc, domain
"""
OF_CLIPS = """
    select min(first_crawled_at) as first, max(crawled_at) as last
    from raw where clip_id in (select clip_id from clips)
"""
OF_AUDIO = "select max(fetched_at) as last from audio where clip_id in (select clip_id from clips)"


def collection_period(store: Store, clips: pa.Table) -> tuple[datetime | None, datetime | None]:
    """When the first of the clips was crawled, and the last one or its audio; None: not known."""
    import duckdb

    tables, first, last = TableStore(store), [], []
    for source in pc.unique(clips.column("source")).to_pylist():
        raw = tables.read([source, "raw_clips"], None, ["clip_id", "first_crawled_at", "crawled_at"])
        audio = tables.read([source, "audio"], None, ["clip_id", "fetched_at"])
        with duckdb.connect() as database:
            database.execute("set timezone = 'UTC'")
            for name, table in (("clips", clips.select(["clip_id"])), ("raw", raw), ("audio", audio)):
                database.register(name, table)
            crawled = database.sql(OF_CLIPS).to_arrow_table().to_pylist()[0]
            fetched = database.sql(OF_AUDIO).to_arrow_table().to_pylist()[0]
        first.append(crawled["first"])
        last += [crawled["last"], fetched["last"]]
    known_first, known_last = [day for day in first if day], [day for day in last if day]
    return min(known_first, default=None), max(known_last, default=None)


def hours_by_domain(clips: pa.Table) -> list[str]:
    import duckdb

    with duckdb.connect() as database:
        database.register("clips", clips.select(["page_url", "duration_s"]))
        rows = database.sql(HOURS_BY_DOMAIN).to_arrow_table().to_pylist()
    without = clips.column("page_url").null_count
    found = [f"{shown(row['domain'])}: {row['hours']:,.2f} hours, {row['clips']:,} clips" for row in rows]
    return [*found, *([f"without a page: {without:,} clips"] if without else [])] or ["none"]


def languages(clips: pa.Table) -> list[str]:
    """The languages, as far as the identifier is sure; short texts count as English."""
    found = []
    for column, title in (("caption", "captions"), ("text", "raw texts")):
        counted = Counter(foreign_languages(clips.column(column).to_pylist()))
        english = counted.pop(None, 0)
        others = "; ".join(f"{name or ''}: {number:,}" for name, number in counted.most_common())
        found.append(f"{title}: English or not identified: {english:,}; others: {others or 'none'}")
    return found


def categories(clips: pa.Table) -> dict[str, str]:
    """Hours and clips by the categories of FreeSound, which no other source has."""
    named = pc.fill_null(clips.column("category"), "without a category")
    return {
        shown(name): line for name, line in sizes_by(clips.append_column("named", named), "named").items()
    }


def sizes_by(clips: pa.Table, column: str) -> dict[str, str]:
    """Hours and clips by the values of a column."""
    return {
        value: f"{hours_of(rows):,.2f} hours, {len(rows):,} clips"
        for value in pc.unique(clips.column(column)).sort().to_pylist()
        for rows in [clips.filter(pc.equal(clips.column(column), value))]
    }


def hours_of(clips: pa.Table) -> float:
    duration = clips.column("duration_s")
    known = duration.filter(pc.and_(pc.is_finite(duration), pc.greater_equal(duration, 0)))
    return (pc.sum(known).as_py() or 0.0) / 3600


def words_of(texts: pa.ChunkedArray) -> int:
    words = pc.list_value_length(pc.utf8_split_whitespace(pc.utf8_trim_whitespace(texts)))
    return int(pc.sum(words).as_py() or 0)
