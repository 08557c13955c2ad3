"""How questions are put into batches, and how long these are waited for."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class BatchSettings(BaseModel):
    """How questions are put into batches, and how long these are waited for."""

    model_config = ConfigDict(frozen=True)

    requests: int = Field(50_000, ge=1, le=50_000, description="requests a batch; OpenAI allows 50,000")
    bytes: int = Field(
        100_000_000, ge=1000, le=200_000_000, description="bytes a batch; OpenAI allows 200 MB"
    )
    attempts: int = Field(3, ge=1, le=10, description="how often a request is submitted at most")
    poll_s: float = Field(15.0, gt=0, description="until the first look at the batches (s); later ones grow")
    longest_poll_s: float = Field(300.0, gt=0, description="between two looks at most (s)")
    wait_in_place_s: float = Field(900.0, ge=0, description="how long a run waits before it pauses (s)")
    pause_s: float = Field(1800.0, gt=0, description="until a paused run is taken up again (s)")
    creation_settles_s: float = Field(
        60.0,
        ge=0,
        description="how long a batch whose creation went unanswered may take to be listed (s); only then "
        "is it submitted again",
    )
