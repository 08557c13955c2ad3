"""Settings of the removal of unused files."""

from __future__ import annotations

from pydantic import BaseModel, Field


class RemovalSettings(BaseModel, extra="forbid"):
    """Which unused files are removed."""

    dry_run: bool = Field(True, description="List what would be removed, and remove nothing.")
    unused_for_days: float = Field(
        7.0,
        ge=0,
        description="Only files that were written at least this many days ago are removed. For a checkpoint, "
        "the newest file of its folder counts: an interrupted training can be resumed that long.",
    )
