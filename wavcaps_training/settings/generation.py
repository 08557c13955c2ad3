"""The settings of text-to-sound models and their runs, which are stored with the weights.

Defaults are the paper's (section IV.D), which uses AudioLDM-S (https://arxiv.org/abs/2301.12503). This module
imports neither torch nor diffusers, so that asset definitions can read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from wavcaps_training.settings.encoder import EncoderSettings, FrontEndSettings, Frozen
from wavcaps_training.settings.training import CaptionChoice, ClipSettings, Padding, RunSettings

# Of AudioLDM: 16 kHz, a frame each 10 ms, 64 mel bins up to 8 kHz.
AUDIOLDM_MEL = FrontEndSettings(
    sample_rate=16_000, window=1024, hop=160, mel_bins=64, f_min=0.0, f_max=8000.0
)
# 1024 frames.
AUDIOLDM_CLIP = ClipSettings(seconds=10.24)


class Condition(StrEnum):
    """The embedding that a model learns to make sound from: that of the clip, or that of its caption."""

    AUDIO = "audio"
    TEXT = "text"


class Vocoder(StrEnum):
    """What turns a spectrogram into a waveform: HiFi-GAN (AudioLDM's), or Griffin-Lim, without weights."""

    HIFI_GAN = "hifi-gan"
    GRIFFIN_LIM = "griffin-lim"


class AutoencoderSettings(EncoderSettings):
    """A variational autoencoder of log-mel spectrograms, and the vocoder after it.

    The log-mel is AudioLDM's: of the magnitude, as natural logarithm with a floor of 1e-5.
    """

    network: ClassVar[str] = "wavcaps_training.models.sound_autoencoder:SoundAutoencoder"

    encoder: Literal["mel_vae"] = Field("mel_vae", description="the kind of the autoencoder")
    front_end: FrontEndSettings = AUDIOLDM_MEL
    channels: int = Field(128, gt=0, description="channels of the first level")
    multipliers: tuple[int, ...] = Field(
        (1, 2, 4),
        min_length=1,
        description="channels of each level, over `channels`; each level but the last halves both axes",
    )
    patch: int = Field(
        1,
        gt=0,
        description="squares of this many frames and mel bins become the input's channels, so that no layer "
        "works at full resolution; AudioLDM's: 1",
    )
    linear_path: bool = Field(
        False,
        description="whether a linear map of each patch, which begins as a discrete cosine transform, is "
        "added to what the networks compute, so that they only learn what it loses; AudioLDM has none",
    )
    middle_attention: bool = Field(
        True, description="whether the lowest level attends to itself, in encoder and decoder"
    )
    blocks: int = Field(2, gt=0, description="residual blocks of each level")
    groups: int = Field(32, gt=0, description="groups of each normalisation")
    latent_channels: int = Field(8, gt=0, description="channels of the latent")
    mel_mean: float = Field(
        0.0, description="is subtracted from the log-mel; AudioLDM's training code names -4.63 and uses none"
    )
    mel_std: float = Field(
        1.0, gt=0, description="divides the log-mel; AudioLDM's training code names 2.74 and uses none"
    )
    vocoder: Vocoder = Vocoder.HIFI_GAN

    @property
    def reduction(self) -> int:
        """How many frames, or mel bins, become one element of the latent."""
        return int(self.patch * 2 ** (len(self.multipliers) - 1))

    def latent_shape(self, seconds: float) -> tuple[int, int, int]:
        """(channels, frames, bins) of the latent of a clip; (8, 256, 16) for AudioLDM's 10.24 s."""
        frames = round(seconds * self.front_end.sample_rate) // self.front_end.hop
        return self.latent_channels, frames // self.reduction, self.front_end.mel_bins // self.reduction

    @property
    def min_samples(self) -> int:
        return self.front_end.window

    @property
    def embedding_dim(self) -> int:
        """Width of the latent's frames."""
        return self.fine_grained_dim

    @property
    def fine_grained_dim(self) -> int:
        """Width of a frame of the latent."""
        return self.latent_channels * self.front_end.mel_bins // self.reduction

    def check_frames(self, frames: int) -> None:
        """Raises ValueError: the spectrogram of a clip cannot be halved as often as the autoencoder does."""
        whole = frames - 1
        if whole % self.reduction or self.front_end.mel_bins % self.reduction:
            raise ValueError(
                f"a clip has {whole} frames of {self.front_end.mel_bins} mel bins, and the autoencoder "
                f"divides both by {self.reduction}: choose clip.seconds and mel_bins that are multiples"
            )

    @model_validator(mode="after")
    def linear_path_has_its_patches(self) -> Self:
        if self.linear_path and (len(self.multipliers) > 1 or self.latent_channels > self.patch**2):
            raise ValueError(
                "linear_path maps a patch to the channels of one latent: it needs one level (multipliers) "
                f"and at most patch x patch ({self.patch**2}) latent_channels"
            )
        return self

    @model_validator(mode="after")
    def groups_divide_channels(self) -> Self:
        if any(self.channels * multiplier % self.groups for multiplier in self.multipliers):
            raise ValueError(f"channels of each level must be multiples of groups ({self.groups})")
        return self


class UNetSettings(Frozen):
    """The network that predicts the noise: AudioLDM-S's. M has 192 channels, L 256 and a head_dim of 64."""

    channels: int = Field(128, gt=0, description="channels of the first level")
    multipliers: tuple[int, ...] = Field(
        (1, 2, 3, 5),
        min_length=2,
        description="channels of each level, over `channels`; all levels but the first have attention",
    )
    blocks: int = Field(2, gt=0, description="residual blocks of each level")
    head_dim: int = Field(32, gt=0, description="width of an attention head")
    groups: int = Field(32, gt=0, description="groups of each normalisation")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.channels * multiplier for multiplier in self.multipliers)

    @model_validator(mode="after")
    def parts_divide_channels(self) -> Self:
        if any(width % self.groups or width % self.head_dim for width in self.widths):
            raise ValueError(
                f"channels of each level must be multiples of groups ({self.groups}) and of head_dim "
                f"({self.head_dim})"
            )
        return self


