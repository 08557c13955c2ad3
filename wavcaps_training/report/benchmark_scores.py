"""The scores on benchmarks that are in the store, as the report shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wavcaps_assets.benchmark_sets.benchmarks import benchmark_named
from wavcaps_assets.show.text import shown
from wavcaps_assets.store.stored_file import StoredFile
from wavcaps_assets.tables.asset_tables import TableStore, path_of
from wavcaps_training.paper.stored_scores import CurrentLists, StoredScores, read_scores

# Of `scores/<task>/<benchmark>/<model>/<setting>`.
PARTS = 5
ANSWERS = {True: "yes", False: "no", None: "not known"}
# The scores that are shown of a task, by their names in the report: direction and metric.
TO_AUDIO, TO_TEXT = "text_to_audio", "audio_to_text"
SHOWN = {
    "retrieval": {
        f"{words} {metric}": (direction, metric)
        for direction, words in ((TO_AUDIO, "text to audio"), (TO_TEXT, "audio to text"))
        for metric in ("R@1", "R@5", "R@10", "mAP@10")
    },
    "captioning": {
        metric: ("", metric)
        for metric in ("BLEU-4", "ROUGE-L", "METEOR", "CIDEr-D", "SPICE", "SPIDEr", "FENSE")
    },
    "classification": {metric: ("", metric) for metric in ("accuracy", "mean of folds")},
    "generation": {
        metric: ("", metric) for metric in ("FAD", "FD", "IS", "KL", "CLAP score, own", "CLAP score, other")
    },
}
WHOLE = ("all", "overall", None)


@dataclass(frozen=True)
class BenchmarkScore:
    """A score with its interval.

    Attributes:
        value: None: not measured.
        note: why it was not measured.
    """

    value: float | None
    low: float | None
    high: float | None
    note: str = ""


@dataclass(frozen=True)
class CheckpointScores:
    """The scores of a checkpoint under one protocol.

    Attributes:
        values: one for each of the metrics of the table; None: the table of scores does not have it.
        clips: how many clips were scored.
        official: how many the benchmark has; None: not known.
        trained_on: whether it was trained on the benchmark's train split: `yes`, `no` or `not known`.
        leaked: how many scored clips it was trained on; None: not known.
        stale: why it is out of date: the checkpoint or the benchmark's lists changed since; empty: it is not,
            or that is not known.
    """

    checkpoint: str
    protocol: str
    values: tuple[BenchmarkScore | None, ...]
    clips: int
    official: int | None
    trained_on: str
    leaked: int | None
    stale: str


@dataclass(frozen=True)
class BenchmarkTable:
    """All scores at a task on a benchmark."""

    task: str
    benchmark: str
    metrics: tuple[str, ...]
    rows: tuple[CheckpointScores, ...]


def score_keys(files: Iterable[StoredFile]) -> list[tuple[str, ...]]:
    """The keys of the scores on benchmarks among the files of a store."""
    found = []
    for file in files:
        key = file.path.split("/")[1:-1]
        if len(key) == PARTS and key[0] == "scores" and key[1] in SHOWN and file.path == path_of(key, None):
            found.append(tuple(key))
    return sorted(found)


def read_benchmark_scores(
    tables: TableStore, keys: Iterable[tuple[str, ...]]
) -> dict[tuple[str, ...], StoredScores]:
    """The tables of scores with these keys, each with what is known of its checkpoint.

    Raises:
        StoreError: a table cannot be read.
    """
    lists = CurrentLists(tables)
    found = (read_scores(tables, key, ("checkpoint", *key[3:]), lists=lists) for key in keys)
    return {scores.key: scores for scores in found if scores is not None}


def benchmark_tables(scores: Mapping[tuple[str, ...], StoredScores]) -> tuple[BenchmarkTable, ...]:
    """The scores by task and benchmark; metrics that no table has are left out."""
    by_place: dict[tuple[str, str], list[CheckpointScores]] = {}
    for key, stored in scores.items():
        by_place.setdefault((key[1], key[2]), []).extend(_rows(stored))
    order = list(SHOWN)
    places = sorted(by_place, key=lambda place: (order.index(place[0]), place[1]))
    return tuple(_table(*place, by_place[place]) for place in places if by_place[place])


def _table(task: str, benchmark: str, rows: list[CheckpointScores]) -> BenchmarkTable:
    metrics = list(SHOWN[task])
    there = [place for place in range(len(metrics)) if any(row.values[place] is not None for row in rows)]
    kept = [
        CheckpointScores(**{**vars(row), "values": tuple(row.values[place] for place in there)})
        for row in rows
    ]
    return BenchmarkTable(task, _title(benchmark), tuple(metrics[place] for place in there), tuple(kept))


def _title(benchmark: str) -> str:
    try:
        return benchmark_named(benchmark).title
    except ValueError:
        return shown(benchmark)


def _rows(stored: StoredScores) -> list[CheckpointScores]:
    whole = [row for row in stored.trained if row.get("scope") in WHOLE]
    return [
        _of_protocol(stored, [row for row in whole if row["protocol_name"] == name])
        for name in dict.fromkeys(row["protocol_name"] for row in whole)
    ]


def _of_protocol(stored: StoredScores, rows: list[Mapping[str, Any]]) -> CheckpointScores:
    scores = {
        (row.get("direction") or "", row["metric"]): BenchmarkScore(
            row["value"], row["low"], row["high"], shown(row.get("note") or "")
        )
        for row in rows
    }
    first = rows[0]
    return CheckpointScores(
        shown(first["checkpoint"] or "/".join(stored.key[3:])),
        shown(first["protocol_name"] or "not known"),
        tuple(scores.get(place) for place in SHOWN[stored.key[1]].values()),
        first["clips"],
        first["official_clips"],
        ANSWERS[first["trained_on_benchmark"]],
        first["scored_clips_trained_on"],
        stored.stale,
    )
