"""Stage 1: what is too short or says nothing of its sound (section III.B, Pre-Filtering)."""

from __future__ import annotations

import pyarrow as pa
from pydantic import BaseModel, Field

from wavcaps_assets import schemas
from wavcaps_assets.stages import Stage


class FilterSettings(BaseModel):
    """The thresholds of stage 1; the defaults are the paper's (section III.B)."""

    min_duration_s: float = Field(1.0, ge=0, description="shorter clips are dropped (s); the paper: 1")
    max_clips_per_description: int = Field(
        5, ge=1, description="a description shared by more clips is dropped; the paper: 5"
    )
    frequency_filtered_sources: list[str] = Field(
        ["freesound"],
        description="sources whose frequent descriptions are dropped; the paper: FreeSound",
    )


# The first rule that applies is the one that is named.
RULES = """
    with frequent as (
        select description, count(*) as clips from raw where description is not null group by description
    ), judged as (
        select
            raw.clip_id, raw.source, raw.title, raw.description, raw.tags, raw.events,
            coalesce(audio.duration_s, raw.claimed_duration_s) as duration_s,
            audio_dropped.reason as audio_reason,
            audio_dropped.detail as audio_detail,
            frequent.clips as sharing
        from raw
        left join audio using (clip_id)
        left join audio_dropped using (clip_id)
        left join frequent on raw.description = frequent.description
    )
    select *, case
        when audio_reason is not null then audio_reason
        when duration_s < $min_duration_s then 'too_short'
        when sharing > $max_clips and list_contains($sources, source) then 'frequent_description'
    end as reason
    from judged
    order by clip_id
"""
DETAILS = """
    select clip_id, source, 'filtered_clips' as stage, reason, case reason
        when 'too_short' then format('{:.3f} s', duration_s)
        when 'frequent_description' then format('{} clips share it', sharing)
        else audio_detail
    end as detail
    from judged where reason is not null
"""


def filter_clips(raw: pa.Table, audio: Stage, settings: FilterSettings) -> Stage:
    """Applies stage 1.

    Args:
        raw: all of a source, `schemas.RAW_CLIPS`: how often a description is used can be told only
            from the whole.
        audio: what became of the clips' audio. A clip in neither table has no audio yet: its
            claimed duration counts.

    Returns:
        `schemas.FILTERED_CLIPS`, and every other clip with the rule that dropped it.
    """
    import duckdb

    with duckdb.connect() as database:
        database.register("raw", raw)
        database.register("audio", audio.kept)
        database.register("audio_dropped", audio.dropped)
        judged = database.sql(
            RULES,
            params={
                "min_duration_s": settings.min_duration_s,
                "max_clips": settings.max_clips_per_description,
                "sources": settings.frequency_filtered_sources,
            },
        ).to_arrow_table()
        database.register("judged", judged)
        columns = ", ".join(schemas.FILTERED_CLIPS.arrow.names)
        kept = database.sql(f"select {columns} from judged where reason is null").to_arrow_table()
        dropped = database.sql(DETAILS).to_arrow_table()
    return Stage(kept.cast(schemas.FILTERED_CLIPS.arrow), dropped.cast(schemas.DROPPED.arrow))
