"""Stage 2 of an imported source: each clip keeps the caption that it came with."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.tables import DROPPED, LLM_CAPTIONS
from wavcaps_assets.tables.stage import Stage

# The model and the prompt of captions of which the set does not say who wrote them.
UNKNOWN = "imported"
KEPT = f"""
    select
        clips.clip_id, clips.source, coalesce(clips.description, clips.title, '') as text,
        given.captions[1] as caption, coalesce(given.model, '{UNKNOWN}') as model,
        coalesce(given.prompt_version, '{UNKNOWN}') as prompt_version, null as answer_id, 0 as attempts,
        null as events
    from clips join given using (clip_id)
    where len(given.captions) > 0
    order by clips.place
"""
LEFT_OUT = """
    select clips.clip_id, clips.source, 'llm_captions' as stage, 'no_given_caption' as reason,
        'it came without a caption' as detail
    from clips left join given using (clip_id)
    where given.captions is null or len(given.captions) = 0
    order by clips.place
"""


def keep_given(clips: pa.Table, given: pa.Table) -> Stage:
    """The captions that clips came with; of several, the first.

    Args:
        clips: `tables.FILTERED_CLIPS`.
        given: `tables.IMPORTED_CLIPS`.

    Returns:
        `tables.LLM_CAPTIONS`, without events, and the clips that came without a caption.
    """
    import duckdb

    placed = clips.select(["clip_id", "source", "title", "description"])
    placed = placed.append_column("place", pa.array(range(clips.num_rows), pa.int64()))
    with duckdb.connect() as database:
        database.register("clips", placed)
        database.register("given", given.select(["clip_id", "captions", "model", "prompt_version"]))
        kept = database.sql(KEPT).to_arrow_table()
        dropped = database.sql(LEFT_OUT).to_arrow_table()
    return Stage(kept.cast(LLM_CAPTIONS.arrow), dropped.cast(DROPPED.arrow))