class Predicted(StrEnum):
    """What the network predicts: the noise (equation 5), or the velocity.

    The velocity is sqrt(a) noise - sqrt(1 - a) latent, where a is the share of the signal's power that is
    left (T. Salimans and J. Ho, https://arxiv.org/abs/2202.00512, section 4). Where there is almost only
    noise, a small error of the noise is a large one of the latent; one of the velocity is not.
    """

    NOISE = "noise"
    VELOCITY = "velocity"


class ScheduleSettings(Frozen):
    """The noise of each step: the square roots of the variances rise evenly."""

    steps: int = Field(1000, gt=1, description="steps of the diffusion")
    first_variance: float = Field(0.0015, gt=0, lt=1, description="variance that the first step adds")
    last_variance: float = Field(0.0195, gt=0, lt=1, description="variance that the last step adds")
    predicted: Predicted = Field(
        Predicted.NOISE, description="what the network predicts; `velocity` for one that trains for minutes"
    )


class LatentScale(StrEnum):
    """How latents get the variance of the noise: by one factor (AudioLDM's), or by one for each channel."""

    ALL = "all"
    CHANNEL = "channel"


class SamplingSettings(Frozen):
    """How sound is made from a text; the defaults are AudioLDM's."""

    steps: int = Field(200, gt=0, le=1000, description="steps of the DDIM sampler")
    eta: float = Field(1.0, ge=0, le=1, description="share of the noise of DDPM that each step adds")
    guidance: float = Field(2.5, ge=0, description="weight of the condition (classifier-free guidance)")
    candidates: int = Field(
        3, gt=0, description="sounds that are made for each text; the one most similar to the text is kept"
    )
    batch_size: int = Field(8, gt=0, description="sounds that are made at the same time")
    # The table of sounds has 64 bits for it.
    seed: int = Field(
        0, ge=0, lt=2**63, description="seed of the noise; a text's sound does not depend on the others"
    )


class GeneratorSettings(Frozen):
    """A latent diffusion model with its autoencoder, conditioned by the embeddings of a retrieval model."""

    audio: AutoencoderSettings = AutoencoderSettings()
    unet: UNetSettings = UNetSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    latent_scale: LatentScale = Field(
        LatentScale.ALL,
        description="`channel` where an autoencoder's channels differ in their variance, as with linear_path",
    )
    condition: Condition = Condition.AUDIO
    condition_dim: int = Field(
        1024, gt=0, description="width of the embedding: that of the retrieval model's shared space"
    )
    autoencoder_sha256: str = Field("", description="a hash of the autoencoder's weights; set by the run")
    conditioned_by_sha256: str = Field("", description="a hash of the retrieval model's; set by the run")
    latents_of_sha256: str = Field(
        "", description="a hash of the ids and captions of the clips with latents; set by the run"
    )


class AutoencoderModelSettings(Frozen):
    """An autoencoder alone."""

    audio: AutoencoderSettings = AutoencoderSettings()


class SoundRunSettings(RunSettings):
    """What runs of both models have in common."""

    clip: ClipSettings = AUDIOLDM_CLIP
    captions: CaptionChoice = CaptionChoice.ONE
    buckets: tuple[float, ...] = ()

    @property
    def missing_weights(self) -> list[str]:
        """Its autoencoder and its retrieval model are assets, so there is always what it starts from."""
        return []

    @model_validator(mode="after")
    def all_clips_are_of_one_length(self) -> Self:
        if self.audio_weights or self.clip.padding is Padding.BATCH:
            raise ValueError(
                "audio_weights and clip.padding `batch` are for retrieval and captioning: leave them as they "
                "are by default"
            )
        return self


