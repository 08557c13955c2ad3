"""File names of clips that every file system, tar and URL accepts, and that no two clips share."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

# No dots: WebDataset and others split a name at its first one.
UNSAFE = "[^A-Za-z0-9_-]+"
# With a folder and an ending, below the 100 bytes of a tar's header.
LONGEST = 60
DIGITS = 8


def file_stems(ids: pa.ChunkedArray, names: pa.ChunkedArray | None = None) -> pa.Array:
    """A file name without its ending for each clip, in the same order.

    A name of letters, digits, hyphens and underscores is kept. Other characters become `_`, and a hash of the
    clip's id follows; so it does where the names of two clips are the same, or differ in case only, which is
    one file on some machines.

    Args:
        ids: of the clips, each once.
        names: what the files are to be named after; None: the ids.
    """
    wanted = (ids if names is None else names).combine_chunks()
    cut = pc.utf8_slice_codeunits(pc.replace_substring_regex(wanted, UNSAFE, "_"), 0, LONGEST)
    folded = pc.ascii_lower(cut)
    counted = folded.value_counts()
    repeated = counted.field("values").filter(pc.greater(counted.field("counts"), 1))
    changed = pc.or_(pc.not_equal(cut, wanted), pc.is_in(folded, value_set=repeated))
    digits = pa.array([f"-{_digits(clip_id)}" for clip_id in ids.filter(changed).to_pylist()], pa.string())
    marked = pc.binary_join_element_wise(cut.filter(changed), digits, "")
    return pc.replace_with_mask(cut, changed, marked)


def _digits(clip_id: str) -> str:
    return hashlib.sha256(clip_id.encode()).hexdigest()[:DIGITS]
