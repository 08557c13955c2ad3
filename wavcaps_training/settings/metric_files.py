"""Where the files are that scores of captions and of generated sounds need, and that no package has."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class MetricFiles(BaseSettings):
    """The folder of these files. `MetricFiles()` reads the environment (`WAVCAPS_...`)."""

    model_config = SettingsConfigDict(env_prefix="WAVCAPS_", extra="ignore")

    metric_files: str = Field(
        "",
        description="folder of the files that no package has, and that SPICE and FENSE "
        "(docs/caption-scores.md) and FAD, FD, IS and KL of generated sound (docs/text-to-sound.md) need; "
        "empty: these scores read `not measured`",
    )

    @property
    def folder(self) -> Path | None:
        """The folder; None: it is not set."""
        return Path(self.metric_files).expanduser() if self.metric_files else None
