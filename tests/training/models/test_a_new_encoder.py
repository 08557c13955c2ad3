"""The recipe of CONTRIBUTING.md for an audio encoder: a file of settings, and a file with the network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

SETTINGS = """
from typing import ClassVar, Literal

from wavcaps_training.settings.encoder import EncoderSettings


class BandsSettings(EncoderSettings):
    network: ClassVar[str] = "wavcaps_training.models.bands:Bands"

    encoder: Literal["bands"] = "bands"
    width: int = 8

    @property
    def min_samples(self) -> int:
        return self.front_end.window

    @property
    def embedding_dim(self) -> int:
        return self.width

    @property
    def fine_grained_dim(self) -> int:
        return self.width

    def check_frames(self, frames: int) -> None:
        pass


SETTINGS = BandsSettings
"""
NETWORK = """
from dataclasses import dataclass

from torch import Tensor, nn

from wavcaps_training.models.audio_network import AudioNetwork
from wavcaps_training.models.features import LogMel


@dataclass(frozen=True)
class BandsOutput:
    embedding: Tensor
    fine_grained_embedding: Tensor


class Bands(AudioNetwork):
    def __init__(self, settings):
        super().__init__()
        self.settings = settings
        self.audio_feats_extractor = LogMel(settings.front_end)
        self.layer = nn.Linear(settings.front_end.mel_bins, settings.width)

    def encode(self, log_mel):
        steps = self.layer(log_mel[:, 0])
        return BandsOutput(steps.mean(1), steps)
"""
# The folders of a checkout have the new files; here they are added to the packages from outside.
PROGRAM = """
import json, sys
import wavcaps_training.models, wavcaps_training.settings.encoders as encoders
encoders.__path__.append(sys.argv[1]); wavcaps_training.models.__path__.append(sys.argv[2])
import torch
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.settings.training import DEMO, TrainingSettings
values = DEMO.model_dump()
values["model"]["audio"] = {"encoder": "bands", "width": 12}
settings = TrainingSettings.model_validate(values)
read = TrainingSettings.model_validate_json(settings.model_dump_json())
model = RetrievalModel.build(read).eval()
with torch.no_grad():
    embeddings = model.embed_audio(torch.randn(2, 32_000))
print(json.dumps([read == settings, read.model.audio.width, list(embeddings.shape),
                  type(model.audio_encoder.audio_enc).__name__]))
"""


@pytest.mark.slow
def test_a_new_encoder_is_a_file_of_settings_and_a_file_with_its_network(tmp_path: Path) -> None:
    settings, models = tmp_path / "settings", tmp_path / "models"
    for folder, text in ((settings, SETTINGS), (models, NETWORK)):
        folder.mkdir()
        (folder / "bands.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-c", PROGRAM, str(settings), str(models)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [True, 12, [2, 256], "Bands"]
