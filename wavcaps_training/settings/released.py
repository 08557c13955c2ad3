"""Where the files of released checkpoints are: what differs from machine to machine."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

VARIABLE = "WAVCAPS_RELEASED_CHECKPOINTS"


class ReleasedSettings(BaseSettings):
    """Settings of released checkpoints. `ReleasedSettings()` reads the environment (`WAVCAPS_...`)."""

    model_config = SettingsConfigDict(env_prefix="WAVCAPS_", extra="ignore")

    released_checkpoints: str = Field(
        "",
        description="folder of the checkpoints that the paper's authors released (docs/scores.md); empty: "
        "none",
    )
