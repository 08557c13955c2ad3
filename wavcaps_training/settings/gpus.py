"""On how many GPUs steps run, and how often they are tried again: what differs from machine to machine."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class GpuSettings(BaseSettings):
    """Settings of steps that need a GPU. `GpuSettings()` reads the environment (`WAVCAPS_...`)."""

    model_config = SettingsConfigDict(env_prefix="WAVCAPS_", extra="ignore")

    gpus_per_training: float = Field(
        1,
        gt=0,
        description="CUDA devices that each checkpoint is trained on: a whole number, or a share of one in "
        "twentieths, such as 0.5; read when the definitions are loaded",
    )
    gpu_step_retries: int = Field(
        3,
        ge=0,
        description="how often a step on a GPU is retried when its process dies; read when the definitions "
        "are loaded",
    )

    @field_validator("gpus_per_training")
    @classmethod
    def check_gpus(cls, value: float) -> float:
        parts = value if value > 1 else round(value * 20, 9)
        if parts != int(parts):
            raise ValueError("give a whole number of devices, or a share of one in twentieths, such as 0.5")
        return value
