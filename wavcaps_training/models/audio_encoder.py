"""The audio encoders that a model can have. A new one is an entry in `NETWORKS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from wavcaps_training.models.cnn14 import Cnn14
from wavcaps_training.models.htsat import Htsat
from wavcaps_training.settings.model import AnyEncoderSettings

AudioNetwork = Htsat | Cnn14

# By the field `encoder` of their settings.
NETWORKS: Mapping[str, Callable[[Any], AudioNetwork]] = {"htsat": Htsat, "cnn14": Cnn14}


class AudioEncoder(nn.Module):
    """Holds the audio encoder under the name that the released checkpoints give it."""

    def __init__(self, audio_enc: AudioNetwork) -> None:
        super().__init__()
        self.audio_enc = audio_enc


def build_audio_encoder(settings: AnyEncoderSettings) -> AudioNetwork:
    """The audio encoder that the settings describe, with fresh weights."""
    return NETWORKS[settings.encoder](settings)
