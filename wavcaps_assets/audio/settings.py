"""Settings of fetching audio."""

from __future__ import annotations

from pydantic import BaseModel, Field


class FetchSettings(BaseModel):
    """How audio is fetched and stored."""

    workers: int = Field(4, ge=1, description="number of clips fetched and normalised at the same time")
    longest_s: float = Field(
        12 * 3600.0,
        gt=0,
        description="longest clip (s); BBC recordings last hours, and a small file can decode to any length",
    )
