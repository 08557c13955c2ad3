"""The manifest of a source: clips with caption, audio and credit line; and the set of all sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.store.storage import MissingFile
from wavcaps_assets.tables import DROPPED, MANIFEST, OTHER_CAPTIONS
from wavcaps_assets.tables.asset_tables import SOURCES, TableStore
from wavcaps_assets.tables.columns import CAPTION_KINDS, SITE_FIELD_NAMES
from wavcaps_assets.tables.stage import Stage

# The further captions of each clip, in the order of their kinds.
FURTHER = """
    select clip_id,
        list({'text': caption, 'kind': kind, 'model': model, 'prompt_version': prompt_version}
            order by list_position(kinds, kind) nulls last, kind, number) as other_captions
    from others, (select $kinds as kinds) as known
    group by clip_id
"""
JOINED = f"""
    select
        captions.clip_id, captions.source, raw.source_id, captions.caption, captions.text, raw.title,
        raw.tags, raw.events, audio.audio_path, audio.duration_s, audio.samples_sha256, raw.author,
        raw.licence, raw.licence_id, raw.attribution, raw.page_url,
        coalesce(captions.second_model, llm.model) as model,
        coalesce(captions.second_prompt_version, llm.prompt_version) as prompt_version,
        raw.recording,
        {", ".join(f"raw.{name}" for name in SITE_FIELD_NAMES)},
        raw.event_mids, raw.start_s, further.other_captions
    from captions
    join raw using (clip_id)
    join llm using (clip_id)
    join audio using (clip_id)
    left join further using (clip_id)
    order by captions.clip_id
"""
# A table may be newer than the captions: a clip can leave it between two stages.
LEFT_OUT = """
    select captions.clip_id, captions.source, 'manifest' as stage,
        case when raw.clip_id is null then 'not_listed'
            when llm.clip_id is null then 'no_llm_caption'
            else 'no_audio_yet' end as reason,
        case when raw.clip_id is null then 'its source no longer lists it: raw_clips does not have it'
            when llm.clip_id is null then 'llm_captions is newer than captions, and does not have it'
            else 'its audio has not been fetched' end as detail
    from captions
    left join raw using (clip_id)
    left join llm using (clip_id)
    left join audio using (clip_id)
    where raw.clip_id is null or llm.clip_id is null or audio.clip_id is null
    order by captions.clip_id
"""


def make_manifest(
    captions: pa.Table,
    llm_captions: pa.Table,
    raw: pa.Table,
    audio: pa.Table,
    others: pa.Table | None = None,
) -> Stage:
    """Joins a source's captions with their clips and audio, by `clip_id`.

    Where a second request replaced a caption, the model and the prompt are those of that request.

    Args:
        others: further captions, `tables.OTHER_CAPTIONS`; None: none were made.

    Returns:
        `tables.MANIFEST`, and the captions that have no clip, no answer or no audio any more, or not yet.
    """
    import duckdb

    if others is None:
        others = OTHER_CAPTIONS.empty()
    with duckdb.connect() as database:
        for name, table in (("captions", captions), ("llm", llm_captions), ("raw", raw), ("audio", audio)):
            database.register(name, table)
        database.register("others", others)
        further = database.sql(FURTHER, params={"kinds": list(CAPTION_KINDS)}).to_arrow_table()
        database.register("further", further)
        kept = database.sql(JOINED).to_arrow_table()
        dropped = database.sql(LEFT_OUT).to_arrow_table()
    return Stage(kept.cast(MANIFEST.arrow), dropped.cast(DROPPED.arrow))


def require_all_sources(tables: TableStore, asset_key: Sequence[str], sources: Sequence[str]) -> None:
    """Checks that each source that takes part has its table.

    Raises:
        MissingFile: names the sources without one, and the two ways out.
    """
    there = {*tables.partitions(asset_key)}
    missing = [name for name in sources if name not in there]
    if not missing:
        return
    others = ",".join(name for name in sources if name in there)
    leave_out = (
        f"Or leave them out: set WAVCAPS_SOURCE_NAMES={others}, and reload the code location"
        if others
        else "WAVCAPS_SOURCE_NAMES says which sources take part"
    )
    raise MissingFile(
        f"{'/'.join(asset_key)} has no table of {', '.join(missing)} yet, and the set is made of all sources "
        f"that take part. Run crawl_{missing[0]}, then caption_source with the partition {missing[0]}"
        f"{' (and so on for the others)' if len(missing) > 1 else ''}. {leave_out}"
    )


def words_by_source(manifest: pa.Table) -> dict[str, list[int]]:
    """The length of each caption, in words separated by white space.

    Args:
        manifest: `tables.MANIFEST`.
    """
    words = pc.list_value_length(
        pc.utf8_split_whitespace(pc.utf8_trim_whitespace(manifest.column("caption")))
    )
    sources = manifest.column("source")
    return {
        source: words.filter(pc.equal(sources, source)).to_pylist()
        for source in pc.unique(sources).to_pylist()
    }


@dataclass(frozen=True)
class WholeSet:
    """The manifests of all sources that take part, as one table.

    Attributes:
        table: `tables.MANIFEST`. Its metadata, which the Parquet file keeps, has the names of the sources.
        sources: their names.
        left_out: sources with a manifest in the store that do not take part.
    """

    table: pa.Table
    sources: tuple[str, ...]
    left_out: tuple[str, ...]


def combine(manifest: pa.Table, sources: Sequence[str], tables: TableStore) -> WholeSet:
    """Says which sources the set is made of.

    Args:
        manifest: the manifests of the sources that take part.
        sources: the names of these sources. One without published clips counts too.
        tables: the store's tables.
    """
    others = tuple(name for name in tables.partitions(["manifest"]) if name not in sources)
    return WholeSet(manifest.replace_schema_metadata({SOURCES: ",".join(sources)}), tuple(sources), others)
