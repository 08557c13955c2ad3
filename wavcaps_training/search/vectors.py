"""Unit vectors in a file, and the nearest of them to a query: exact, block by block.

At 10^6 vectors the product is bound by reading them (docs/search.md has the times), so an approximate index
would save little and lose results.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from wavcaps_assets.store.storage import Store

ROWS_A_BLOCK = 65_536


def mapped_vectors(
    folder: Path, name: str, shape: tuple[int, int], blocks: Iterable[np.ndarray]
) -> np.ndarray:
    """Vectors as a memory-mapped file, which is written if it does not exist.

    Args:
        folder: of such files, on this machine.
        name: of the file; it determines the content.
        shape: rows and width.
        blocks: the rows in order; not read if the file is there.

    Returns:
        (rows, width) float32, read-only.

    Raises:
        StoreError: the file cannot be written.
    """
    if 0 in shape:
        return np.empty(shape, np.float32)
    path = folder / f"{name}.npy"
    if not _has_shape(path, shape):
        with Store(folder).writing(path.name) as temporary:
            written = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
            start = 0
            for block in blocks:
                written[start : start + len(block)] = block
                start += len(block)
            written.flush()
            del written
    vectors: np.ndarray = np.load(path, mmap_mode="r")
    return vectors


def _has_shape(path: Path, shape: tuple[int, int]) -> bool:
    try:
        return bool(np.load(path, mmap_mode="r").shape == shape)
    except (OSError, ValueError):
        return False


def nearest(
    vectors: np.ndarray, query: np.ndarray, k: int, allowed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The rows with the largest dot product, the best first; of equal ones, the first row first.

    Args:
        vectors: (rows, width), may be memory-mapped.
        query: (width,).
        k: how many rows; fewer are returned if fewer are allowed.
        allowed: (rows,) which rows may be found.

    Returns:
        The rows, and their dot products.
    """
    rows, scores = np.empty(0, np.int64), np.empty(0, np.float32)
    for start in range(0, len(vectors), ROWS_A_BLOCK):
        candidates = start + np.flatnonzero(allowed[start : start + ROWS_A_BLOCK])
        products = (np.asarray(vectors[start : start + ROWS_A_BLOCK]) @ query)[candidates - start]
        rows = np.concatenate([rows, candidates])
        scores = np.concatenate([scores, products])
        if len(rows) > k:
            best = np.argpartition(-scores, k - 1)[:k]
            rows, scores = rows[best], scores[best]
    order = np.lexsort((rows, -scores))
    return rows[order], scores[order]
