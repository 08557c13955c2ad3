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

# Waveforms have two dimensions, log-mels four.
FEATURES_NDIM = 3
SMALLEST_DEVIATION = 1e-6


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
        input_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.audio_encoder = AudioEncoder(audio)
        self.text_encoder = text
        width = audio.settings.embedding_dim
        self.audio_scale = Standardise(width) if audio.settings.pretrained else None
        self.input_dropout = nn.Dropout(input_dropout)
        self.audio_proj = projection(width, joint_dim)
        self.text_proj = projection(text.width, joint_dim)
        self.temp = nn.Parameter(torch.tensor(temperature), requires_grad=learn_temperature)

    @classmethod
    def build(
        cls, settings: TrainingSettings, *, pretrained_text: bool = True, text_folder: Path | None = None
    ) -> RetrievalModel:
        """A model with fresh audio weights.

        Args:
            settings: the model, and how its temperature is treated.
            pretrained_text: whether BERT's weights are read, and those of a pretrained audio encoder; False
                if a checkpoint will fill the model.
            text_folder: BERT's configuration and tokenizer, if not those of the settings' folder.

        Raises:
            TextModelError: there is no BERT where the settings say.
        """
        return cls(
            build_audio_encoder(settings.model.audio, pretrained=pretrained_text),
            TextEncoder.from_folder(settings.model.text, pretrained=pretrained_text, folder=text_folder),
            settings.model.joint_dim,
            settings.temperature,
            learn_temperature=settings.objective is Objective.RELEASED,
            input_dropout=settings.model.input_dropout,
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
        return self.embed_audio_features(self.audio_encoder.audio_enc.encode(log_mel).embedding)

    def embed_audio_features(self, features: Tensor) -> Tensor:
        """Unit vectors of clips, from the audio encoder's features: (clips, joint dim)."""
        if self.audio_scale is not None:
            features = self.audio_scale(features)
        return F.normalize(self.audio_proj(self.input_dropout(features)))

    def embed_audio(self, audio: Tensor) -> Tensor:
        """Unit vectors of clips.

        Args:
            audio: waveforms (batch, samples); or features of a pretrained encoder that were computed before
                (batch, 1, width).

        Returns:
            (batch, joint dim).
        """
        if audio.ndim == FEATURES_NDIM:
            return self.embed_audio_features(audio[:, 0])
        return self.embed_log_mel(self.log_mel(audio))

    def audio_features(self, waveform: Tensor) -> Tensor:
        """The audio encoder's features: (batch, samples) to (batch, width)."""
        return self.audio_encoder.audio_enc.encode(self.log_mel(waveform)).embedding

    def embed_text_features(self, features: Tensor) -> Tensor:
        """Unit vectors of captions, from the text encoder's features: (captions, joint dim)."""
        return F.normalize(self.text_proj(self.input_dropout(features)))

    def embed_text(self, captions: Sequence[str]) -> Tensor:
        """Unit vectors of captions: (captions, joint dim)."""
        return self.embed_text_features(self.text_encoder(captions))


class Standardise(nn.Module):
    """Gives each feature the mean 0 and the deviation 1 that it has in the clips it was fitted to."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))

    def fit(self, features: Tensor) -> None:
        """Takes the mean and the deviation of features (clips, width). A constant feature is only centred."""
        deviation = features.std(dim=0)
        self.mean.copy_(features.mean(dim=0))
        self.deviation.copy_(torch.where(deviation > SMALLEST_DEVIATION, deviation, 1.0))

    def forward(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.deviation


def projection(width: int, joint_dim: int) -> nn.Sequential:
    """The two-layer perceptron after each tower."""
    return nn.Sequential(nn.Linear(width, joint_dim), nn.ReLU(), nn.Linear(joint_dim, joint_dim))
