"""An even, repeatable sample, and the confidence interval of a share found in it."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Iterable
from statistics import NormalDist


def even_sample(clip_ids: Iterable[str], size: int, seed: int) -> set[str]:
    """The clips with the smallest hashes: each clip has the same chance, in any order.

    A clip in the sample of a set is also in the sample of each part of the set that has it. So the samples
    of the parts contain the sample of the whole. Versions of a set share their sample.

    Args:
        size: number of clips; 0: all.
        seed: another seed gives another sample.
    """
    if size == 0:
        return set(clip_ids)
    return set(heapq.nsmallest(size, clip_ids, key=lambda clip_id: _rank(clip_id, seed)))


def _rank(clip_id: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed} {clip_id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


def wilson_interval(count: int, of: int, confidence: float) -> tuple[float, float]:
    """The confidence interval of a share, given `count` in a sample of `of`.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference" (1927). It
    stays between 0 and 1, and is valid for small samples and for shares near 0.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = count / of
    middle = share + z * z / (2 * of)
    spread = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    low = 0.0 if count == 0 else (middle - spread) / scale
    high = 1.0 if count == of else (middle + spread) / scale
    return low, high
