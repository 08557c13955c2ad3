"""Groups of clips that share something, directly or through other clips: connected components of a graph."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def components(pairs: pa.Table) -> pa.Table:
    """The groups of clips.

    Args:
        pairs: `clip_id` and `material`: something that clips share, such as their recording.

    Returns:
        `clip_id`, each once, and `clip_group`: the smallest name in its group, of clips and materials.
    """
    clips = pairs.column("clip_id").combine_chunks().dictionary_encode()
    materials = pairs.column("material").combine_chunks().dictionary_encode()
    names = pa.concat_arrays([clips.dictionary, materials.dictionary])
    first = len(clips.dictionary)
    one = clips.indices.to_numpy()
    other = materials.indices.to_numpy() + first
    # Numbered by their order, the smallest number of a group is that of the smallest name.
    order = pc.sort_indices(names).to_numpy()
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order), dtype=order.dtype)
    roots = _roots(rank[one].astype(np.int64), rank[other].astype(np.int64), len(order))
    smallest = pa.array(order[roots[rank[:first]]])
    return pa.table({"clip_id": clips.dictionary, "clip_group": names.take(smallest)})


def _roots(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64], nodes: int) -> npt.NDArray[np.int64]:
    """For each node, the smallest node that can be reached over the edges: hooking and pointer jumping."""
    parent = np.arange(nodes)
    while True:
        first, second = parent[one], parent[other]
        if np.array_equal(first, second):
            return parent
        np.minimum.at(parent, np.maximum(first, second), np.minimum(first, second))
        while not np.array_equal(shorter := parent[parent], parent):
            parent = shorter
