"""How much room the store takes, by kind, and how much of that is unused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from wavcaps_assets.retention.unused import COPIES as COPY_FOLDERS
from wavcaps_assets.store.storage import StoredFile
from wavcaps_assets.tables.operations import DISK_USE

KINDS = {
    "audio": "audio as FLAC, 32 kHz, mono",
    "checkpoints": "weights, the progress of training, learning curves",
    "exports": "exports of published versions, in the formats of other tools",
    "log": "pages, downloads and answers: what a restart must not request or pay for again",
    "quality": "the last measurement of each quality check",
    "tables": "the tables of the assets",
    "versions": "published versions of the set",
    "worth": "what changes are worth: pages, and the trained seeds of comparisons",
    "": "reports and cards",
}
COPIES = "copies of the originals"
OTHER = "other files"


def disk_use(files: Iterable[StoredFile], unused: Sequence[StoredFile]) -> pa.Table:
    """Files and bytes of each top-level folder.

    Args:
        files: all files of the store.
        unused: those of them that nothing refers to.

    Returns:
        `tables.operations.DISK_USE`, the largest folder first.
    """
    use: dict[str, list[int]] = {}
    for file in files:
        counts = use.setdefault(file.folder, [0, 0, 0, 0])
        counts[0] += 1
        counts[1] += file.size
    for file in unused:
        counts = use[file.folder]
        counts[2] += 1
        counts[3] += file.size
    return DISK_USE.from_rows(
        {
            "folder": folder or ".",
            "kind": KINDS.get(folder, COPIES if folder.startswith(COPY_FOLDERS) else OTHER),
            "files": counts[0],
            "bytes": counts[1],
            "unused_files": counts[2],
            "unused_bytes": counts[3],
        }
        for folder, counts in sorted(use.items(), key=lambda entry: -entry[1][1])
    )
