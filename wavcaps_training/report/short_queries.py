"""How well short queries find their clip, as the report shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from wavcaps_assets.show.text import shown
from wavcaps_assets.store.stored_file import StoredFile
from wavcaps_assets.tables.asset_tables import TableStore, path_of, set_version_of
from wavcaps_training.paper.stored_scores import current_weights
from wavcaps_training.tables.search import QUERY_SCORES_FOLDER

# Of `query_scores/<model>/<experiment>`.
PARTS = 3
METRICS = ("R@1", "R@5", "R@10", "mAP@10", "median rank")
WORDS = {
    "caption": "the whole caption",
    "two_words": "two words of it",
    "query": "further captions: query",
    "tags": "further captions: tags",
    "short": "further captions: short",
}


@dataclass(frozen=True)
class QueryScore:
    """A score with its interval; ends are None if there is one recording only."""

    value: float
    low: float | None
    high: float | None
    chance: float


@dataclass(frozen=True)
class QueryKind:
    """Queries of one kind, as in `tables.QUERY_SCORES`.

    Attributes:
        name: for people.
        scores: one for each of `METRICS`.
    """

    name: str
    words: float
    queries: int
    clips: int
    shared: int
    example: str
    scores: tuple[QueryScore | None, ...]


@dataclass(frozen=True)
class ShortQueries:
    """The queries of a checkpoint.

    Attributes:
        stale: sentences if the checkpoint was trained again since, or the set published again; empty:
            neither, or not known.
    """

    checkpoint: str
    kinds: tuple[QueryKind, ...]
    stale: str = ""


def read_short_queries(
    tables: TableStore, files: Iterable[StoredFile], published: str | None = None
) -> tuple[ShortQueries, ...]:
    """The scores of queries of all checkpoints that have an index.

    Args:
        tables: the store's tables.
        files: those of the store.
        published: the version of the set that is published now; None: not known.

    Raises:
        StoreError: a table cannot be read.
    """
    found = []
    for key in sorted(tuple(file.path.split("/")[1:-1]) for file in files if _has_scores(file.path)):
        by_kind: dict[str, list[dict[str, Any]]] = {}
        scores = tables.read(key)
        for row in scores.to_pylist():
            by_kind.setdefault(row["query"], []).append(row)
        order = [*(kind for kind in WORDS if kind in by_kind), *sorted(by_kind.keys() - WORDS.keys())]
        if order:
            kinds = tuple(_kind(kind, by_kind[kind]) for kind in order)
            stale = " ".join(_stale(tables, key, scores, published))
            found.append(ShortQueries(shown("/".join(key[1:])), kinds, stale))
    return tuple(found)


def _stale(tables: TableStore, key: Sequence[str], scores: pa.Table, published: str | None) -> list[str]:
    name, of_set = "/".join(key[1:]), set_version_of(scores)
    weights, now = scores["weights_sha256"][0].as_py(), current_weights(tables, ("checkpoint", *key[1:]))
    said = []
    if now not in (None, weights):
        said.append("The checkpoint was trained again since: these scores are of older weights.")
    if of_set and published and of_set != published:
        said.append(f"The set is {published} now, and these scores are of the test clips of {of_set}.")
    return [*said, f"Materialize search_index/{name} and query_scores/{name} again."] if said else []


def _has_scores(path: str) -> bool:
    key = path.split("/")[1:-1]
    return len(key) == PARTS and key[0] == QUERY_SCORES_FOLDER and path == path_of(key, None)


def _kind(kind: str, rows: list[dict[str, Any]]) -> QueryKind:
    by_metric = {row["metric"]: row for row in rows}
    scores = (
        QueryScore(**{name: row[name] for name in ("value", "low", "high", "chance")})
        if (row := by_metric.get(metric))
        else None
        for metric in METRICS
    )
    first = rows[0]
    about = {name: first[name] for name in ("words", "queries", "clips", "shared")}
    return QueryKind(
        WORDS.get(kind, shown(kind)), example=shown(first["example"]), scores=tuple(scores), **about
    )
