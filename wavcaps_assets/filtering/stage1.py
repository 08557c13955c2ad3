"""Stage 1 of one source or of several: DuckDB over Arrow tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from wavcaps_assets import schemas
from wavcaps_assets.filtering.rules import DUPLICATE, FORMS, VISIBLE, Rule, rules_of
from wavcaps_assets.filtering.settings import FilterSettings
from wavcaps_assets.stages import Stage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

RAW_COLUMNS = (
    *("clip_id", "source", "title", "description", "tags", "events"),
    *("claimed_duration_s", "licence_class"),
)
AUDIO_COLUMNS = (
    *("clip_id", "duration_s", "silence_share", "clipped_share", "bandwidth_hz", "samples_sha256"),
)
# How often a description is used is counted over every clip that was crawled, whatever its length and
# whether or not its audio is to be had: it tells how its uploader describes, not how long clips are.
CLIPS = """
    with frequent as (
        select source, text, sharing from (
            select source, {form} as text, count(*) as sharing from raw
            where description is not null and list_contains($sources, source)
            group by source, text having count(*) > $max_clips
        ) where regexp_matches(text, $visible)
    ), shared as (
        select place, sharing from raw join frequent on raw.source = frequent.source and {form} = text
    )
    select
        raw.place, raw.clip_id, raw.source, licence_class,
        coalesce(audio.duration_s, raw.claimed_duration_s) as duration_s,
        case when audio.duration_s is null then 'claimed' else 'measured' end as origin,
        silence_share, clipped_share, bandwidth_hz, samples_sha256, sharing,
        coalesce(case when regexp_matches(description, $visible) then description end, title, '') as words,
        audio_dropped.reason as audio_reason, audio_dropped.detail as audio_detail
    from raw
    left join audio using (clip_id)
    left join audio_dropped using (clip_id)
    left join shared using (place)
"""
# The first rule that applies is the one that is named.
JUDGED = """
    create temp table judged as
    select place, clip_id, source, duration_s, {sha256} as samples_sha256, case
        when audio_reason is not null then {{reason: audio_reason, detail: audio_detail}}
        {cases}
    end as verdict
    from ({clips})
"""
UNIQUE = """
    update judged set verdict = {{
        reason: '{duplicate}', detail: 'same samples as ' || first || ', which is kept'
    }}
    from (
        select samples_sha256, min(clip_id) as first from judged
        where verdict is null and samples_sha256 is not null
        group by samples_sha256 having count(*) > 1
    ) as repeated
    where verdict is null and judged.samples_sha256 = repeated.samples_sha256 and clip_id != first
"""
KEPT = "select place, duration_s from judged where verdict is null order by clip_id"
DROPPED = """
    select clip_id, source, 'filtered_clips' as stage, verdict.reason as reason, verdict.detail as detail
    from judged where verdict is not null order by clip_id
"""


def filter_clips(raw: pa.Table, audio: Stage, settings: FilterSettings) -> Stage:
    """Applies stage 1.

    Args:
        raw: all of a source, `schemas.RAW_CLIPS` or its `RAW_COLUMNS`: how often a description is used can
            be told only from the whole.
        audio: what became of the clips' audio, `schemas.AUDIO` or its `AUDIO_COLUMNS`. A clip in neither
            table has no audio yet: its claimed duration counts, and no rule on signals applies to it.

    Returns:
        `schemas.FILTERED_CLIPS`, and every other clip with the rule that dropped it; both by clip_id.
    """
    import duckdb

    with duckdb.connect() as database:
        # Only what is judged goes through the database; the kept rows are taken from where they stand.
        places = pa.array(np.arange(raw.num_rows), pa.int64())
        database.register("raw", raw.select(RAW_COLUMNS).append_column("place", places))
        database.register("audio", audio.kept)
        database.register("audio_dropped", audio.dropped)
        _judge(database, rules_of(settings), settings)
        if settings.drop_exact_duplicates:
            database.execute(UNIQUE.format(duplicate=DUPLICATE))
        passed = database.sql(KEPT).to_arrow_table()
        dropped = database.sql(DROPPED).to_arrow_table()
    columns = schemas.FILTERED_CLIPS.arrow.names
    kept = raw.select([name for name in columns if name != "duration_s"]).take(passed["place"])
    kept = kept.append_column("duration_s", passed["duration_s"]).select(columns)
    return Stage(kept.cast(schemas.FILTERED_CLIPS.arrow), dropped.cast(schemas.DROPPED.arrow))


def _judge(database: DuckDBPyConnection, rules: tuple[Rule, ...], settings: FilterSettings) -> None:
    if settings.english_only:
        database.create_function("foreign_language", _foreign, ["VARCHAR"], "VARCHAR")
    cases = "\n".join(
        f"when {rule.condition} then {{reason: '{rule.name}', detail: {rule.detail}}}" for rule in rules
    )
    parameters = {name: value for rule in rules for name, value in rule.parameters.items()}
    sha256 = "samples_sha256" if settings.drop_exact_duplicates else "null::varchar"
    clips = CLIPS.format(form=FORMS[settings.description_form])
    database.execute(
        JUDGED.format(sha256=sha256, cases=cases, clips=clips),
        {**parameters, "sources": settings.frequency_filtered_sources, "visible": VISIBLE},
    )


def _foreign(text: str) -> str:
    """The language of a text that is certainly not English, else nothing."""
    from wavcaps_assets.postprocessing.language import foreign_language

    return foreign_language(text) or ""
