"""The last line of every benchmark: one JSON object."""

from __future__ import annotations

import json
import resource


def report(name: str, value: float, unit: str, peer: str, peer_value: float, peak_mb: float) -> None:
    """Prints the result.

    Args:
        name: of the measure.
        value: ours.
        unit: of both values.
        peer: what ours is measured against.
        peer_value: the peer's.
        peak_mb: the largest resident set of ours (MB).
    """
    line = {
        "name": name,
        "value": round(value, 4),
        "unit": unit,
        "peer": peer,
        "peer_value": round(peer_value, 4),
        "ratio": round(value / peer_value, 3),
        "peak_mb": round(peak_mb, 1),
    }
    print(json.dumps(line))  # noqa: T201


def own_peak_mb() -> float:
    """The largest resident set of this process so far (MB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def children_peak_mb() -> float:
    """The largest resident set of any child process that has ended (MB)."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
