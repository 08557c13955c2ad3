"""What a person wants to know of a partition's audio at a glance."""

from __future__ import annotations

import pyarrow as pa

# What a source claims is often rounded, and an mp3's padding counts or does not.
TOLERANCE_S = 0.5
TOLERANCE_SHARE = 0.05
OFF_CLAIM = """
    select clip_id, claimed_duration_s, duration_s
    from audio
    where abs(duration_s - claimed_duration_s) > greatest($seconds, $share * claimed_duration_s)
    order by abs(duration_s - claimed_duration_s) desc, clip_id
"""
REPEATS = """
    select samples_sha256, count(*) as clips, list(clip_id order by clip_id) as clip_ids
    from audio group by samples_sha256 having count(*) > 1
    order by clips desc, samples_sha256
"""


def off_claim(audio: pa.Table) -> pa.Table:
    """The clips that are longer or shorter than their source claims, the farthest off first."""
    import duckdb

    with duckdb.connect() as database:
        database.register("audio", audio)
        limits = {"seconds": TOLERANCE_S, "share": TOLERANCE_SHARE}
        return database.sql(OFF_CLAIM, params=limits).to_arrow_table()


def repeats(audio: pa.Table) -> pa.Table:
    """The clips whose samples are exactly the same, a row a group."""
    import duckdb

    with duckdb.connect() as database:
        database.register("audio", audio)
        return database.sql(REPEATS).to_arrow_table()
