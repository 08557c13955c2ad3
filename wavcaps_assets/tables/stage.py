"""What every stage of the pipeline returns: the clips that it kept, and those that it dropped.

Nothing is lost between two stages: every input clip is in one of the two tables.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class Stage:
    """The outcome of a stage.

    Attributes:
        kept: the stage's own table.
        dropped: `tables.DROPPED`, one row for each dropped clip, with its reason.
        crawl_id: the id of the crawl or the fetch that produced this. It is stored with the table, so
            that the next crawl or fetch knows that this one is finished.
        settings: the settings of the stage, as JSON, stored with the table for the next stages.
        replaces: the id of the crawl or the fetch whose table this one replaces, empty if there was no table:
            a table that was written since is kept. None: any table is replaced.
    """

    kept: pa.Table
    dropped: pa.Table
    crawl_id: str | None = None
    settings: str | None = None
    replaces: str | None = None


def drop(
    clip_id: str, source: str, stage: str, reason: str, detail: str | None = None
) -> dict[str, str | None]:
    """A row of `tables.DROPPED`."""
    return {"clip_id": clip_id, "source": source, "stage": stage, "reason": reason, "detail": detail}
