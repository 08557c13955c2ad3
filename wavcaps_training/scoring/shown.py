"""What people see of a table of scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from wavcaps_training.scoring.task import TRAINED, ScoringTask

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
