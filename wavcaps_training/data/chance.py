"""Chance that repeats itself: a number that depends on what it is drawn for, and on nothing before it."""

from __future__ import annotations

import hashlib


def chance(*what_for: int | str) -> float:
    """A number in [0, 1), the same for the same arguments in every process and order."""
    digest = hashlib.blake2b("\0".join(map(str, what_for)).encode(), digest_size=8).digest()
    # 53 bits: more would round up to 1.
    return (int.from_bytes(digest) >> 11) / 2**53
