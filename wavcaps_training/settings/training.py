"""How a model is trained, as typed settings that travel with its weights.

Defaults are the paper's (section IV.A). This module imports neither torch nor transformers, so that asset
definitions can read it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from wavcaps_training.settings.model import (
    TINY_HTSAT,
    AnyEncoderSettings,
    FrontEndSettings,
    Frozen,
    ModelSettings,
    Pooling,
    TextEncoderSettings,
)


class Objective(StrEnum):
    """What is minimised.

    PAPER: NT-Xent with a fixed temperature, a clip's own caption the only positive (equation 3).
    RELEASED: the released code's: the temperature is learned, all captions of the same clip share the
    target, and a regulariser on the embeddings is added.
    """

    PAPER = "paper"
    RELEASED = "released"


class Padding(StrEnum):
    """What fills a clip that is shorter than the model's input."""

    ZEROS = "zeros"
    REPEAT = "repeat"
    BATCH = "batch"


class ClipSettings(Frozen):
    """How a clip becomes the model's fixed-size input (section IV.A: cropped or padded to 10 s)."""

    seconds: float = Field(10.0, gt=0, description="length of the model's input (s)")
    padding: Padding = Field(
        Padding.ZEROS,
        description="`zeros` after the end (the paper's, for HTSAT); `repeat`: the clip again and again; or "
        "`batch`: zeros up to the longest clip of its batch (the released code's, and CNN14's in the paper)",
    )
    evaluation_position: float = Field(
        0.5,
        ge=0,
        le=1,
        description="where a longer clip is cropped in evaluation: 0 at its start, 0.5 in its middle; "
        "training crops at random (and so does the released code's evaluation, which is why it varies)",
    )


class Precision(StrEnum):
    """In what numbers a model computes; its weights are always kept in 32 bits."""

    FULL = "32-true"
    BF16 = "bf16-mixed"
    FP16 = "16-mixed"


class CaptionChoice(StrEnum):
    """What an epoch does with a clip that has several captions."""

    ALL = "all"
    ONE = "one"


# Edges of the released code's buckets of duration (s): below 5, from 5 to below 10, ..., from 30 on.
RELEASED_BUCKETS = (5.0, 10.0, 15.0, 20.0, 25.0, 30.0)


