"""File names of clips that every file system, tar and URL accepts, and that no two clips share."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

# No dots: WebDataset and others split a name at its first one.
UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
# With a folder and an ending, below the 100 bytes of a tar's header.
LONGEST = 60
DIGITS = 8


def file_stems(ids: Sequence[str], names: Sequence[str] | None = None) -> list[str]:
    """A file name without its ending for each clip, in the same order.

    A name of letters, digits, hyphens and underscores is kept. Other characters become `_`, and a hash of the
    clip's id follows; so it does where the names of two clips are the same, or differ in case only, which is
    one file on some machines.

    Args:
        ids: of the clips, each once.
        names: what the files are to be named after; None: the ids.
    """
    wanted = ids if names is None else names
    cut = [UNSAFE.sub("_", one)[:LONGEST] for one in wanted]
    times = Counter(name.casefold() for name in cut)
    return [
        name if name == one and times[name.casefold()] == 1 else f"{name}-{_digits(clip_id)}"
        for name, one, clip_id in zip(cut, wanted, ids, strict=True)
    ]


def _digits(clip_id: str) -> str:
    return hashlib.sha256(clip_id.encode()).hexdigest()[:DIGITS]
