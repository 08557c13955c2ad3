"""What a study draws, and how its answers are scored."""

from __future__ import annotations

from pydantic import BaseModel, Field

# Where pages, their keys and the raters' answers are, relative to the store.
FOLDER = "validation"


class StudySettings(BaseModel):
    """What is drawn; in section III.D, 160 clips of FreeSound, compared with Clotho's captions."""

    clips: int = Field(160, ge=1, le=2_000, description="how many clips; section III.D: 160")
    sources: list[str] = Field(
        ["freesound"], description="the sources drawn from; section III.D: FreeSound only; empty: all"
    )
    per_source: bool = Field(
        False,
        description="as many clips of each source; false: drawn from all of them alike, as in the paper",
    )
    longest_s: float = Field(
        30.0,
        gt=0,
        description="clips that last longer (s) are not drawn; the paper's are in Clotho, whose longest "
        "last 30 s, and the page holds all of the audio",
    )
    second_captions: str = Field(
        "",
        description="CSV or Parquet file of the captions to compare with, by `clip_id`: an absolute path, or "
        "one relative to the store; only its clips are drawn. Empty: clips are rated, nothing is compared",
    )
    seed: str = Field(
        "wavcaps",
        description="another seed, another draw. It also hides which caption is which: keep one of your own "
        "from the raters",
    )


class RatingsSettings(BaseModel):
    """Where the raters' answers are, and to which study."""

    study: str = Field("", description="the study's id; empty: the one drawn last")
    ratings: str = Field(
        f"{FOLDER}/ratings",
        description="folder of the raters' files: an absolute path, or one relative to the store",
    )


class ScoreSettings(BaseModel):
    """How raters' answers become figures: the intervals."""

    resamples: int = Field(
        2_000, ge=100, le=100_000, description="resamples of the clips (bootstrap) for an interval"
    )
    confidence: float = Field(0.95, gt=0, lt=1, description="confidence level of the intervals")
    seed: int = Field(0, ge=0, description="of the resampling")
