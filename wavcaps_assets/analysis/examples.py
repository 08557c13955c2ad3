"""Table II: raw texts and their captions."""

from __future__ import annotations

from hashlib import blake2b

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.tables.analysis import EXAMPLES


def sample(clips: pa.Table, count: int | None, seed: int) -> pa.Table:
    """So many clips, drawn by a hash of the seed and their ids: other clips change nothing in a clip's luck.

    Args:
        clips: any table with `clip_id`.
        count: None: all of them, shuffled.
    """
    ids = clips.column("clip_id").to_pylist()
    luck = [blake2b(f"{seed} {clip_id}".encode(), digest_size=8).digest() for clip_id in ids]
    drawn = sorted(range(len(ids)), key=luck.__getitem__)[:count]
    return clips.take(pa.array(drawn, pa.int64()))


def sample_examples(wavcaps: pa.Table, per_source: int, seed: int) -> pa.Table:
    """`tables.analysis.EXAMPLES` from `tables.MANIFEST`: so many clips of each source."""
    clips = wavcaps.select(EXAMPLES.arrow.names).cast(EXAMPLES.arrow)
    sources = sorted(pc.unique(clips.column("source")).to_pylist())
    drawn = [
        sample(clips.filter(pc.equal(clips.column("source"), name)), per_source, seed) for name in sources
    ]
    return EXAMPLES.check(pa.concat_tables([EXAMPLES.empty(), *drawn]))
