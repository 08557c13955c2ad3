"""Settings of reading a listing."""

from __future__ import annotations

from pydantic import BaseModel, Field


class CrawlSettings(BaseModel):
    """When a listing is not believed."""

    most_bad_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of unusable records above which the crawl fails, since the source has changed",
    )
    few_bad: int = Field(4, ge=0, description="this many unusable records never fail a crawl")
