"""Settings of the removal of unused files."""

from __future__ import annotations

from pydantic import BaseModel, Field

KEPT_VERSIONS = 30


class RemovalSettings(BaseModel, extra="forbid"):
    """Which unused files are removed."""

    dry_run: bool = Field(True, description="List what would be removed, and remove nothing.")
    unused_for_days: float = Field(
        7.0,
        ge=0,
        description="Only files that were written at least this many days ago are removed. For a checkpoint, "
        "the newest file of its folder counts: an interrupted training can be resumed that long. Trained "
        "seeds of `worth` are kept that long for the next comparison.",
    )
    keep_versions: int = Field(
        KEPT_VERSIONS,
        ge=1,
        description="Of the published versions of the set, the newest ones that are kept. A version that a "
        "checkpoint, a score or a training manifest names is kept as well, with the audio of its clips.",
    )
