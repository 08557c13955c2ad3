"""FreeSound's settings, which its crawl and its login share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Literal

from pydantic import Field, SecretStr

from wavcaps_assets.sources.settings import SourceSettings


class FreesoundSettings(SourceSettings):
    """FreeSound's API v2 (https://freesound.org/docs/api/)."""

    key = "freesound"

    base_url: str = Field("", description="root of the site; empty: by `sources`")
    token: SecretStr = Field(
        SecretStr(""), description="API key (client secret), from https://freesound.org/apiv2/apply/"
    )
    client_id: str = Field("", description="client id of that key; downloads of originals need both")
    first_month: str = Field("", pattern=r"^(\d{4}-\d{2})?$", description="first month to crawl, YYYY-MM")
    last_month: str = Field(
        "", pattern=r"^(\d{4}-\d{2})?$", description="last month to crawl; empty: the last full month"
    )
    page_size: int = Field(150, ge=1, le=150, description="sounds a page; the API allows 150")
    most_pages: int = Field(
        1_000,
        ge=1,
        description="pages a month at most; a month has fewer than a hundred, so more are a fault",
    )
    audio: Literal["preview", "original"] = Field(
        "preview",
        description="what is downloaded; originals require the permission of an account: "
        "wavcaps freesound-login",
    )
    preview: str = Field(
        "preview-hq-ogg",
        pattern=r"^preview-(hq|lq)-(ogg|mp3)$",
        description="which preview is downloaded",
    )

    def defaults(self, demo_url: str | None) -> Mapping[str, object]:
        if demo_url:
            return {
                "base_url": f"{demo_url}/freesound",
                "token": SecretStr("demo"),
                "first_month": "2022-09",
                "last_month": "2022-11",
            }
        return {
            "base_url": "https://freesound.org",
            "first_month": "2005-04",
            "last_month": last_full_month(date.today()),
        }


def last_full_month(today: date) -> str:
    """The month before today's, as YYYY-MM."""
    year, month = (today.year, today.month - 1) if today.month > 1 else (today.year - 1, 12)
    return f"{year:04d}-{month:02d}"
