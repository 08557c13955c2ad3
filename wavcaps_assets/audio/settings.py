"""Settings of fetching audio."""

from __future__ import annotations

from pydantic import BaseModel, Field

from wavcaps_assets.audio.copies import ExtraCopy


class FetchSettings(BaseModel):
    """How audio is fetched and stored."""

    workers: int = Field(4, ge=1, description="number of clips fetched and normalised at the same time")
    longest_s: float = Field(
        12 * 3600.0,
        gt=0,
        description="longest clip (s); BBC recordings last hours, and a small file can decode to any length",
    )
    extra_copy: ExtraCopy = Field(
        ExtraCopy.none,
        description="what is also kept of each clip: `original` (the downloaded file, in "
        "`audio_original/`), or `flac_44100` or `flac_48000` (16-bit FLAC at 44.1 or 48 kHz with the "
        "original's channels, in `audio_flac_44100/` or `audio_flac_48000/`); clips stored without it are "
        "fetched again",
    )
