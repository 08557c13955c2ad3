"""What the lane has made, in sentences for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from wavcaps_assets.lane.runs import Job, Step
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore, path_of

SET_KEY = ("wavcaps",)
# Tables of the other code location, whose schemas are not known here.
SCORES_KEY = ("scores", "retrieval")
SEEDS_KEY = ("scores", "seeds")
METRIC = "R@10"
DIRECTIONS = {"text_to_audio": "text to audio", "audio_to_text": "audio to text"}


def result_lines(tables: TableStore, scores: bool = True) -> str:
    """The size of the set, and the scores of the trained model, a line each.

    Args:
        tables: the tables in the store.
        scores: whether this lane has scored a model; if not, the scores in the store are of an earlier set.
    """
    lines = [published(tables), *(scored(tables) if scores else ())]
    return "\n".join(f"  {line}" for line in lines)


def with_reasons(step: Step, job: Job, tables: TableStore) -> str:
    """A step that has made its table, with why it dropped clips."""
    if not step.dropped:
        return str(step)
    dropped = tables.read_dropped(step.name.split("/"), [job.partition or WHOLE])
    reasons = Counter(dropped["reason"].to_pylist()).most_common()
    return f"{step} ({', '.join(f'{reason} {clips:,}' for reason, clips in reasons)})"


def published(tables: TableStore) -> str:
    """How many clips the set has, and of which sources, where its table says that."""
    clips = f"{tables.rows(SET_KEY, None):,} clips with a caption"
    sources = ", ".join(tables.sources_of(SET_KEY))
    return f"{clips}, from {sources}" if sources else clips


def scored(tables: TableStore) -> list[str]:
    """For each direction of retrieval, the trained model's score next to chance; empty: no scores."""
    path = path_of(SCORES_KEY, None)
    if not tables.store.exists(path):
        return []
    with tables.store.opening_table(path) as file:
        # A table of an older version has no interval, and does not name its checkpoint.
        later = [name for name in ("low", "high", "checkpoint") if name in file.schema_arrow.names]
        rows = file.read(columns=["model", "direction", "metric", "value", "clips", *later]).to_pylist()
    return list(_compared(rows, _over_seeds(tables)))


def _over_seeds(tables: TableStore) -> dict[tuple[str, str], str]:
    """The mean score over several seeds, as text, by checkpoint and direction; empty: there are none."""
    path = path_of(SEEDS_KEY, None)
    if not tables.store.exists(path):
        return {}
    with tables.store.opening_table(path) as file:
        rows = file.read().to_pylist()
    return {
        (row["checkpoint"], row["direction"]): (
            f"{row['value']:.1f} ± {row['deviation'] or 0:.1f} %, the mean of {row['seeds']} seeds"
            f"{_interval(row)},"
        )
        for row in rows
        if row["seed"] is None and row["metric"] == METRIC
    }


def _interval(row: Mapping[str, Any]) -> str:
    """The interval of a score, with a space before it; empty: clips of a single recording have none."""
    low, high = row.get("low"), row.get("high")
    return "" if low is None or high is None else f" (95 % interval {low:.1f} to {high:.1f})"


def _compared(rows: Iterable[dict[str, Any]], over_seeds: Mapping[tuple[str, str], str]) -> Iterable[str]:
    values = {(row["direction"], row["model"]): row for row in rows if row["metric"] == METRIC}
    for direction, name in DIRECTIONS.items():
        trained, chance = values.get((direction, "trained")), values.get((direction, "chance"))
        if trained and chance:
            own = (trained.get("checkpoint", ""), direction)
            value = over_seeds.get(own, f"{trained['value']:.1f} %{_interval(trained)}")
            yield (
                f"{METRIC}, {name}: {value} on {trained['clips']:,} test clips; "
                f"by chance {chance['value']:.1f} %"
            )
