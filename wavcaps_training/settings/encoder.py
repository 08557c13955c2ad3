"""What the settings of every audio encoder have."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FrontEndSettings(Frozen):
    """The log-mel spectrogram (https://github.com/RetroCirce/HTS-Audio-Transformer, as in WavCaps)."""

    sample_rate: int = Field(32_000, gt=0, description="sample rate of the audio (Hz)")
    window: int = Field(1024, gt=0, description="length of the FFT and of its Hann window (samples)")
    hop: int = Field(320, gt=0, description="distance between frames (samples)")
    mel_bins: int = Field(64, gt=0, description="mel bins, on Slaney's scale and area-normalised")
    f_min: float = Field(50.0, ge=0, description="lower edge of the lowest mel bin (Hz)")
    f_max: float = Field(14_000.0, gt=0, description="upper edge of the highest mel bin (Hz)")

    def frames(self, samples: int) -> int:
        """The number of frames of a waveform: one every `hop` samples, including both ends."""
        return samples // self.hop + 1


class SpecAugmentSettings(Frozen):
    """Masks on the normalised log-mel while training (https://arxiv.org/abs/1904.08779).

    The paper does not mention it; the released code always applies it, with these values.
    """

    time_width: int = Field(64, ge=0, description="a time stripe is narrower than this (frames)")
    time_stripes: int = Field(2, ge=0, description="time stripes a clip")
    mel_width: int = Field(8, ge=0, description="a frequency stripe is narrower than this (mel bins)")
    mel_stripes: int = Field(2, ge=0, description="frequency stripes a clip")


class EncoderSettings(Frozen):
    """The settings of an audio encoder. Each encoder has a subclass, in a file of `settings/encoders/`.

    Attributes:
        network: where the network is, as `module:class`. The class takes these settings.
        weights_sha256: SHA-256 of the file of pretrained weights that the network always has, and that are
            never trained; empty: the network is trained.
        attribution: the credit line of these weights.
    """

    network: ClassVar[str]
    weights_sha256: ClassVar[str] = ""
    attribution: ClassVar[str] = ""

    encoder: str = Field(description="the audio encoder that these settings describe")
    front_end: FrontEndSettings = FrontEndSettings()

    @property
    def pretrained(self) -> bool:
        """Whether the network is frozen, so that a clip's features need to be computed only once."""
        return bool(self.weights_sha256)

    @property
    @abstractmethod
    def min_samples(self) -> int:
        """Samples of the shortest waveform that the encoder accepts."""

    @property
    @abstractmethod
    def embedding_dim(self) -> int:
        """Width of a clip's embedding, for retrieval."""

    @property
    @abstractmethod
    def fine_grained_dim(self) -> int:
        """Width of a time step, for captioning."""

    @abstractmethod
    def check_frames(self, frames: int) -> None:
        """Raises ValueError: clips with this number of frames do not fit."""
