"""The settings of a study: how clips are sampled, and how answers are scored."""

from __future__ import annotations

from pydantic import BaseModel, Field, field_validator

from wavcaps_assets.sources import require_sources

# The folder of pages, keys and answers, relative to the store.
FOLDER = "validation"


class StudySettings(BaseModel):
    """The sample. In section III.D: 160 clips of FreeSound, compared with Clotho's captions."""

    clips: int = Field(160, ge=1, le=2_000, description="number of clips; section III.D: 160")
    sources: list[str] = Field(
        ["freesound"],
        description="sources to sample from; section III.D: FreeSound only. Empty, or if this default has no "
        "clips in the set: all",
    )
    per_source: bool = Field(
        False,
        description="the same number of clips from each source; false: one sample from all, as in the paper",
    )
    longest_s: float = Field(
        30.0,
        gt=0,
        description="longer clips (s) are not sampled; the paper's clips are from Clotho, with clips up to "
        "30 s long, and the page contains all of the audio",
    )
    second_captions: str = Field(
        "",
        description="CSV or Parquet file of the captions to compare with, by `clip_id`: an absolute path, or "
        "one relative to the store; only its clips are sampled. Empty: clips are rated and not compared",
    )
    seed: str = Field(
        "wavcaps",
        description="another seed gives another sample. It also hides which caption is which: choose your "
        "own, and do not show it to raters",
    )

    @field_validator("sources")
    @classmethod
    def _sources_exist(cls, names: list[str]) -> list[str]:
        require_sources(names)
        return names


class RatingsSettings(BaseModel):
    """The folder of the raters' answers, and their study."""

    study: str = Field("", description="id of the study; empty: the last one")
    ratings: str = Field(
        f"{FOLDER}/ratings",
        description="folder of the raters' files: an absolute path, or one relative to the store",
    )


class ScoreSettings(BaseModel):
    """How scores and their intervals are computed."""

    resamples: int = Field(
        2_000, ge=100, le=100_000, description="number of resamples of the clips (bootstrap) for an interval"
    )
    confidence: float = Field(0.95, gt=0, lt=1, description="confidence level of the intervals")
    seed: int = Field(0, ge=0, description="seed of the resampling")
