"""How audio is fetched."""

from __future__ import annotations

from pydantic import BaseModel, Field


class FetchSettings(BaseModel):
    """How audio is fetched."""

    workers: int = Field(4, ge=1, description="clips that are fetched and normalised at once")
    longest_s: float = Field(
        12 * 3600.0, gt=0, description="longest clip (s); the BBC's run to hours, a small file's need not end"
    )
