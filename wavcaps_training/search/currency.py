"""Whether an index is that of the published set and of the checkpoint."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.tables.asset_tables import WHOLE, TableStore, path_of
from wavcaps_training.checkpoints.checkpoint import read_origin
from wavcaps_training.tables import INDEX_FOLDER

# The end of a file that shows that it was written again.
END_BYTES = 65_536
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


def state_of(tables: TableStore, name: str) -> str:
    """A hash that changes when the set, an index or its checkpoint is written again. It reads ends of files.

    Args:
        tables: the store's tables.
        name: of the checkpoint, such as `aisfx_minilm/demo`.

    Raises:
        StoreError: a table is missing or cannot be read.
    """
    digest = hashlib.sha256()
    for key in (["wavcaps"], [INDEX_FOLDER, *name.split("/")], ["checkpoint", *name.split("/")]):
        path = path_of(key, WHOLE)
        size = tables.store.size(path)
        # A Parquet file ends with its metadata: the version of the set, and statistics of each column.
        start = max(size - END_BYTES, 0)
        digest.update(f"{size} ".encode() + tables.store.read_span(path, start, size - start))
    return digest.hexdigest()


def _without(rows: pa.Table, others: pa.Table) -> int:
    """How many rows have no equal in another table."""
    place = pc.index_in(rows["clip_id"], value_set=others["clip_id"].combine_chunks())
    same = pa.array([True] * len(rows))
    for name in CONTENT:
        same = pc.and_(same, pc.fill_null(pc.equal(rows[name], others[name].take(place)), False))
    return int(pc.sum(pc.invert(same)).as_py() or 0)
