"""What the header of a checkpoint's file says, without its weights and without torch."""

from __future__ import annotations

import json

from wavcaps_assets.store.storage import MissingFile, Store

WEIGHTS_KEY = "wavcaps_weights_sha256"
# A safetensors file begins with the size of its header (bytes), in eight bytes; its authors allow 100 MB.
SIZE_BYTES, MOST_BYTES = 8, 100_000_000


def stored_weights_sha256(store: Store, path: str) -> str | None:
    """The hash of a checkpoint's weights, by its header; None: the file is gone, damaged or has none.

    Only the header is read, also from a bucket.

    Args:
        path: the safetensors file, relative to the store.

    Raises:
        StoreError: the store cannot be reached.
    """
    try:
        size = int.from_bytes(store.read_span(path, 0, SIZE_BYTES), "little")
        if not 0 < size <= MOST_BYTES:
            return None
        header = json.loads(store.read_span(path, SIZE_BYTES, size))
    except (MissingFile, ValueError):
        return None
    about = header.get("__metadata__") if isinstance(header, dict) else None
    found = about.get(WEIGHTS_KEY) if isinstance(about, dict) else None
    return found if isinstance(found, str) else None
