"""Stage 1 of one or several sources, with DuckDB over Arrow tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wavcaps_assets.filtering.rules import DUPLICATE, FORMS, VISIBLE, measures_of, rules_of
from wavcaps_assets.filtering.settings import FilterSettings
from wavcaps_assets.rules.language import foreign_language
from wavcaps_assets.store.schema import SchemaError, TableSchema
from wavcaps_assets.tables import DROPPED, FILTERED_CLIPS
from wavcaps_assets.tables.stage import Stage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SCANNED_ROWS = 122_880  # the size of a row group of DuckDB
RAW_COLUMNS = (
    *("clip_id", "source", "title", "description", "tags", "events"),
    *("claimed_duration_s", "licence_class"),
)
# Descriptions are counted over every crawled clip, with or without audio and of any duration: the count says
# how uploaders describe clips, not how long clips are.
CLIPS = """
    with frequent as (
        -- The detail is made once for a text, and not for each clip that has it.
        select source, text, sharing::varchar || ' clips share it, maximum ' || $max_clips as repeats
        from (
            select source, {form} as text, count(*) as sharing from raw
            where description is not null and list_contains($sources, source)
            group by source, text having count(*) > $max_clips
        ) where regexp_matches(text, $visible)
    )
    select
        raw.place, raw.clip_id as clip_id, licence_class,
        coalesce(audio.duration_s, raw.claimed_duration_s) as duration_s,
        case when audio.duration_s is null then 'claimed' else 'measured' end as origin,
        {measures} repeats,
        coalesce(case when regexp_matches(description, $visible) then description end, title, '') as words,
        audio_dropped.reason as audio_reason, audio_dropped.detail as audio_detail
    from raw
    left join audio using (clip_id)
    left join audio_dropped using (clip_id)
    left join frequent on raw.source = frequent.source and {form} = text
"""
# The first rule that applies gives the reason.
JUDGED = """
    select {columns}, case
        when audio_reason is not null then {{reason: audio_reason, detail: audio_detail}}
        {cases}
    end as verdict
    from ({clips})
"""
UNIQUE = """
    with judged as materialized ({judged}), repeated as (
        select samples_sha256, min(clip_id) as first from judged
        where verdict is null and samples_sha256 is not null
        group by samples_sha256 having count(*) > 1
    )
    select place, duration_s, case when verdict is null and clip_id != first then {{
        reason: '{duplicate}', detail: 'same samples as ' || first || ', which is kept'
    }} else verdict end as verdict
    from judged left join repeated using (samples_sha256)
"""


def audio_columns(settings: FilterSettings) -> list[str]:
    """The columns of `tables.AUDIO` that `filter_clips` needs."""
    return ["clip_id", "duration_s", *measures_of(settings)]


def filter_clips(raw: pa.Table, audio: Stage, settings: FilterSettings) -> Stage:
    """Applies stage 1.

    Args:
        raw: all clips of a source, `tables.RAW_CLIPS` or its `RAW_COLUMNS`: descriptions are counted over
            the whole source.
        audio: the outcome of the clips' audio, `tables.AUDIO` or its `audio_columns`. A clip in neither
            table has no audio yet: its claimed duration counts, and no rule on signals applies to it. A
            clip without a claimed duration is dropped, since a manifest needs a duration.

    Returns:
        `tables.FILTERED_CLIPS`, and the other clips with the rule that dropped them, both in the order of
        `raw`.

    Raises:
        SchemaError: a clip has two rows in one of the audio's tables.
    """
    import duckdb

    # The order of the rows is restored below, by their places.
    with duckdb.connect(config={"preserve_insertion_order": False}) as database:
        # Only what the rules need goes through the database; the rows themselves stay in `raw`.
        placed = raw.append_column("place", pa.array(np.arange(raw.num_rows), pa.int64()))
        database.register("raw", _in_batches(placed))
        database.register("audio", _in_batches(audio.kept))
        database.register("audio_dropped", audio.dropped)
        judged = _judge(database, settings)
    if judged.num_rows != raw.num_rows:
        raise SchemaError(
            "some clips have two rows in a table of the audio: materialize the asset `audio` again; its "
            "check `clip_id_unique` names them"
        )
    # A join can change the order of the rows; each place occurs once.
    places, passes = judged["place"].to_numpy(), judged["verdict"].is_null().to_numpy()
    keeps, durations = np.empty(raw.num_rows, dtype=bool), np.empty(raw.num_rows)
    keeps[places], durations[places] = passes, judged["duration_s"].to_numpy()
    kept = _rows(raw, keeps, FILTERED_CLIPS, {"duration_s": pa.array(durations[keeps])})
    failed = judged["verdict"].filter(pa.array(~passes)).combine_chunks()
    reason, detail = failed.take(pa.array(np.argsort(places[~passes]))).flatten()
    why = {"stage": pa.repeat("filtered_clips", len(reason)), "reason": reason, "detail": detail}
    return Stage(kept, _rows(raw, ~keeps, DROPPED, why))


def _in_batches(table: pa.Table) -> pa.Table:
    """The same rows in batches, which DuckDB's threads scan in parallel."""
    return pa.Table.from_batches(table.to_batches(max_chunksize=SCANNED_ROWS), table.schema)


def _rows(
    raw: pa.Table,
    chosen: NDArray[np.bool_],
    schema: TableSchema,
    others: Mapping[str, pa.Array | pa.ChunkedArray],
) -> pa.Table:
    """The chosen rows in a schema: columns from `others`, which has these rows only, and from `raw`."""
    # A mask is applied chunk by chunk; taking rows by number would copy the chunks into one first.
    mine = raw.select([name for name in schema.arrow.names if name not in others]).filter(pa.array(chosen))
    columns = [others[name] if name in others else mine[name] for name in schema.arrow.names]
    return pa.table(columns, names=schema.arrow.names).cast(schema.arrow)


def _judge(database: DuckDBPyConnection, settings: FilterSettings) -> pa.Table:
    """`place`, `duration_s` and `verdict` of each clip; the verdict is null if the clip passes."""
    rules = rules_of(settings)
    if settings.english_only:
        database.create_function("foreign_language", _foreign, ["VARCHAR"], "VARCHAR")
    cases = "\n".join(
        f"when {rule.condition} then {{reason: '{rule.name}', detail: {rule.detail}}}" for rule in rules
    )
    parameters = {name: value for rule in rules for name, value in rule.parameters.items()}
    unique = settings.drop_exact_duplicates
    statement = JUDGED.format(
        columns="place, duration_s" + (", clip_id, samples_sha256" if unique else ""),
        cases=cases,
        clips=CLIPS.format(
            form=FORMS[settings.description_form],
            measures="".join(f"{name}, " for name in measures_of(settings)),
        ),
    )
    if unique:
        statement = UNIQUE.format(judged=statement, duplicate=DUPLICATE)
    parameters |= {"sources": settings.frequency_filtered_sources, "visible": VISIBLE}
    return database.sql(statement, params=parameters).to_arrow_table()


def _foreign(text: str) -> str:
    """The language of a text that is certainly not English, else an empty string."""
    return foreign_language(text) or ""
