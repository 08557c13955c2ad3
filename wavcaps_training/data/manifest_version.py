"""The version of a training manifest."""

from __future__ import annotations

import hashlib

import pyarrow as pa


def rows_sha256(manifest: pa.Table) -> str:
    """A hash of each clip's id, captions and split, in the order of the ids."""
    digest = hashlib.sha256()
    columns = ["clip_id", "caption", "other_captions", "split"]
    for row in manifest.select(columns).sort_by("clip_id").to_pylist():
        texts = (row["clip_id"], row["caption"], *row["other_captions"], row["split"])
        digest.update("\0".join(texts).encode() + b"\n")
    return digest.hexdigest()
