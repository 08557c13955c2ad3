"""One clip for each sound: a sound that two sources have is published once."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.tables import DROPPED
from wavcaps_assets.tables.stage import Stage

SAME_SOUND = "same_sound"
SAME = f"""
    select copy.clip_id, copy.source, 'wavcaps' as stage, '{SAME_SOUND}' as reason,
        'the same sound as ' || kept.clip_id || ', which is published' as detail
    from clips copy
    join same on copy.source = same.source
    join clips kept on kept.source = same.ids_of and kept.source_id = copy.source_id
    order by copy.clip_id
"""


def publish_each_sound_once(manifest: pa.Table, ids_of: Mapping[str, str]) -> Stage:
    """Leaves out the clips of a source whose sound another source publishes under the same id.

    Args:
        manifest: `tables.MANIFEST` of all sources.
        ids_of: by source, the source whose ids its clips have, which is the one that is kept.

    Returns:
        `tables.MANIFEST`, and the clips that were left out.
    """
    import duckdb

    if not ids_of:
        return Stage(manifest, DROPPED.empty())
    same = pa.table({"source": list(ids_of), "ids_of": list(ids_of.values())})
    with duckdb.connect() as database:
        database.register("clips", manifest.select(["clip_id", "source", "source_id"]))
        database.register("same", same)
        dropped = database.sql(SAME).to_arrow_table().cast(DROPPED.arrow)
    left_out = pc.is_in(manifest.column("clip_id"), value_set=dropped.column("clip_id").combine_chunks())
    return Stage(manifest.filter(pc.invert(left_out)), dropped)
