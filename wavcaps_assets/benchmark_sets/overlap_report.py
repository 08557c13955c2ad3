"""What a set shares with benchmarks, as Markdown for people: what was found, and what was not compared."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.benchmark_sets.decontaminate import Compared
from wavcaps_assets.benchmark_sets.evidence import ID, LIST
from wavcaps_assets.show.previews import cell, counts, preview

SHOWN_ROWS = 20
SHOWN = ["clip_id", "benchmark_clip_id", "benchmark_split", "evidence", "key", "verdict"]


def decontamination_report(
    exclusions: pa.Table, to_review: pa.Table, compared: Sequence[Compared], clips: int
) -> str:
    """The report of a training set.

    Args:
        exclusions: `tables.OVERLAPS`: the evidence for every clip that was removed.
        to_review: `tables.OVERLAPS`: pairs that people should look at; their clips stay.
        compared: the benchmarks that it was compared with.
        clips: training clips that are left.
    """
    removed = len(exclusions.column("clip_id").unique())
    return "\n\n".join(
        [
            f"{removed:,} training clips were removed, and {clips:,} are left.",
            evidence_table(exclusions),
            "**For people to look at; these clips stay**\n\n" + _review_table(to_review),
            "**Not compared**\n\n" + not_compared(compared),
            "**The first of them**\n\n" + preview(exclusions, SHOWN, rows=SHOWN_ROWS),
        ]
    )


def _review_table(to_review: pa.Table) -> str:
    if not len(to_review):
        return "*none: no pair is in doubt, or no audio was compared*"
    return f"{counts(to_review, 'benchmark', 'evidence')}\n\n{preview(to_review, SHOWN, rows=SHOWN_ROWS)}"


def evidence_table(overlaps: pa.Table) -> str:
    """Clips by benchmark, evidence and verdict, and how many no released list names."""
    if not len(overlaps):
        return "*no clips were found*"
    rows = overlaps.group_by(["benchmark", "evidence", "verdict"]).aggregate([("clip_id", "count_distinct")])
    lines = ["| benchmark | evidence | verdict | clips |", "| --- | --- | --- | --- |"]
    for row in rows.sort_by(
        [(name, "ascending") for name in ("benchmark", "evidence", "verdict")]
    ).to_pylist():
        shown = " | ".join(cell(row[name]) for name in ("benchmark", "evidence", "verdict"))
        lines.append(f"| {shown} | {row['clip_id_count_distinct']:,} |")
    missed = missed_by_lists(overlaps)
    return (
        "\n".join(lines)
        + f"\n\nClips found by id that are on no released list that was compared: {missed:,}."
    )


def missed_by_lists(overlaps: pa.Table) -> int:
    """How many clips have the id of a benchmark's clip, and are on no released list.

    Args:
        overlaps: `tables.OVERLAPS`.
    """
    evidence = overlaps.column("evidence")
    by_id = overlaps.filter(pc.equal(evidence, ID)).column("clip_id").unique()
    listed = overlaps.filter(pc.equal(evidence, LIST)).column("clip_id").unique()
    return len(by_id) - (pc.sum(pc.is_in(by_id, value_set=listed)).as_py() or 0)


def not_compared(compared: Sequence[Compared]) -> str:
    """What could not be compared, a line each."""
    lines = []
    for one in compared:
        if one.clips is None:
            lines.append(f"{one.benchmark}: its lists are not there, so no ids were compared with it.")
        lines += [f"{one.benchmark}: {note}" for note in one.notes]
        if one.clips is None:
            continue
        of = f"of {one.clips:,} clips"
        if one.without_ids:
            lines.append(
                f"{one.benchmark}: the FreeSound or YouTube ids of {one.without_ids:,} {of} are not known."
            )
        if one.without_audio:
            lines.append(f"{one.benchmark}: the audio of {one.without_audio:,} {of} is not here.")
        if not one.by_audio:
            lines.append(
                f"{one.benchmark}: no audio was compared: there is no table audio_overlaps/{one.benchmark} "
                "of its audio as it is now."
            )
    return "\n".join(f"- {line}" for line in lines) or "*everything was compared*"


def without_own_ids(clips: pa.Table) -> str:
    """How many clips have no id of FreeSound or YouTube of their own, by source, as a sentence.

    Args:
        clips: `evidence.COMPARED`.
    """
    unknown = clips.filter(pc.and_(pc.is_null(clips.column("ids_of")), pc.is_null(clips.column("file"))))
    counted = unknown.group_by("source").aggregate([([], "count_all")]).sort_by("source").to_pylist()
    if not counted:
        return "Every clip has an id of FreeSound or YouTube."
    named = ", ".join(f"{row['count_all']:,} of {row['source']}" for row in counted)
    return (
        f"Clips without an id of FreeSound or YouTube are found by their texts or their audio only: {named}."
    )
