"""The audio encoder of a model: built as its settings say, and held under the released name."""

from __future__ import annotations

from pkgutil import resolve_name

from torch import nn

from wavcaps_training.models.audio_network import AudioNetwork
from wavcaps_training.settings.encoder import EncoderSettings


class AudioEncoder(nn.Module):
    """Holds the audio encoder under the name that the released checkpoints give it."""

    audio_enc: AudioNetwork

    def __init__(self, audio_enc: AudioNetwork) -> None:
        super().__init__()
        self.audio_enc = audio_enc


def build_audio_encoder(settings: EncoderSettings, *, pretrained: bool = True) -> AudioNetwork:
    """The audio encoder that the settings describe, with fresh weights, or with its own pretrained ones.

    Args:
        settings: of the encoder.
        pretrained: whether those are read; False if a checkpoint will fill the model.

    Raises:
        PretrainedWeightsError: they are not installed.
    """
    network: AudioNetwork = resolve_name(settings.network)(settings)
    if pretrained:
        network.load_pretrained()
    return network
