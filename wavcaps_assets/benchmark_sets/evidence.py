"""Clips that are, or may be, in a benchmark: the evidence by released lists, by ids and by texts.

Every comparison is a join of keys (`keys`): time and memory grow with the number of clips, not of pairs.
Evidence by audio has the same form, `tables.OVERLAPS`, and is found elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.benchmark_sets.candidates import hinted, own
from wavcaps_assets.benchmark_sets.keys import BENCHMARK_KEYS, IDS_OF, OWN_KEYS, TEXT_KEYS
from wavcaps_assets.tables import OVERLAPS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LIST, ID, TEXT = "list", "id", "text"
SAME, REVIEW = "same", "review"
ON_LIST = " on the list "
# What a clip is compared by. `file` is the name in the list of a set of your own; `ids_of` the source whose
# ids the clip has, FreeSound or AudioSet, or null.
COMPARED = pa.schema(
    [(name, pa.string()) for name in ("clip_id", "source", "split", "file", "texts", "ids_of")]
)
# Keys that texts name, and how.
NAMED_KEYS = pa.schema([(name, pa.string()) for name in ("clip_id", "source", "split", "key", "named")])
NOBODY: Mapping[str, str] = {}
# Where a clip's texts name other sounds, of the columns that it may have; and where a clip whose source has
# FreeSound's or YouTube's ids only names its own.
TEXT_COLUMNS = ("title", "text", "description")
OWN_PAGE_COLUMNS = ("attribution", "page_url")
SHOWN_TEXT_CHARS = 200

BY_ID = f"""
    with of_clip as (
        select * from own_keys
        union all
        select * from text_keys
        union all
        select own.clip_id, own.source, own.split, benchmark_keys.key, ''
        from own join benchmark_keys using (clip_id)
    )
    select one.clip_id, any_value(one.source) as source, other.benchmark,
        other.clip_id as benchmark_clip_id, other.split as benchmark_split, '{ID}' as evidence,
        one.key || min(one.named) as key, null::double as score, null::double as offset_s,
        '{SAME}' as verdict
    from of_clip one join benchmark_keys other on one.key = other.key and one.clip_id <> other.clip_id
    group by one.clip_id, one.key, other.benchmark, other.clip_id, other.split
    union all
    select one.clip_id, any_value(one.source), listed.benchmark, listed.entry, listed.benchmark_split,
        '{LIST}', one.key || min(one.named) || '{ON_LIST}' || listed.list, null, null, '{SAME}'
    from of_clip one join listed on one.key = listed.key
    where one.source not in (select distinct benchmark from listed)
    group by one.clip_id, one.key, listed.benchmark, listed.entry, listed.benchmark_split, listed.list
    order by all
"""
WITHOUT_ID = """
    select clip_id from own_ids where clip_id not in (
        select clip_id from own_keys where not starts_with(key, 'file ')
        union all select clip_id from text_keys
    )
    order by all
"""
PLAIN = r"trim(regexp_replace(lower({0}), '[^\p{{L}}\p{{N}}]+', ' ', 'g'))"
# Of a text that many clips of a benchmark have, such as "a dog barks", the first clip: there may be many
# pairs.
BY_TEXT = f"""
    with captions as (
        select clip_id, benchmark, split, unnest(captions) as caption from benchmark_clips
    ),
    of_benchmark as (
        select {PLAIN.format("caption")} as plain, benchmark, min(clip_id) as clip_id,
            arg_min(split, clip_id) as split
        from captions group by plain, benchmark
    ),
    of_clip as (
        select clip_id, source, {PLAIN.format("caption")} as plain from clips where caption is not null
        union
        select clip_id, source, {PLAIN.format("text")} from clips where text is not null
    )
    select one.clip_id, one.source, other.benchmark, other.clip_id as benchmark_clip_id,
        other.split as benchmark_split, '{TEXT}' as evidence,
        'the text "' || substr(plain, 1, {SHOWN_TEXT_CHARS}) || '"' as key, 1.0::double as score,
        null::double as offset_s, '{REVIEW}' as verdict
    from of_clip one join of_benchmark other using (plain)
    where plain <> '' and one.clip_id <> other.clip_id
    order by all
