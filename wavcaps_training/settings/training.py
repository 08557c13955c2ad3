"""The settings of a training run, which are stored with the model's weights.

Defaults are the paper's (section IV.A). This module imports neither torch nor transformers, so that asset
definitions can read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from wavcaps_training.settings.encoder import EncoderSettings, FrontEndSettings, Frozen
from wavcaps_training.settings.encoders.aisfx import AisfxSettings
from wavcaps_training.settings.encoders.htsat import TINY_HTSAT
from wavcaps_training.settings.model import ModelSettings, Pooling, TextEncoderSettings


class Objective(StrEnum):
    """The loss that is minimised.

    PAPER: NT-Xent with a fixed temperature, a clip's own caption the only positive (equation 3).
    RELEASED: the released code's: the temperature is learned, all captions of the same clip share the
    target, and a regulariser on the embeddings is added.
    """

    PAPER = "paper"
    RELEASED = "released"


class Padding(StrEnum):
    """How a clip that is shorter than the model's input is filled."""

    ZEROS = "zeros"
    REPEAT = "repeat"
    BATCH = "batch"


class ClipSettings(Frozen):
    """How a clip becomes an input of fixed size (section IV.A: cropped or padded to 10 s)."""

    seconds: float = Field(10.0, gt=0, description="length of the model's input (s)")
    padding: Padding = Field(
        Padding.ZEROS,
        description="`zeros` after the end (the paper's, for HTSAT); `repeat`: the clip is repeated; or "
        "`batch`: zeros up to the longest clip of its batch (the released code's, and CNN14's in the paper)",
    )
    evaluation_position: float = Field(
        0.5,
        ge=0,
        le=1,
        description="where a longer clip is cropped in evaluation: 0 at its start, 0.5 in its middle; "
        "training crops at random, and so does the released code's evaluation, whose scores vary therefore",
    )


class Precision(StrEnum):
    """The number format of the computation; weights are always stored in 32 bits."""

    FULL = "32-true"
    BF16 = "bf16-mixed"
    FP16 = "16-mixed"


class CaptionChoice(StrEnum):
    """How an epoch uses a clip with several captions."""

    ALL = "all"
    ONE = "one"


# Edges of the released code's buckets of duration (s): below 5, from 5 to below 10, ..., 30 and above.
RELEASED_BUCKETS = (5.0, 10.0, 15.0, 20.0, 25.0, 30.0)