class GenerationTrainingSettings(SoundRunSettings):
    """One run of a latent diffusion model; the defaults are those of section IV.D.

    Section IV.D: Adam, a learning rate of 3e-5, a batch size of 8, 400,000 steps on AudioCaps, which are 65
    epochs of its 49,838 clips.
    """

    shown_scores: ClassVar[Mapping[str, str]] = {"explained": "explained variance of what is predicted (%)"}

    task: Literal["generation"] = Field("generation", description="the task of the model")
    model: GeneratorSettings = GeneratorSettings()
    epochs: int = Field(65, gt=0, description="passes over the train split")
    batch_size: int = Field(8, gt=1, description="examples a step, on all devices together")
    learning_rate: float = Field(3e-5, gt=0, description="Adam's highest learning rate")
    condition_dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of examples whose condition is replaced by the embedding of the empty text, for "
        "classifier-free guidance; AudioLDM's training code drops whole batches in addition",
    )
    ema_decay: float = Field(
        0.9999, ge=0, lt=1, description="highest decay of the moving average of the weights, which samples"
    )
    keep_every_steps: int | None = Field(
        50_000,
        gt=0,
        description="keep a checkpoint each time after this many steps, for the protocol `paper`, which "
        "takes the one with the best FAD on the test split; none: only the best on the validation split",
    )

    @property
    def audio_encoder(self) -> EncoderSettings:
        return self.model.audio

    @model_validator(mode="after")
    def latents_are_cached(self) -> Self:
        if self.cache_log_mel:
            raise ValueError("cache_log_mel is for models that read audio: this one reads latents")
        return self

    @model_validator(mode="after")
    def latent_fits_unet(self) -> Self:
        _, frames, bins = self.model.audio.latent_shape(self.clip.seconds)
        halved = 2 ** (len(self.model.unet.multipliers) - 1)
        if frames % halved or bins % halved:
            raise ValueError(
                f"the latent of a clip is {frames} x {bins}, and the U-Net divides both by {halved}: give it "
                "fewer multipliers, or change clip.seconds"
            )
        return self


class AutoencoderTrainingSettings(SoundRunSettings):
    """One run of an autoencoder. The paper trains none: it takes AudioLDM's."""

    shown_scores: ClassVar[Mapping[str, str]] = {"explained": "explained variance (%)"}

    task: Literal["autoencoder"] = Field("autoencoder", description="the task of the model")
    model: AutoencoderModelSettings = AutoencoderModelSettings()
    epochs: int = Field(10, gt=0, description="passes over the train split")
    batch_size: int = Field(8, gt=1, description="examples a step, on all devices together")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's highest learning rate")
    divergence_weight: float = Field(
        1e-4, ge=0, description="weight of the latent's divergence from a normal distribution"
    )
    part_seconds: float | None = Field(
        None,
        gt=0,
        description="length of the part of each clip that a step is trained on, drawn at random (s); none: "
        "the whole clip. Validation and latents are of whole clips",
    )

    @property
    def audio_encoder(self) -> EncoderSettings:
        return self.model.audio

    @property
    def part_frames(self) -> int | None:
        """Frames of such a part; None: the whole clip."""
        if self.part_seconds is None:
            return None
        return round(self.part_seconds * self.front_end.sample_rate) // self.front_end.hop

    @model_validator(mode="after")
    def part_fits_model(self) -> Self:
        if self.part_seconds is not None and self.part_frames is not None:
            if self.part_seconds > self.clip.seconds:
                raise ValueError(f"part_seconds is longer than clip.seconds ({self.clip.seconds:g})")
            self.model.audio.check_frames(self.part_frames + 1)
        return self


# Ten seconds are 128 x 8 patches. Eight numbers of each hold 99 % of the spectrograms' variance; more are all
# but noise to a small network. Mean and deviation are those of the demo's train split.
TINY_AUTOENCODER = AutoencoderSettings(
    channels=64,
    multipliers=(1,),
    patch=8,
    linear_path=True,
    middle_attention=False,
    blocks=1,
    groups=8,
    latent_channels=8,
    mel_mean=-7.2,
    mel_std=2.8,
    vocoder=Vocoder.GRIFFIN_LIM,
)
TINY_UNET = UNetSettings(channels=32, multipliers=(1, 2, 3), blocks=1, head_dim=16, groups=8)
TINY_GENERATOR = GeneratorSettings(
    audio=TINY_AUTOENCODER,
    unet=TINY_UNET,
    schedule=ScheduleSettings(predicted=Predicted.VELOCITY),
    latent_scale=LatentScale.CHANNEL,
    condition=Condition.AUDIO,
    condition_dim=256,
)

# AudioLDM's own training code (https://github.com/haoheliu/AudioLDM-training-finetuning): AdamW, 800,000
# steps of two clips, a warm-up of 2,000 steps. On AudioCaps.
RELEASED_GENERATION = GenerationTrainingSettings(
    epochs=32, batch_size=2, learning_rate=1e-4, weight_decay=0.01, warmup_epochs=0.08
)
DEMO_AUTOENCODING = AutoencoderTrainingSettings(
    model=AutoencoderModelSettings(audio=TINY_AUTOENCODER),
    epochs=10,
    batch_size=4,
    warmup_epochs=0.5,
    cosine=True,
    cache_log_mel=True,
    part_seconds=2.56,
)
DEMO_GENERATION = GenerationTrainingSettings(
    model=TINY_GENERATOR,
    epochs=30,
    batch_size=8,
    learning_rate=1e-3,
    warmup_epochs=1,
    cosine=True,
    ema_decay=0.995,
    keep_every_steps=None,
)
