"""What people see of a table of scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from wavcaps_training.scoring.task import CHANCE, TRAINED, BenchmarkScores, ScoringTask
from wavcaps_training.tables import FILE_SCORES

TRAIN_SPLIT = "trained on this benchmark's train split"
ANSWERS = {True: "yes", False: "no", None: "unknown"}
# Of the rows of one checkpoint, they are all the same.
COUNTS = {
    "clips scored": "clips",
    "left out, without readable audio": "unreadable",
    "left out, without audio": "missing",
    "scored clips that it was trained on": "scored_clips_trained_on",
}
SAID = (
    "checkpoint",
    "weights_sha256",
    "trained_on_sha256",
    "trained_on_version",
    "benchmark_version",
    "scored_on_sha256",
    "protocol_name",
    "protocol",
    "device",
)


def numbers_of(task: ScoringTask, scores: pa.Table) -> dict[str, float | int]:
    """The checkpoint's scores with their intervals, and counts of clips, by names for people.

    Args:
        scores: of the task's schema.
    """
    numbers: dict[str, float | int] = {}
    for row in trained_rows(scores):
        if (name := task.shown_name(row)) and row["value"] is not None:
            numbers[name] = row["value"]
            for column, end in (("low", "95 % from"), ("high", "95 % to")):
                if row[column] is not None:
                    numbers[f"{name}, {end}"] = row[column]
    about = of_checkpoint(scores)
    counts = {name: about[column] for name, column in COUNTS.items() if about[column] is not None}
    return {**numbers, **counts}


def said_of(scores: pa.Table) -> dict[str, str]:
    """Of what the scores are, by names for people."""
    about = of_checkpoint(scores)
    said = {name: str(about[name]) for name in SAID if about[name] is not None}
    answer = ANSWERS[about["trained_on_benchmark"]]
    return {
        **said,
        "trained on this benchmark's train split": f"{answer}: {about['trained_on_benchmark_why']}",
    }


def trained_rows(scores: pa.Table) -> list[Mapping[str, Any]]:
    """The rows of the checkpoint, without chance."""
    return [row for row in scores.to_pylist() if row["model"] == TRAINED]


def of_checkpoint(scores: pa.Table) -> Mapping[str, Any]:
    """What all rows of the checkpoint have in common, in its first row."""
    return trained_rows(scores)[0]


def as_lines(task: ScoringTask, benchmark: str, scores: BenchmarkScores) -> list[str]:
    """A checkpoint's scores on a benchmark for the terminal, with intervals, chance, and of what they are."""
    about = of_checkpoint(scores.table)
    chance = {
        task.shown_name(row): row["value"] for row in scores.table.to_pylist() if row["model"] == CHANCE
    }
    rows = [("", "score", "95 % interval", "chance")]
    for row in trained_rows(scores.table):
        if (name := task.shown_name(row)) and row["value"] is not None:
            interval = "" if row["low"] is None else f"{row['low']:.1f} to {row['high']:.1f}"
            guess = f"{chance[name]:.1f}" if name in chance else ""
            rows.append((name, f"{row['value']:.1f}", interval, guess))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    table = [
        "  ".join([row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in range(1, 4))]).rstrip()
        for row in rows
    ]
    # Tasks that may lack something that a score needs say so in a column of their own.
    lacking = [
        f"{name}: {row['note']}"
        for row in trained_rows(scores.table)
        if (name := task.shown_name(row)) and row["value"] is None and row.get("note")
    ]
    left_out = about["missing"] + about["unreadable"]
    trained = said_of(scores.table)[TRAIN_SPLIT]
    leaks = about["scored_clips_trained_on"]
    return [
        f"{task.name} on {benchmark}: {about['clips']:,} clips"
        + (f", {left_out:,} without audio that can be read" if left_out else ""),
        *table,
        *lacking,
        *([scores.partial] if scores.partial else []),
        f"{TRAIN_SPLIT}: {trained}",
        *([f"scored clips that it was trained on: {leaks:,}"] if leaks else []),
        f"protocol {about['protocol_name']}: {about['protocol']}",
        f"weights {about['weights_sha256']}, on {about['device']}",
    ]


def as_file_scores(task: ScoringTask, scores: pa.Table) -> list[dict[str, Any]]:
    """The rows of `tables.FILE_SCORES` of a checkpoint's scores at a task."""
    shared = set(FILE_SCORES.arrow.names) & set(scores.column_names)
    return [
        {**{name: row[name] for name in shared}, "task": task.name, "score": name_of_score}
        for row in trained_rows(scores)
        if (name_of_score := task.shown_name(row))
    ]
