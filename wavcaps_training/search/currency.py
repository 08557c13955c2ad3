"""Whether an index is that of the published set and of the checkpoint."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_training.checkpoints.checkpoint import read_origin
from wavcaps_training.tables import INDEX_FOLDER

CONTENT = ["clip_id", "samples_sha256", "caption"]


def what_is_stale(tables: TableStore, name: str) -> list[str]:
    """What differs, in sentences; empty: the index is current.

    Args:
        tables: the store's tables.
        name: of the checkpoint, such as `aisfx_minilm/demo`.

    Raises:
        CheckpointError: the checkpoint's file is missing or damaged.
        StoreError: a table or the checkpoint cannot be read.
    """
    index = tables.read([INDEX_FOLDER, *name.split("/")], [WHOLE], [*CONTENT, "weights_sha256"])
    published = tables.read(["wavcaps"], [WHOLE], CONTENT)
    found = []
    checkpoint = tables.read(["checkpoint", *name.split("/")], [WHOLE], ["weights_path"])
    if index.num_rows and checkpoint.num_rows:
        with tables.store.reading(checkpoint["weights_path"][0].as_py()) as weights:
            # Checkpoints of the first format have no hash; the search itself computes it.
            sha256 = read_origin(weights).weights_sha256
        if sha256 is not None and pc.unique(index["weights_sha256"]).to_pylist() != [sha256]:
            found.append("the checkpoint has other weights now")
    missing = _without(published, index)
    if missing:
        found.append(f"{missing:,} published clips are not in it as they are now")
    gone = _without(index, published)
    if gone:
        found.append(f"{gone:,} of its clips are not published as they were")
    return found


def _without(rows: pa.Table, others: pa.Table) -> int:
    """How many rows have no equal in another table."""
    place = pc.index_in(rows["clip_id"], value_set=others["clip_id"].combine_chunks())
    same = pa.array([True] * len(rows))
    for name in CONTENT:
        same = pc.and_(same, pc.fill_null(pc.equal(rows[name], others[name].take(place)), False))
    return int(pc.sum(pc.invert(same)).as_py() or 0)
