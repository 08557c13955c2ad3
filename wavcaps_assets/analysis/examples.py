"""Table II: raw texts and their captions."""

from __future__ import annotations

from hashlib import blake2b

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.tables.analysis import EXAMPLES


def sample(clips: pa.Table, count: int | None, seed: int) -> pa.Table:
    """A sample of clips, by a hash of the seed and the id. A clip's rank does not depend on other clips.

    Args:
        clips: any table with `clip_id`.
        count: the size of the sample; None: all clips, shuffled.
    """
    ids = clips.column("clip_id").to_pylist()
    ranks = [blake2b(f"{seed} {clip_id}".encode(), digest_size=8).digest() for clip_id in ids]
    chosen = sorted(range(len(ids)), key=ranks.__getitem__)[:count]
    return clips.take(pa.array(chosen, pa.int64()))


def sample_examples(wavcaps: pa.Table, per_source: int, seed: int) -> pa.Table:
    """`tables.analysis.EXAMPLES` from `tables.MANIFEST`: a sample of each source."""
    clips = wavcaps.select(EXAMPLES.arrow.names).cast(EXAMPLES.arrow)
    sources = sorted(pc.unique(clips.column("source")).to_pylist())
    drawn = [
        sample(clips.filter(pc.equal(clips.column("source"), name)), per_source, seed) for name in sources
    ]
    return EXAMPLES.check(pa.concat_tables([EXAMPLES.empty(), *drawn]))
