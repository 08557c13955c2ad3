"""What the network of every audio encoder does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from torch import Tensor, nn

from wavcaps_training.settings.encoder import EncoderSettings


class AudioFeatures(Protocol):
    """What a network returns for a batch of clips."""

    @property
    def embedding(self) -> Tensor:
        """One vector a clip, (batch, `embedding_dim` of the settings), for retrieval."""

    @property
    def fine_grained_embedding(self) -> Tensor:
        """One vector a time step, (batch, steps, `fine_grained_dim` of the settings), for captioning."""


class AudioNetwork(nn.Module, ABC):
    """The network of an audio encoder, made from the encoder's settings.

    Attributes:
        settings: its own.
        audio_feats_extractor: the front end, under the name that the released checkpoints give it.
    """

    settings: EncoderSettings
    audio_feats_extractor: nn.Module

    @abstractmethod
    def encode(self, log_mel: Tensor) -> AudioFeatures:
        """The features of log-mel spectrograms (batch, 1, frames, mel bins)."""

    def load_pretrained(self) -> None:
        """Fills the network with the weights that it always starts from; by default it has none."""