class RunSettings(Frozen):
    """The settings of every run, for any task; the defaults are those of section IV.A.

    Attributes:
        shown_scores: the validation scores that say most, and their names for people.
    """

    shown_scores: ClassVar[Mapping[str, str]]

    clip: ClipSettings = ClipSettings()
    audio_weights: str = Field(
        "",
        description="file of weights that the audio encoder starts from: PANNs' Cnn14 or HTSAT, trained on "
        "AudioSet, as in the paper; empty: fresh weights",
    )
    captions: CaptionChoice = Field(
        CaptionChoice.ALL,
        description="how a clip with several captions is used: each caption is an example (`all`, as in the "
        "released code), or one is drawn in each epoch (`one`)",
    )
    buckets: tuple[float, ...] = Field(
        RELEASED_BUCKETS,
        description="edges (s) of buckets of duration; all clips of a batch are from one bucket. Empty: no "
        "buckets. The paper groups clips of similar duration and names no edges; the released code does so "
        "only in pre-training, with these",
    )
    bucket_leftovers: bool = Field(
        True,
        description="clips that do not fill a batch of their bucket make batches with those of the next "
        "buckets; otherwise an epoch leaves them out, as in the released code",
    )
    epochs: int = Field(15, gt=0, description="passes over the train split (40 for the pre-training setting)")
    batch_size: int = Field(128, gt=1, description="examples per step, on all devices together")
    micro_batch_size: int | None = Field(
        None,
        gt=0,
        description="how many examples of a step are on a device at a time; none: all. A contrastive loss "
        "still uses the whole batch (its gradients are cached, https://arxiv.org/abs/2101.06983)",
    )
    learning_rate: float = Field(5e-5, gt=0, description="Adam's highest learning rate")
    warmup_epochs: float = Field(0.0, ge=0, description="linear warm-up (epochs); the released code: 2")
    cosine: bool = Field(
        False,
        description="cosine decay to 0 after the warm-up, as in the released code; the paper names none",
    )
    count_steps_as_released: bool = Field(
        False,
        description="plan the learning rates for examples // batch_size + 1 steps per epoch, one more than "
        "there are, as the released code does",
    )
    weight_decay: float = Field(0.0, ge=0, description="Adam's weight decay; the paper names none")
    decoupled_weight_decay: bool = Field(
        True, description="decay the weights directly (AdamW), and not through their gradients (L2)"
    )
    clip_gradient_norm: float | None = Field(
        None,
        gt=0,
        description="highest norm of the gradient of all weights together; none: no limit. The released "
        "captioners: 2",
    )
    precision: Precision = Field(Precision.FULL, description="number format of the computation")
    compile: bool = Field(False, description="compile the encoders with torch.compile")
    early_stop_epochs: int | None = Field(
        None, gt=0, description="stop after this many epochs without a better validation; none: never"
    )
    save_every_steps: int | None = Field(
        None,
        gt=0,
        description="save the run each time after this many steps, to resume there if it is killed; none: "
        "after each epoch",
    )
    gather_negatives: bool = Field(
        True,
        description="on several devices, the negatives of a clip come from all devices; the released code "
        "does not do this",
    )
    seed: int = Field(20, ge=0, description="seed of weights, order, crops and masks (the released code's)")
    cache_log_mel: bool = Field(
        False,
        description="keep each clip's log-mel in memory; a long clip is then cropped only once per run",
    )
    max_unreadable_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="share of a split's clips that may be left out because their audio is missing, damaged "
        "or silent (0 to 1); one clip may always be, unless this is 0. With more, the run fails",
    )
    loader_workers: int | None = Field(
        None,
        ge=0,
        description="processes that read audio, in addition to the training process; none: on a GPU one for "
        "each core, 8 at most, unless log-mels or features are cached; otherwise 0. Batches go through "
        "/dev/shm: give a container enough of it",
    )
    tf32: bool = Field(
        False,
        description="on a GPU, products of 32-bit matrices are computed with 10 bits of mantissa (TF32), "
        "several times as fast; convolutions follow torch's own default, which is TF32",
    )

    @property
    def audio_encoder(self) -> EncoderSettings:
        """The settings of the audio encoder."""
        raise NotImplementedError

    @property
    def language_model_missing(self) -> str:
        """Why the language model does not start from the paper's weights; empty: it does."""
        raise NotImplementedError

    @property
    def missing_weights(self) -> list[str]:
        """What the paper's models start from (sections IV.A and IV.B) and these settings do not name."""
        audio = "the audio encoder starts from fresh weights: audio_weights names none from AudioSet"
        if self.audio_encoder.pretrained:
            audio = (
                f"the audio encoder, {self.audio_encoder.encoder}, is frozen and was not trained on AudioSet"
            )
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
                "cache_log_mel keeps log-mels of one length in the training process: it cannot be combined "
                "with clip.padding `batch` or with loader_workers"
            )
        return self

    @field_validator("buckets")
    @classmethod
    def edges_rise(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        if list(edges) != sorted(set(edges)):
            raise ValueError("each edge must be higher than the one before")
        return edges


class TrainingSettings(RunSettings):
    """One run of the retrieval model; the defaults are those of HTSAT-BERT in section IV.A."""

    shown_scores: ClassVar[Mapping[str, str]] = {"recall_at_1": "R@1 (%)", "recall_at_10": "R@10 (%)"}

    task: Literal["retrieval"] = Field("retrieval", description="the task of the model")
    model: ModelSettings = ModelSettings()
    objective: Objective = Objective.PAPER
    temperature: float = Field(0.07, gt=0, description="temperature, or its initial value if it is learned")

    @property
    def audio_encoder(self) -> EncoderSettings:
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
    bucket_leftovers=False,
    warmup_epochs=2,
    cosine=True,
    count_steps_as_released=True,
    gather_negatives=False,
)

# Pooling, dropout and weight decay were chosen on the demo's validation split (docs/models.md).
PRETRAINED_DEMO = TrainingSettings(
    model=ModelSettings(
        audio=AisfxSettings(),
        text=TextEncoderSettings(pooling=Pooling.MEAN, frozen=True),
        joint_dim=256,
        input_dropout=0.5,
    ),
    clip=ClipSettings(seconds=30.0, padding=Padding.BATCH),
    buckets=(),
    epochs=60,
    batch_size=32,
    learning_rate=1e-3,
    weight_decay=0.05,
    warmup_epochs=2,
    cosine=True,
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
