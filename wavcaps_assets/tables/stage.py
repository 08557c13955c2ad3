"""What every stage of the pipeline returns: the clips it kept and the clips it set aside.

Nothing is lost between two stages: each clip that goes in is in one of the two tables.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class Stage:
    """The outcome of a stage.

    Attributes:
        kept: the stage's own table.
        dropped: `tables.DROPPED`, one row for each clip set aside, with its reason.
        round: the crawl or fetch that this is the outcome of; kept beside the table, it tells the
            next one that this one is done.
        settings: how the stage was set, as JSON; kept beside the table for the stages behind it.
    """

    kept: pa.Table
    dropped: pa.Table
    round: str | None = None
    settings: str | None = None


def drop(
    clip_id: str, source: str, stage: str, reason: str, detail: str | None = None
) -> dict[str, str | None]:
    """A row of `tables.DROPPED`."""
    return {"clip_id": clip_id, "source": source, "stage": stage, "reason": reason, "detail": detail}
