"""aisfx: an audio encoder that was trained on sound-effects libraries. It is frozen."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from wavcaps_training.settings.encoder import EncoderSettings, FrontEndSettings

# What the network was trained on. Another front end would give its weights another meaning.
FRONT_END = FrontEndSettings(
    sample_rate=44_100, window=2048, hop=1024, mel_bins=96, f_min=0.0, f_max=22_050.0
)


class AisfxSettings(EncoderSettings):
    """The encoder of the package `aisfx` (A. B. Ma and A. Lerch, ISMIR 2022, https://zenodo.org/records/7316800).

    It is pretrained and never trained here, so that a clip's features can be computed once.
    """

    network: ClassVar[str] = "wavcaps_training.models.aisfx:Aisfx"
    weights_sha256: ClassVar[str] = "499ea75909c932a2f94c35fa722fa4fabc5bcb7e84917209cc5f7402627b7eb5"
    attribution: ClassVar[str] = (
        "aisfx 0.1.2, Copyright 2022 A. B. Ma and A. Lerch, CC BY 4.0 "
        "(https://creativecommons.org/licenses/by/4.0/), https://zenodo.org/records/7316800; unchanged, but "
        "without its classifiers"
    )

    encoder: Literal["aisfx"] = Field("aisfx", description="the audio encoder that these settings describe")
    front_end: FrontEndSettings = Field(FRONT_END, description="that of the pretrained network")
    block: int = Field(100, ge=8, description="frames of a block; each block gives one vector (100: 2.3 s)")
    block_hop: int = Field(100, gt=0, description="distance between blocks (frames)")
    pooling: Literal["max", "mean"] = Field(
        "max", description="how the vectors of a clip's blocks become one"
    )

    @property
    def min_samples(self) -> int:
        """Samples of the shortest waveform that the encoder accepts."""
        return self.front_end.hop

    @property
    def embedding_dim(self) -> int:
        return 512

    @property
    def fine_grained_dim(self) -> int:
        """Width of a block's vector, for captioning."""
        return 512

    def check_frames(self, frames: int) -> None:
        """Clips of every length fit."""

    @model_validator(mode="after")
    def front_end_is_that_of_the_weights(self) -> Self:
        if self.front_end != FRONT_END:
            raise ValueError("front_end cannot be changed: the weights of aisfx were trained on this one")
        return self


SETTINGS = AisfxSettings
