"""Whether a split keeps each recording on one side. Independent of the code that makes the split."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.checks.outcome import CheckOutcome

ON_TWO_SIDES = """
    with material as (
        select clip_id, 'recording ' || recording as name from recordings
        union all
        select clip_id, 'samples ' || samples_sha256 from wavcaps
    )
    select name, min(split) as one, max(split) as other
    from material join split using (clip_id)
    group by name
    having count(distinct split) > 1
    order by name
"""


def check_recordings_apart(split: pa.Table, recordings: pa.Table, wavcaps: pa.Table) -> CheckOutcome:
    """Whether no recording and no identical audio is in two splits.

    Args:
        split: `tables.TRAINING_MANIFEST`.
        recordings: `tables.RECORDINGS`.
        wavcaps: `tables.MANIFEST`, for the hash of the audio.
    """
    import duckdb

    with duckdb.connect() as database:
        for name, table in (("split", split), ("recordings", recordings), ("wavcaps", wavcaps)):
            database.register(name, table)
        leaks = database.sql(ON_TWO_SIDES).fetchall()
    if leaks:
        name, one, other = leaks[0]
        return CheckOutcome(
            False,
            f"{len(leaks)} are in two splits, such as {name} ({one} and {other})",
            {"leaks": len(leaks)},
        )
    return CheckOutcome(True, "every recording is in one split", {"leaks": 0, "clips": split.num_rows})
