"""The manifest of a source: clips with caption, audio and credit line."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.tables import DROPPED, MANIFEST
from wavcaps_assets.tables.columns import SITE_FIELD_NAMES
from wavcaps_assets.tables.stage import Stage

JOINED = f"""
    select
        captions.clip_id, captions.source, raw.source_id, captions.caption, captions.text, raw.title,
        raw.tags, raw.events, audio.audio_path, audio.duration_s, audio.samples_sha256, raw.author,
        raw.licence, raw.licence_id, raw.attribution, raw.page_url,
        coalesce(captions.second_model, llm.model) as model,
        coalesce(captions.second_prompt_version, llm.prompt_version) as prompt_version,
        {", ".join(f"raw.{name}" for name in SITE_FIELD_NAMES)}
    from captions
    join raw using (clip_id)
    join llm using (clip_id)
    join audio using (clip_id)
    order by captions.clip_id
"""
WITHOUT_AUDIO = """
    select clip_id, source, 'manifest' as stage, 'no_audio_yet' as reason,
        'its audio has not been fetched' as detail
    from captions anti join audio using (clip_id)
    order by clip_id
"""


def make_manifest(captions: pa.Table, llm_captions: pa.Table, raw: pa.Table, audio: pa.Table) -> Stage:
    """Joins a source's captions with their clips and audio, by `clip_id`.

    Where a second request replaced a caption, the model and the prompt are those of that request.

    Returns:
        `tables.MANIFEST`, and the captions whose audio has not been fetched.
    """
    import duckdb

    with duckdb.connect() as database:
        for name, table in (("captions", captions), ("llm", llm_captions), ("raw", raw), ("audio", audio)):
            database.register(name, table)
        kept = database.sql(JOINED).to_arrow_table()
        dropped = database.sql(WITHOUT_AUDIO).to_arrow_table()
    return Stage(kept.cast(MANIFEST.arrow), dropped.cast(DROPPED.arrow))