"""


def compared(clips: pa.Table, ids_of: Mapping[str, str] = NOBODY) -> pa.Table:
    """What clips are compared by, from a table with `clip_id` and `source`, and any of its other columns.

    Args:
        clips: `split`, `file` and `texts` are taken where it has them; else its texts are joined.
        ids_of: by source, the source whose ids its clips have, for sources that `keys.IDS_OF` does not name.

    Returns:
        `COMPARED`.
    """
    names, rows = clips.column_names, len(clips)
    texts = [clips.column(name) for name in TEXT_COLUMNS if name in names]
    sources = {**ids_of, **IDS_OF}
    place = pc.index_in(clips.column("source"), value_set=pa.array(list(sources), pa.string()))
    own = pa.array(list(sources.values()), pa.string()).take(place.combine_chunks())
    nothing = pa.scalar(None, pa.string())
    texts += [
        pc.if_else(pc.is_valid(own), nothing, clips.column(name))
        for name in OWN_PAGE_COLUMNS
        if name in names
    ]
    # Of columns without any value, Arrow would make an array without rows.
    texts = [text.cast(pa.string()).fill_null("") for text in texts]
    joined = pc.binary_join_element_wise(*texts, " ") if texts else pa.nulls(rows)
    columns = {
        "split": pa.repeat("train", rows),
        "file": pa.nulls(rows, pa.string()),
        "texts": joined,
        "ids_of": own,
        **{name: clips.column(name) for name in COMPARED.names if name in names},
    }
    return pa.table([columns[name] for name in COMPARED.names], names=COMPARED.names).cast(COMPARED)


def text_keys(clips: pa.Table) -> pa.Table:
    """The keys of other sounds in the texts of clips. They do not depend on what clips are compared with.

    Args:
        clips: `COMPARED`, see `compared`.

    Returns:
        `NAMED_KEYS`.
    """
    return _result((*TEXT_KEYS, "select * from text_keys"), hinted=hinted(clips)).cast(NAMED_KEYS)


def overlaps_by_id(
    clips: pa.Table, benchmark_clips: pa.Table, listed: pa.Table, keys: pa.Table | None = None
) -> pa.Table:
    """Clips that have an id of a benchmark's clip, or of an entry of an exclusion list.

    Args:
        clips: `COMPARED`, see `compared`. The keys of a benchmark's own clips are those of its lists. They
            are not compared with exclusion lists.
        benchmark_clips: `tables.BENCHMARK_CLIPS` of any number of benchmarks.
        listed: `exclusion_lists.LISTED`.
        keys: the `text_keys` of the clips, if they are known; their texts are not read then.

    Returns:
        `tables.OVERLAPS`, all with the verdict `same`.
    """
    found = _result(
        (*OWN_KEYS, BENCHMARK_KEYS, BY_ID),
        own=own(clips, benchmark_clips, listed),
        text_keys=text_keys(clips) if keys is None else keys,
        benchmark_clips=benchmark_clips,
        listed=listed,
    )
    return OVERLAPS.check(found.cast(OVERLAPS.arrow))


def clips_without_id(clips: pa.Table) -> pa.Array:
    """The ids of clips that have no id of FreeSound or YouTube, in their own id or in a text.

    Whether such a clip is in a benchmark cannot be said by ids.

    Args:
        clips: `COMPARED`, see `compared`.
    """
    neutral = clips.filter(pc.is_null(clips["ids_of"]))
    found = _result((*OWN_KEYS, WITHOUT_ID), own=neutral.drop_columns("texts"), text_keys=text_keys(neutral))
    return found["clip_id"].combine_chunks()


def overlaps_by_text(clips: pa.Table, benchmark_clips: pa.Table) -> pa.Table:
    """Clips whose caption or raw text equals a caption of a benchmark, but for case and punctuation.

    Such clips may be the same recording, or two dogs that bark: people look at them.

    Args:
        clips: with `clip_id`, `source`, `caption` and `text`.
        benchmark_clips: `tables.BENCHMARK_CLIPS` of any number of benchmarks.

    Returns:
        `tables.OVERLAPS`, all with the verdict `review`. For each text of a clip, the first clip of each
        benchmark that has it.
    """
    found = _result((BY_TEXT,), clips=clips, benchmark_clips=benchmark_clips)
    return OVERLAPS.check(found.cast(OVERLAPS.arrow))


@contextmanager
def queries() -> Iterator[DuckDBPyConnection]:
    """Gives tables and queries in memory, which nobody else sees."""
    with _database().cursor() as cursor:
        yield cursor


@cache
def _database() -> DuckDBPyConnection:
    """One for a process: to open it takes as long as a query."""
    import duckdb

    return duckdb.connect()


def _result(steps: Sequence[str], **tables: pa.Table) -> pa.Table:
    """The result of the last query."""
    with queries() as database:
        for name, table in tables.items():
            database.register(name, table)
        for query in steps[:-1]:
            database.execute(query)
        return database.sql(steps[-1]).to_arrow_table()
