"""The settings of a slice."""

from __future__ import annotations

from pydantic import BaseModel, Field, field_validator

from wavcaps_assets.slices.licence_classes import BY_NAME


class SliceSettings(BaseModel):
    """What a slice has besides its intended use. The defaults keep every clip that the use permits."""

    generative: bool = Field(
        True,
        description="whether a generative model is trained; if not, the authors' wishes about generative "
        "models (`gen_ai_preference`) do not apply",
    )
    released_openly: bool = Field(
        False,
        description="whether the model's weights, code and training documentation will be free for "
        "everybody, which some authors require; implied by the use `open_source_models`, and without "
        "effect on `research` and `commercial`",
    )
    sources: list[str] = Field([], description="only clips of these sources; empty: of all")
    cleared_sources: list[str] = Field(
        [],
        description="sources whose rights you have cleared yourself, such as your own recordings: neither "
        "licence nor preference is asked for",
    )
    cleared_licence_classes: list[str] = Field(
        [],
        description="classes of licences that you have cleared yourself, such as `attribution_share_alike`",
    )
    shortest_s: float = Field(0.0, ge=0, allow_inf_nan=False, description="shortest duration of a clip (s)")
    longest_s: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="longest duration of a clip (s); empty: any"
    )
    synthetic: bool = Field(True, description="whether sounds are kept that their tags call AI-made")
    explicit: bool = Field(True, description="whether sounds are kept that their site marks as explicit")
    most_clipping: float | None = Field(
        None, ge=0, le=1, description="largest share of samples at full scale (0 to 1); empty: any"
    )
    most_silence: float | None = Field(
        None, ge=0, le=1, description="largest share of silent frames (0 to 1); empty: any"
    )
    least_bandwidth_hz: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="smallest bandwidth of the audio (Hz); empty: any"
    )

    @field_validator("cleared_licence_classes")
    @classmethod
    def _known_classes(cls, names: list[str]) -> list[str]:
        unknown = [name for name in names if name not in BY_NAME]
        if unknown:
            raise ValueError(
                f"no class of licences {', '.join(map(repr, unknown))}; there are {', '.join(BY_NAME)}"
            )
        return names

    @property
    def needs_measures(self) -> bool:
        """Whether the measures of the audio are needed, which the manifest does not have."""
        limits = (self.most_clipping, self.most_silence, self.least_bandwidth_hz)
        return any(limit is not None for limit in limits)
