"""The tables of scores in the store, and whether they are of the checkpoints and lists that are there now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wavcaps_assets.benchmark_sets.scored_clips import clips_sha256, scored_clips
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_training.checkpoints.header import stored_weights_sha256


@dataclass(frozen=True)
class StoredScores:
    """A table of scores of one checkpoint.

    Attributes:
        key: of its asset, such as `scores/retrieval/clotho/htsat_bert/zero_shot`.
        rows: all of its rows.
        checkpoint: the row of the checkpoint's table as it is now; None: there is none.
        current_sha256: the hash of that checkpoint's weights; None: not known.
        start: the row of the checkpoint that it started from; None: it started from none, or it is not there.
        listed_sha256: the hash of the clips that the benchmark's lists have to score now; None: not known.
    """

    key: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]
    checkpoint: Mapping[str, Any] | None
    current_sha256: str | None
    start: Mapping[str, Any] | None = None
    listed_sha256: str | None = None

    @property
    def trained(self) -> list[Mapping[str, Any]]:
        """The rows of the checkpoint, without those of chance."""
        return [row for row in self.rows if row["model"] == "trained"]

    @property
    def stale(self) -> str:
        """Sentences if its checkpoint was trained again since, or the benchmark's lists changed.

        Empty: neither, or not known.
        """
        said = [*self._trained_again(), *self._lists_changed()]
        return " ".join((*said, f"Materialize {'/'.join(self.key)} again.")) if said else ""

    def _trained_again(self) -> Iterator[str]:
        scored = next((row["weights_sha256"] for row in self.trained), None)
        if scored and self.current_sha256 and scored != self.current_sha256:
            yield (
                f"The checkpoint was trained again since: this score is of older weights ({scored[:8]}, now "
                f"{self.current_sha256[:8]})."
            )

    def _lists_changed(self) -> Iterator[str]:
        row = next(iter(self.trained), {})
        scored = row.get("listed_sha256")
        if scored is None and not row.get("missing") and not row.get("unreadable"):
            # All clips of the lists were scored.
            scored = row.get("scored_on_sha256")
        if scored and self.listed_sha256 and scored != self.listed_sha256:
            yield f"The clips or captions of the benchmark {row['benchmark']} changed since."


class CurrentLists:
    """The lists of benchmarks as they are in the store now. Each is read once.

    Args:
        tables: the store's tables.
    """

    def __init__(self, tables: TableStore) -> None:
        self._tables = tables
        self._known: dict[str, str | None] = {}

    def sha256(self, benchmark: str) -> str | None:
        """The hash of the clips that its lists have to score; None: it is not in the store.

        Raises:
            StoreError: its table exists and cannot be read.
        """
        if benchmark not in self._known:
            key = ["benchmark", benchmark]
            there = self._tables.exists(key, None)
            self._known[benchmark] = (
                clips_sha256(scored_clips(self._tables.read(key, [WHOLE]))) if there else None
            )
        return self._known[benchmark]


def read_scores(
    tables: TableStore,
    key: Sequence[str],
    checkpoint: Sequence[str],
    start: Sequence[str] | None = None,
    lists: CurrentLists | None = None,
) -> StoredScores | None:
    """A table of scores; None: it does not exist, or has no row.

    Args:
        tables: the store's tables.
        key: of the asset of the scores.
        checkpoint: the key of the checkpoint's asset.
        start: the key of the one that it started from; None: fresh weights.
        lists: of the benchmarks; None: the scores are not of a benchmark.

    Raises:
        StoreError: a table exists and cannot be read.
    """
    if not tables.exists(key, None):
        return None
    rows = tables.read(key, [WHOLE]).to_pylist()
    if not rows:
        return None
    row = _checkpoint(tables, checkpoint)
    current = _weights(tables, row)
    started = _checkpoint(tables, start) if start else None
    listed = lists.sha256(rows[0]["benchmark"]) if lists else None
    return StoredScores(tuple(key), rows, row, current, started, listed)


def current_weights(tables: TableStore, checkpoint: Sequence[str]) -> str | None:
    """The hash of a checkpoint's weights as they are now; None: it is not there, or not known.

    Args:
        checkpoint: the key of its asset.

    Raises:
        StoreError: its table exists and cannot be read.
    """
    return _weights(tables, _checkpoint(tables, checkpoint))


def _checkpoint(tables: TableStore, key: Sequence[str]) -> Mapping[str, Any] | None:
    rows = tables.read(key, [WHOLE]).to_pylist() if tables.exists(key, None) else []
    return rows[0] if rows else None


def _weights(tables: TableStore, checkpoint: Mapping[str, Any] | None) -> str | None:
    path = checkpoint.get("weights_path") if checkpoint is not None else None
    return stored_weights_sha256(tables.store, path) if path else None
