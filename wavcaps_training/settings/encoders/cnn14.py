"""CNN14: its settings in the paper's size, and a tiny one."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from wavcaps_training.settings.encoder import EncoderSettings, FrontEndSettings, SpecAugmentSettings


class Cnn14Settings(EncoderSettings):
    """The CNN14 audio encoder (https://arxiv.org/abs/1912.10211), as in the released WavCaps models."""

    network: ClassVar[str] = "wavcaps_training.models.cnn14:Cnn14"

    encoder: Literal["cnn14"] = Field("cnn14", description="the audio encoder that these settings describe")
    spec_augment: SpecAugmentSettings = SpecAugmentSettings()
    channels: tuple[int, ...] = Field(
        (64, 128, 256, 512, 1024, 2048),
        min_length=1,
        description="channels of each block; a block halves frames and mel bins",
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout after each block")
    fc1_dim: int = Field(
        0,
        ge=0,
        description="width of an additional layer after the mean over frequency, for captioning (1024 in the "
        "released captioner); 0: no such layer, as in retrieval",
    )

    @property
    def min_frames(self) -> int:
        """Frames of the shortest clip that leaves a time step after all blocks; there is no longest."""
        return int(2 ** len(self.channels))

    @property
    def min_samples(self) -> int:
        """Samples of the shortest waveform that leaves a time step after all blocks."""
        return self.min_frames * self.front_end.hop

    @property
    def embedding_dim(self) -> int:
        return self.channels[-1]

    @property
    def fine_grained_dim(self) -> int:
        """Width of a time step, for captioning."""
        return self.fc1_dim or self.channels[-1]

    def check_frames(self, frames: int) -> None:
        """Raises ValueError: clips with this number of frames do not fit."""
        if frames < self.min_frames:
            raise ValueError(
                f"clips of {frames} frames are too short for the audio encoder, which takes at least "
                f"{self.min_frames}; increase clip.seconds, or remove entries of channels"
            )

    @model_validator(mode="after")
    def blocks_leave_a_mel_bin(self) -> Self:
        if self.front_end.mel_bins < 2 ** len(self.channels):
            raise ValueError(
                f"{len(self.channels)} blocks halve {self.front_end.mel_bins} mel bins to none; "
                "remove entries of channels, or increase mel_bins"
            )
        return self


TINY_CNN14 = Cnn14Settings(
    front_end=FrontEndSettings(window=2048, hop=1280),
    spec_augment=SpecAugmentSettings(time_width=16),
    channels=(8, 16, 32, 64, 64, 128),
)

SETTINGS = Cnn14Settings
