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


def file_stems(ids: Sequence[str]) -> list[str]:
    """A file name without its ending for each id, in the same order.

    An id with letters, digits, hyphens and underscores is its own name. Other characters become `_`, and a
    hash of the id follows; so it does where the names of two ids differ in case only, which are one file on
    some machines.

    Args:
        ids: each once.
    """
    cut = [UNSAFE.sub("_", one)[:LONGEST] for one in ids]
    times = Counter(name.casefold() for name in cut)
    return [
        name if name == one and times[name.casefold()] == 1 else f"{name}-{_digits(one)}"
        for name, one in zip(cut, ids, strict=True)
    ]


def _digits(one: str) -> str:
    return hashlib.sha256(one.encode()).hexdigest()[:DIGITS]
