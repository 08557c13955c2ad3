"""The audio encoder aisfx against numbers of its own package, and its weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from wavcaps_training.models import aisfx
from wavcaps_training.models.aisfx import Aisfx, PretrainedWeightsError, read_weights, weights_path
from wavcaps_training.models.audio_encoder import build_audio_encoder
from wavcaps_training.settings.encoder import FrontEndSettings
from wavcaps_training.settings.encoders.aisfx import AisfxSettings

RATE = 44_100


@pytest.fixture(scope="module")
def encoder() -> Aisfx:
    network = build_audio_encoder(AisfxSettings())
    assert isinstance(network, Aisfx)
    return network


@pytest.fixture(scope="module")
def waveform() -> Tensor:
    """The sound of the oracle: a rising tone, beeps, and a high tone."""
    t = np.arange(int(RATE * 3.3)) / RATE
    tone = 0.3 * np.sin(2 * np.pi * (200 * t + 400 * t**2))
    beeps = 0.2 * np.sin(2 * np.pi * 5000 * t) * (np.sin(2 * np.pi * 3 * t) > 0)
    high = 0.05 * np.sin(2 * np.pi * 11_000 * t**1.1)
    return torch.from_numpy((tone + beeps + high).astype(np.float32))


def test_the_front_end_and_the_network_give_the_numbers_of_the_package(
    encoder: Aisfx, waveform: Tensor, oracles: Path
) -> None:
    expected = np.load(oracles / "aisfx.npz")
    spectrogram = encoder.audio_feats_extractor(waveform[None])
    assert spectrogram.shape == (1, 1, 144, 96)
    np.testing.assert_allclose(spectrogram[0, 0, ::24], expected["spectrogram"], atol=2e-5)
    output = encoder.encode(spectrogram)
    np.testing.assert_allclose(output.fine_grained_embedding[0], expected["blocks"], atol=1e-4)
    np.testing.assert_allclose(output.embedding[0], expected["blocks"].max(axis=0), atol=1e-4)


def test_zeros_after_a_clip_change_nothing(encoder: Aisfx, waveform: Tensor) -> None:
    """So a clip has the same features alone and in a batch with longer ones."""
    alone = encoder(waveform[None]).embedding
    padded = torch.nn.functional.pad(waveform, (0, 4 * RATE + 17))
    both = encoder(torch.stack([padded, torch.linspace(-1, 1, len(padded))])).embedding
    torch.testing.assert_close(both[:1], alone, atol=2e-5, rtol=0)
    mean = Aisfx(AisfxSettings(pooling="mean"))
    mean.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(
        mean(padded[None]).embedding, mean(waveform[None]).embedding, atol=2e-5, rtol=0
    )


def test_silence_and_a_very_short_clip_have_finite_features(encoder: Aisfx) -> None:
    for samples in (torch.zeros(1, RATE), torch.full((1, 1024), 0.5)):
        assert encoder(samples).embedding.isfinite().all()


def test_it_is_frozen(encoder: Aisfx, waveform: Tensor) -> None:
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder.train()
    assert not encoder(waveform[None]).embedding.requires_grad
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_another_front_end_is_refused() -> None:
    with pytest.raises(ValueError, match="front_end cannot be changed"):
        AisfxSettings(front_end=FrontEndSettings())


def test_other_weights_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(weights_path().read_bytes()[:-1])
    with pytest.raises(PretrainedWeightsError, match="is not the expected file of weights"):
        read_weights(path, AisfxSettings.weights_sha256)


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aisfx, "PACKAGE", "aisfx_is_not_here")
    with pytest.raises(PretrainedWeightsError, match="install the extra `training`"):
        build_audio_encoder(AisfxSettings())
