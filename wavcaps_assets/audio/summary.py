"""A summary of a partition's audio for its page."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pyarrow as pa

logger = logging.getLogger(__name__)

# Sources often round durations, and may or may not count an MP3's padding.
TOLERANCE_S = 0.5
TOLERANCE_SHARE = 0.05
DURATION_MISMATCHES = """
    select clip_id, claimed_duration_s, duration_s
    from audio
    where abs(duration_s - claimed_duration_s) > greatest($seconds, $share * claimed_duration_s)
    order by abs(duration_s - claimed_duration_s) desc, clip_id
"""
DUPLICATES = """
    select samples_sha256, count(*) as clips, list(clip_id order by clip_id) as clip_ids
    from audio group by samples_sha256 having count(*) > 1
    order by clips desc, samples_sha256
"""


def duration_mismatches(audio: pa.Table) -> pa.Table:
    """The clips whose duration differs from their source's claim, the largest difference first."""
    import duckdb

    with duckdb.connect() as database:
        database.register("audio", audio)
        limits = {"seconds": TOLERANCE_S, "share": TOLERANCE_SHARE}
        return database.sql(DURATION_MISMATCHES, params=limits).to_arrow_table()


def exact_duplicates(audio: pa.Table) -> pa.Table:
    """The clips with exactly the same samples, one row per group."""
    import duckdb

    with duckdb.connect() as database:
        database.register("audio", audio)
        return database.sql(DUPLICATES).to_arrow_table()


def warn_of_missing(title: str, without_file: Sequence[str], without_copy: Sequence[str], copy: str) -> None:
    """Says which clips are stored although something of them is missing.

    Args:
        title: the source's name for people.
        without_file: clips whose file is no longer in the source's folder.
        without_copy: clips whose extra copy cannot be made.
        copy: the kind of that copy.
    """
    if without_file:
        logger.warning(
            "%d files of %s are no longer in its folder, first that of %s: their stored audio is kept",
            len(without_file),
            title,
            min(without_file),
        )
    if without_copy:
        logger.warning(
            "%d clips of %s have no extra copy (%s), first %s: they stay stored without it",
            len(without_copy),
            title,
            copy,
            min(without_copy),
        )
