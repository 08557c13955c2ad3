"""The settings of the analysis."""

from __future__ import annotations

from pydantic import BaseModel, Field


class AnalysisSettings(BaseModel):
    """The settings of the analysis. Defaults are the paper's values (section III.C) if it has any."""

    seed: int = Field(
        0,
        description="seed of the examples, and of the order of clips for the growth of the vocabulary",
    )
    examples_per_source: int = Field(4, ge=1, le=100, description="clips of each source shown; Table II: 2")
    words_listed: int = Field(
        100, ge=1, le=10_000, description="words listed on either side; Figure 2b shows 100"
    )
    prior_words: float = Field(
        1_000.0,
        gt=0,
        allow_inf_nan=False,
        description="weight (words) of the prior that texts and captions use the same words; with a larger "
        "weight, rare words count less",
    )
    often: int = Field(
        5, ge=1, description="a caption with more copies than this recurs often; section III.C: 5"
    )
    most_frequent: int = Field(30, ge=1, le=1_000, description="most frequent words listed for each source")
    growth_points: int = Field(
        40, ge=2, le=1_000, description="points of the curve of the vocabulary's growth"
    )
