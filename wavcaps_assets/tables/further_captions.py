"""Further captions of the published set, as a training manifest has them."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

KINDS = "select distinct unnest(other_captions).kind from published"
OF_KINDS = """
    select clip_id, [one.text for one in other_captions if list_contains($kinds, one.kind)] as texts
    from published
    where len(texts) > 0
"""


def with_further_captions(manifest: pa.Table, published: pa.Table, kinds: Sequence[str]) -> pa.Table:
    """Gives the training clips of the set their further captions of some kinds.

    Those of validation and test have one caption: it is what models are scored by.

    Args:
        manifest: `tables.TRAINING_MANIFEST`. Clips that are not in the set keep what they have.
        published: `tables.MANIFEST`, or its columns `clip_id` and `other_captions`.
        kinds: names of kinds; none: nothing is added.

    Raises:
        ValueError: no clip of the set has a caption of one of these kinds.
    """
    if not kinds:
        return manifest
    # Slow to import, and not needed to load the definitions.
    import duckdb

    with duckdb.connect() as database:
        database.register("published", published.select(["clip_id", "other_captions"]))
        there = {kind for (kind,) in database.sql(KINDS).fetchall()}
        if unknown := sorted({*kinds} - there):
            raise ValueError(
                f"no clip of the set has a further caption of the kind {', '.join(unknown)}; there are "
                f"{', '.join(sorted(there)) or 'none'} (WAVCAPS_OTHER_CAPTIONS says which are made)"
            )
        found = database.sql(OF_KINDS, params={"kinds": list(kinds)}).to_arrow_table()
    place = pc.index_in(manifest.column("clip_id"), value_set=found.column("clip_id").combine_chunks())
    here = pc.and_(pc.is_valid(place), pc.equal(manifest.column("split"), "train"))
    name = "other_captions"
    field = manifest.schema.field(name)
    texts = found.column("texts").cast(field.type).take(place)
    column = pc.if_else(here, texts, manifest.column(name))
    return manifest.set_column(manifest.column_names.index(name), field, column)
