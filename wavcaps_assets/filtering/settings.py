"""The settings of stage 1: the paper's two rules, and rules beyond the paper.

Of these only the one for silent clips is on.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, Field, field_validator

from wavcaps_assets.crawl.licences import NAMED, TERMS, UNKNOWN
from wavcaps_assets.sources import require_sources

LICENCE_CLASSES = frozenset({*TERMS, *(licence.name for licence in NAMED.values()), UNKNOWN.name})


class DescriptionForm(StrEnum):
    """When two descriptions count as the same; each form ignores more differences than the one before.

    A description without a visible character is not counted in any form.
    """

    EXACT = "exact"
    """Every character counts, as crawled."""
    SPACES = "spaces"
    """Runs of white space, control and format characters count as one space, and are removed at the ends."""
    SPACES_AND_CASE = "spaces_and_case"
    """Also in lower case, with composed accents (Unicode NFC)."""
    WORDS = "words"
    """Also only letters and digits, unless there are none."""


class FilterSettings(BaseModel):
    """The thresholds of stage 1; the defaults are the paper's (section III.B, Pre-Filtering)."""

    min_duration_s: float = Field(
        1.0, ge=0, allow_inf_nan=False, description="shorter clips are dropped (s); the paper: 1"
    )
    max_clips_per_description: int = Field(
        5, ge=1, description="a description shared by more clips is dropped; the paper: 5"
    )
    frequency_filtered_sources: list[str] = Field(
        ["freesound", "freesound_data_packs"],
        description="sources whose frequent descriptions are dropped; the paper: FreeSound only. Your own "
        "sounds are not among them: add `local_folder` if many of them share a text that says nothing",
    )
    description_form: DescriptionForm = Field(
        DescriptionForm.EXACT,
        description="how descriptions are normalised before they are counted: EXACT (not at all, as in the "
        "paper), SPACES, SPACES_AND_CASE or WORDS (letters and digits only)",
    )
    min_peak_dbfs: float | None = Field(
        -80.0,
        le=0,
        allow_inf_nan=False,
        description="clips whose loudest sample is quieter are dropped as `silent` (dBFS): nothing can be "
        "learned from them. -80 is 3 steps of 16 bits, the noise of dither; none: silent clips are kept. "
        "Beyond the paper",
    )
    max_silence_share: float | None = Field(
        None,
        ge=0,
        le=1,
        description="clips with a larger share of silent frames are dropped (0 to 1); beyond the paper",
    )
    max_clipped_share: float | None = Field(
        None,
        ge=0,
        le=1,
        description="clips with a larger share of clipped samples are dropped (0 to 1); beyond the paper",
    )
    min_bandwidth_hz: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="clips with a narrower band are dropped (Hz, of at most 16,000); beyond the paper",
    )
    licence_classes: list[str] = Field(
        [],
        description="only clips of these licence classes are kept, such as CC0 and BY; empty: all. "
        "Beyond the paper",
    )
    english_only: bool = Field(
        False,
        description="clips whose description, or else title, is certainly not English are dropped; "
        "beyond the paper",
    )
    drop_exact_duplicates: bool = Field(
        False,
        description="of clips with the same samples, only the first by clip_id is kept; beyond the paper",
    )

    @property
    def for_given(self) -> FilterSettings:
        """For clips that are published as they came: if nothing is chosen, no rule applies."""
        if self.model_dump() != FilterSettings().model_dump():
            return self
        return FilterSettings(min_duration_s=0, frequency_filtered_sources=[], min_peak_dbfs=None)

    @field_validator("frequency_filtered_sources")
    @classmethod
    def _sources_exist(cls, names: list[str]) -> list[str]:
        require_sources(names)
        return names

    @field_validator("licence_classes")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        unknown = sorted({*names} - LICENCE_CLASSES)
        if unknown:
            known = ", ".join(sorted(LICENCE_CLASSES))
            raise ValueError(f"there is no licence class {', '.join(map(repr, unknown))}; there are {known}")
        return names
