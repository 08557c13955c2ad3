"""The tables of scores in the store, and whether they are of the checkpoints that are there now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    """

    key: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]
    checkpoint: Mapping[str, Any] | None
    current_sha256: str | None
    start: Mapping[str, Any] | None = None

    @property
    def trained(self) -> list[Mapping[str, Any]]:
        """The rows of the checkpoint, without those of chance."""
        return [row for row in self.rows if row["model"] == "trained"]

    @property
    def stale(self) -> str:
        """A sentence if the checkpoint was trained again since it was scored; empty: no, or not known."""
        scored = next((row["weights_sha256"] for row in self.trained), None)
        if not scored or not self.current_sha256 or scored == self.current_sha256:
            return ""
        return (
            f"The checkpoint was trained again since: this score is of older weights ({scored[:8]}, now "
            f"{self.current_sha256[:8]}). Materialize {'/'.join(self.key)} again."
        )


def read_scores(
    tables: TableStore, key: Sequence[str], checkpoint: Sequence[str], start: Sequence[str] | None = None
) -> StoredScores | None:
    """A table of scores; None: it does not exist, or has no row.

    Args:
        tables: the store's tables.
        key: of the asset of the scores.
        checkpoint: the key of the checkpoint's asset.
        start: the key of the one that it started from; None: fresh weights.

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
    return StoredScores(tuple(key), rows, row, current, _checkpoint(tables, start) if start else None)


def _checkpoint(tables: TableStore, key: Sequence[str]) -> Mapping[str, Any] | None:
    rows = tables.read(key, [WHOLE]).to_pylist() if tables.exists(key, None) else []
    return rows[0] if rows else None


def _weights(tables: TableStore, checkpoint: Mapping[str, Any] | None) -> str | None:
    path = checkpoint.get("weights_path") if checkpoint is not None else None
    return stored_weights_sha256(tables.store, path) if path else None
