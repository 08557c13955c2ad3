"""The size of batches, and how long a run waits for them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class BatchSettings(BaseModel):
    """The size of batches, and how long a run waits for them."""

    model_config = ConfigDict(frozen=True)

    requests: int = Field(50_000, ge=1, le=50_000, description="requests in a batch; OpenAI allows 50,000")
    bytes: int = Field(
        100_000_000, ge=1000, le=200_000_000, description="bytes in a batch; OpenAI allows 200 MB"
    )
    attempts: int = Field(3, ge=1, le=10, description="the most times that a request is submitted")
    poll_s: float = Field(15.0, gt=0, description="time until the first look at the batches (s); it grows")
    longest_poll_s: float = Field(300.0, gt=0, description="the longest time between two looks (s)")
    wait_in_place_s: float = Field(900.0, ge=0, description="how long a run waits before it pauses (s)")
    pause_s: float = Field(1800.0, gt=0, description="time until a paused run continues (s)")
    creation_settles_s: float = Field(
        60.0,
        ge=0,
        description="how long a batch may take to be listed after its creation got no response (s); only "
        "then is it submitted again",
    )
