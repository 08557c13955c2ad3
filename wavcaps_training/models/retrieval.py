"""The acoustic semantic embedding (ASE) model: two towers and a shared space (section IV.A)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from wavcaps_training.models.audio_encoder import AudioEncoder, build_audio_encoder
from wavcaps_training.models.audio_network import AudioNetwork
from wavcaps_training.models.text_encoder import TextEncoder
from wavcaps_training.settings.training import Objective, TrainingSettings


class RetrievalModel(nn.Module):
    """Audio clips and captions as unit vectors whose dot product is their similarity (equation 2).

    Names in the state dict are those of the released checkpoints: `audio_encoder.audio_enc.*`,
    `text_encoder.text_encoder.*`, `audio_proj.*`, `text_proj.*` and `temp`.
    """

    def __init__(
        self,
        audio: AudioNetwork,
        text: TextEncoder,
        joint_dim: int,
        temperature: float,
        learn_temperature: bool,
    ) -> None:
        super().__init__()
        self.audio_encoder = AudioEncoder(audio)
        self.text_encoder = text
        self.audio_proj = projection(audio.settings.embedding_dim, joint_dim)
        self.text_proj = projection(text.width, joint_dim)
        self.temp = nn.Parameter(torch.tensor(temperature), requires_grad=learn_temperature)

    @classmethod
    def build(
        cls, settings: TrainingSettings, *, pretrained_text: bool = True, text_folder: Path | None = None
    ) -> RetrievalModel:
        """A model with fresh audio weights.

        Args:
            settings: the model, and how its temperature is treated.
            pretrained_text: whether BERT's weights are read; False if a checkpoint will fill the model.
            text_folder: BERT's configuration and tokenizer, if not those of the settings' folder.

        Raises:
            TextModelError: there is no BERT where the settings say.
        """
        return cls(
            build_audio_encoder(settings.model.audio),
            TextEncoder.from_folder(settings.model.text, pretrained=pretrained_text, folder=text_folder),
            settings.model.joint_dim,
            settings.temperature,
            learn_temperature=settings.objective is Objective.RELEASED,
        )

    @property
    def device(self) -> torch.device:
        return self.temp.device

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self.text_encoder.tokenizer

    @property
    def text_config(self) -> PretrainedConfig:
        return self.text_encoder.text_encoder.config

    def log_mel(self, waveform: Tensor) -> Tensor:
        """(batch, samples) to (batch, 1, frames, mel bins)."""
        return self.audio_encoder.audio_enc.audio_feats_extractor(waveform)

    def embed_log_mel(self, log_mel: Tensor) -> Tensor:
        """Unit vectors of clips: (batch, 1, frames, mel bins) to (batch, joint dim)."""
        return F.normalize(self.audio_proj(self.audio_encoder.audio_enc.encode(log_mel).embedding))

    def embed_audio(self, waveform: Tensor) -> Tensor:
        """Unit vectors of clips: (batch, samples) to (batch, joint dim)."""
        return self.embed_log_mel(self.log_mel(waveform))

    def embed_text_features(self, features: Tensor) -> Tensor:
        """Unit vectors of captions, from the text encoder's features: (captions, joint dim)."""
        return F.normalize(self.text_proj(features))

    def embed_text(self, captions: Sequence[str]) -> Tensor:
        """Unit vectors of captions: (captions, joint dim)."""
        return self.embed_text_features(self.text_encoder(captions))


def projection(width: int, joint_dim: int) -> nn.Sequential:
    """The two-layer perceptron after each tower."""
    return nn.Sequential(nn.Linear(width, joint_dim), nn.ReLU(), nn.Linear(joint_dim, joint_dim))
