"""Settings of fetching audio."""

from __future__ import annotations

from pydantic import BaseModel, Field

from wavcaps_assets.settings import EXTRA_COPY, ExtraCopy


class FetchSettings(BaseModel):
    """How audio is fetched and stored."""

    workers: int = Field(4, ge=1, description="number of clips fetched and normalised at the same time")
    longest_s: float = Field(
        12 * 3600.0,
        gt=0,
        description="longest clip (s); BBC recordings last hours, and a small file can decode to any length",
    )
    attempts: int = Field(
        3, ge=1, description="fetches in which a download must fail before it is no longer requested"
    )
    failures_in_a_row: int = Field(
        20,
        ge=1,
        description="clips that fail for the first time, one after another, before the host is blamed: the "
        "partition pauses, and nothing is recorded against the clips",
    )
    failed_partition: int = Field(
        5, ge=1, description="clips of a partition after which it pauses if all of them fail"
    )
    host_fault_days: int = Field(
        3,
        ge=1,
        description="days with such a pause after which clips that do not exist (404, 410) are believed to "
        "be gone, if a stored clip of the source can still be downloaded",
    )
    failure_pause_h: float = Field(6.0, gt=0, description="how long it pauses then (h)")
    extra_copy: ExtraCopy | None = Field(
        None, description=f"{EXTRA_COPY}; unset: what WAVCAPS_EXTRA_COPY says"
    )
