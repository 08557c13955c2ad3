"""Whether a split keeps apart what belongs together. Independent of the code that makes the split."""

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
# The id that a clip has in lists of others, however the set that it is from writes it.
TRAINED_AND_TESTED = r"""
    with clips as (
        select clip_id, split, case
            when source in ('audiocaps', 'audioset_sl')
                then regexp_extract(
                    clip_id, '^(?:audioset_sl-|audiocaps-(?:(?:train|validation|test)-)?Y?)(.{11})', 1
                )
            else source || ' ' || regexp_replace(clip_id, '^[^-]+-(?:(?:train|validation|test)-)?', '')
        end as name
        from manifest
    )
    select train.clip_id, other.clip_id
    from clips train join clips other using (name)
    where train.split = 'train' and other.split <> 'train'
    order by all
"""
# By seed, the best first: how many clips are not in the part that it assigned.
ELSEWHERE = """
    select seed, count(*) filter (elsewhere), min(clip_id) filter (elsewhere)
    from (
        select seeds.seed, manifest.clip_id, assignments.split is distinct from manifest.split as elsewhere
        from (select distinct seed from assignments) seeds cross join manifest
        left join assignments on assignments.clip_id = manifest.clip_id and assignments.seed = seeds.seed
    )
    group by seed order by 2, 1
"""


def check_evaluation_apart(manifest: pa.Table, policy: str | None) -> CheckOutcome:
    """Whether no clip that a model is trained on has the id of one that it is validated or tested on.

    Args:
        manifest: `tables.TRAINING_MANIFEST` of a composed training set.
        policy: the setting `overlaps` that it was composed with; None: not known.
    """
    import duckdb

    with duckdb.connect() as database:
        database.register("manifest", manifest.select(["clip_id", "source", "split"]))
        found = database.sql(TRAINED_AND_TESTED).fetchall()
    if not found:
        return CheckOutcome(True, "no training clip has the id of an evaluation clip", {"clips in both": 0})
    train, other = found[0]
    number = len({clip for clip, _ in found})
    described = f"{number} training clips are also evaluation clips, such as {train} ({other})"
    kept = policy == "keep"
    return CheckOutcome(
        kept, described + (": the setting `overlaps` keeps them" if kept else ""), {"clips in both": number}
    )


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


def check_split_kept(split: pa.Table, assignments: pa.Table) -> CheckOutcome:
    """Whether every clip is in the part of the split that is written down for it, by one of the seeds.

    Args:
        split: `clip_id` and `split` of the training manifest.
        assignments: `clip_id`, `seed` and `split` of `tables.SPLIT_ASSIGNMENTS`.
    """
    import duckdb

    with duckdb.connect() as database:
        database.register("manifest", split)
        database.register("assignments", assignments)
        found = database.sql(ELSEWHERE).fetchall()
    if not len(split):
        return CheckOutcome(True, "there are no clips", {"elsewhere": 0})
    if not found:
        return CheckOutcome(
            False, "no part of the split is written down for any clip", {"elsewhere": len(split)}
        )
    # The run says which seed it used. It is the one that fits.
    seed, elsewhere, clip = found[0]
    if elsewhere:
        description = f"{elsewhere} clips are not where they were assigned, such as {clip}"
        return CheckOutcome(False, description, {"elsewhere": elsewhere})
    return CheckOutcome(True, f"every clip is where it was assigned, by the seed {seed!r}", {"elsewhere": 0})
