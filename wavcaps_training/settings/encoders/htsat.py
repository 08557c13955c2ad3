"""HTSAT: its settings in the paper's size, and a tiny one."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from wavcaps_training.settings.encoder import EncoderSettings, FrontEndSettings, SpecAugmentSettings


class HtsatSettings(EncoderSettings):
    """The HTSAT audio encoder (https://arxiv.org/abs/2202.00874)."""

    network: ClassVar[str] = "wavcaps_training.models.htsat:Htsat"

    encoder: Literal["htsat"] = Field("htsat", description="the audio encoder that these settings describe")
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

SETTINGS = HtsatSettings
