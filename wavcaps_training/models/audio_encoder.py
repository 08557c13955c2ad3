"""The audio encoder of a model: built as its settings say, and held under the released name."""

from __future__ import annotations

from pkgutil import resolve_name

from torch import nn

from wavcaps_training.models.audio_network import AudioNetwork
from wavcaps_training.settings.encoder import EncoderSettings


class AudioEncoder(nn.Module):
    """Holds the audio encoder under the name that the released checkpoints give it."""

    def __init__(self, audio_enc: AudioNetwork) -> None:
        super().__init__()
        self.audio_enc = audio_enc


def build_audio_encoder(settings: EncoderSettings) -> AudioNetwork:
    """The audio encoder that the settings describe, with fresh weights."""
    network: AudioNetwork = resolve_name(settings.network)(settings)
    return network
