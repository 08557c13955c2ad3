"""Where the files of caption metrics are that no package has."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class MetricFiles(BaseSettings):
    """The folder of these files. `MetricFiles()` reads the environment (`WAVCAPS_...`)."""

    model_config = SettingsConfigDict(env_prefix="WAVCAPS_", extra="ignore")

    metric_files: str = Field(
        "",
        description="folder of the files that SPICE and FENSE need and no package has "
        "(docs/caption-scores.md); empty: these scores read `not measured`",
    )

    @property
    def folder(self) -> Path | None:
        """The folder; None: it is not set."""
        return Path(self.metric_files).expanduser() if self.metric_files else None