class RunSettings(Frozen):
    """How a model is trained, whatever it is; the defaults are those of section IV.A."""

    clip: ClipSettings = ClipSettings()
    audio_weights: str = Field(
        "",
        description="file that the audio encoder starts from: PANNs' Cnn14 or HTSAT's, trained on AudioSet, "
        "as the paper's; empty: fresh weights",
    )
    captions: CaptionChoice = Field(
        CaptionChoice.ALL,
        description="of a clip with several captions, each is an example (`all`, as in the released code), "
        "or one is drawn each epoch (`one`)",
    )
    buckets: tuple[float, ...] = Field(
        RELEASED_BUCKETS,
        description="edges (s) of the buckets of duration that a batch is drawn from one of; empty: none. "
        "The paper groups clips of similar duration and names no edges; the released code does so in its "
        "pre-training only, with these",
    )
    epochs: int = Field(15, gt=0, description="passes over the train split (40 for the pre-training setting)")
    batch_size: int = Field(128, gt=1, description="examples a step, on all devices together")
    micro_batch_size: int | None = Field(
        None,
        gt=0,
        description="how many of a step's examples are on a device at once; none: all. A contrastive loss "
        "still sees the whole batch (its gradients are cached, https://arxiv.org/abs/2101.06983)",
    )
    learning_rate: float = Field(5e-5, gt=0, description="Adam's learning rate, at its highest")
    warmup_epochs: float = Field(0.0, ge=0, description="linear warm-up (epochs); the released code: 2")
    cosine: bool = Field(
        False,
        description="cosine decay to 0 after the warm-up, as in the released code; the paper names none",
    )
    count_steps_as_released: bool = Field(
        False,
        description="lay the learning rates out for examples // batch_size + 1 steps an epoch, one more than "
        "there are, as the released code does",
    )
    weight_decay: float = Field(0.0, ge=0, description="Adam's weight decay; the paper names none")
    decoupled_weight_decay: bool = Field(
        True, description="decay the weights themselves (AdamW) and not by their gradients (L2)"
    )
    clip_gradient_norm: float | None = Field(
        None, gt=0, description="longest gradient of all weights together; none: any. Captioning: 2"
    )
    precision: Precision = Field(Precision.FULL, description="numbers of the computation")
    compile: bool = Field(False, description="compile the encoders with torch.compile")
    early_stop_epochs: int | None = Field(
        None, gt=0, description="stop after so many epochs without a better validation; none: never"
    )
    save_every_steps: int | None = Field(
        None,
        gt=0,
        description="save where the run is after so many steps, to go on from there if it is killed; none: "
        "after each epoch",
    )
    gather_negatives: bool = Field(
        True,
        description="on several devices, a clip is told apart from those on all of them; the released code "
        "has no such thing",
    )
    seed: int = Field(20, ge=0, description="seed of weights, order, crops and masks (the released code's)")
    cache_log_mel: bool = Field(
        False,
        description="keep each clip's log-mel in memory; a long clip is then cropped once a run",
    )
    loader_workers: int = Field(0, ge=0, description="processes that read audio beside the training one")

    @property
    def audio_encoder(self) -> AnyEncoderSettings:
        """The audio encoder that is trained."""
        raise NotImplementedError

    @property
    def language_model_missing(self) -> str:
        """Why the language model does not start from the paper's weights; empty: it does."""
        raise NotImplementedError

    @property
    def missing_weights(self) -> list[str]:
        """What the paper's models start from (sections IV.A and IV.B) and these settings do not name."""
        audio = "the audio encoder starts from fresh weights: audio_weights names none from AudioSet"
        missing = ["" if self.audio_weights else audio, self.language_model_missing]
        return [why for why in missing if why]

    @property
    def front_end(self) -> FrontEndSettings:
        """Its front end."""
        return self.audio_encoder.front_end

    @model_validator(mode="after")
    def clip_fits_model(self) -> Self:
        audio, clip = self.audio_encoder, self.clip
        audio.check_frames(audio.front_end.frames(round(clip.seconds * audio.front_end.sample_rate)))
        if self.cache_log_mel and (clip.padding is Padding.BATCH or self.loader_workers):
            raise ValueError(
                "cache_log_mel keeps log-mels of one length in the training process: it goes neither with "
                "clip.padding `batch` nor with loader_workers"
            )
        return self

    @field_validator("buckets")
    @classmethod
    def edges_rise(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        if list(edges) != sorted(set(edges)):
            raise ValueError("the edges must rise, each above the one before")
        return edges


class TrainingSettings(RunSettings):
    """One run of the retrieval model; the defaults are those of HTSAT-BERT in section IV.A."""

    task: Literal["retrieval"] = Field("retrieval", description="what the model is for")
    model: ModelSettings = ModelSettings()
    objective: Objective = Objective.PAPER
    temperature: float = Field(0.07, gt=0, description="temperature, or where learning it starts")

    @property
    def audio_encoder(self) -> AnyEncoderSettings:
        return self.model.audio

    @property
    def language_model_missing(self) -> str:
        if self.model.text.folder:
            return ""
        return "the text encoder is a MiniLM: model.text.folder names no bert-base-uncased"


PAPER = TrainingSettings()
RELEASED = TrainingSettings(
    objective=Objective.RELEASED,
    clip=ClipSettings(padding=Padding.BATCH),
    warmup_epochs=2,
    cosine=True,
    count_steps_as_released=True,
    gather_negatives=False,
)

DEMO = TrainingSettings(
    model=ModelSettings(
        audio=TINY_HTSAT, text=TextEncoderSettings(pooling=Pooling.MEAN, frozen=True), joint_dim=256
    ),
    buckets=(),
    epochs=60,
    batch_size=32,
    learning_rate=1e-3,
    warmup_epochs=2,
    cosine=True,
    cache_log_mel=True,
)
