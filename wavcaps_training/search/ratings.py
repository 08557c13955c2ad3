"""Thumbs up and down, as people gave them: an append log, and the table of the last ones.

A record has the query, the result, the checkpoint and the time. It has no name, no address and nothing else
of the person. A query is stored as it was typed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

import pyarrow as pa
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from wavcaps_assets.clock import utc_now
from wavcaps_assets.store.append_log import AppendLog
from wavcaps_assets.store.storage import Store
from wavcaps_training.tables import SEARCH_RATINGS

LOG = "log/search_ratings"
LONGEST_TEXT = 500


class Thumb(StrEnum):
    """What a person thinks of a result. `NONE` takes the thumb back."""

    UP = "up"
    DOWN = "down"
    NONE = "none"


class QueryKind(StrEnum):
    """What was searched with."""

    TEXT = "text"
    CLIP = "clip"
    SOUND = "sound"


class Rating(BaseModel):
    """One click."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    checkpoint: str = Field(max_length=LONGEST_TEXT)
    weights_sha256: str = Field(max_length=LONGEST_TEXT)
    query_kind: QueryKind
    query: str = Field(min_length=1, max_length=LONGEST_TEXT)
    clip_id: str = Field(min_length=1, max_length=LONGEST_TEXT)
    rank: int = Field(ge=1, le=10_000)
    score: float = Field(ge=-1.01, le=1.01, allow_inf_nan=False)
    thumb: Thumb
    searched_version: str | None = None
    at: AwareDatetime = Field(default_factory=utc_now)

    @property
    def subject(self) -> tuple[str, ...]:
        """What it is about: the key of `tables.SEARCH_RATINGS`."""
        return self.weights_sha256, self.query_kind, self.query, self.clip_id


class Ratings:
    """The log of ratings. Threads and processes may share it.

    Args:
        store: where the log is.
    """

    def __init__(self, store: Store) -> None:
        self._log = AppendLog(store, LOG)
        self._lock = threading.Lock()
        self._last = {rating.subject: rating.thumb for rating in _read(self._log)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._log.close()

    def add(self, rating: Rating) -> bool:
        """Writes a rating down, unless it says what the last one of the same result said, as a double click.

        Returns:
            Whether it was new.

        Raises:
            StoreError: it could not be written.
        """
        with self._lock:
            if self._last.get(rating.subject, Thumb.NONE) is rating.thumb:
                return False
            self._log.append(rating.model_dump(mode="json"))
            self._last[rating.subject] = rating.thumb
            return True

    def thumb(self, subject: tuple[str, ...]) -> Thumb:
        """The last thumb of a result."""
        return self._last.get(subject, Thumb.NONE)


def ratings_table(store: Store) -> pa.Table:
    """`tables.SEARCH_RATINGS`: the last thumb of each result, by time.

    Records that another program wrote into the log, and that are no ratings, are left out.

    Raises:
        StoreError: the log cannot be read.
    """
    last: dict[tuple[str, ...], Mapping[str, Any]] = {}
    log = AppendLog(store, LOG)
    # Segments of several processes are read one after another.
    for rating in sorted(_read(log), key=_at):
        before = last.get(rating.subject)
        if before is not None and before["thumb"] == rating.thumb:
            continue
        changes = before["changes"] + 1 if before is not None else 0
        last[rating.subject] = {**rating.model_dump(), "thumb": str(rating.thumb), "changes": changes}
    kept = [row for row in last.values() if row["thumb"] != Thumb.NONE]
    return SEARCH_RATINGS.from_rows(
        {**row, "query_kind": str(row["query_kind"])} for row in sorted(kept, key=lambda row: row["at"])
    )


def _at(rating: Rating) -> datetime:
    return rating.at


def _read(log: AppendLog) -> Iterator[Rating]:
    for record in log.read():
        try:
            yield Rating.model_validate(record)
        except ValidationError:
            continue
