"""The arithmetic of the scores of generated sound, on cases computed by hand and against other formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from wavcaps_training.evaluation.generation_scores import (
    frechet_distance,
    inception_score,
    kl_divergence,
    softmax,
)
from wavcaps_training.models.sound_judges import Cnn14At16k, Vggish, VggishFrontEnd
from wavcaps_training.scoring.sound_networks import network_scores, prepared


def test_a_frechet_distance_by_hand() -> None:
    # Means 1 and 3; variances 2 and 8: (1 - 3)^2 + 2 + 8 - 2 sqrt(16) = 6.
    assert frechet_distance(np.array([[0.0], [2.0]]), np.array([[1.0], [5.0]])) == pytest.approx(6)
    same = np.random.default_rng(0).normal(size=(20, 5))
    assert frechet_distance(same, same) == pytest.approx(0, abs=1e-9)
    # A shift alone adds its square.
    assert frechet_distance(same + np.array([1, 2, 0, 0, 0]), same) == pytest.approx(5)
    with pytest.raises(ValueError, match="at least two"):
        frechet_distance(same[:1], same)


def test_a_frechet_distance_is_that_of_the_matrix_root() -> None:
    """torch-fidelity and audioldm_eval take scipy's square root of the product of the covariances."""
    generator = np.random.default_rng(1)
    # Fewer sounds than numbers: the covariances have no inverse.
    for count in (50, 6):
        one, other = generator.normal(size=(count, 8)), generator.normal(size=(count, 8)) * 2 + 1
        first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
        root = scipy.linalg.sqrtm(first @ second)
        shift = one.mean(0) - other.mean(0)
        expected = shift @ shift + np.trace(first + second - 2 * np.real(root))
        assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-5)


def test_a_divergence_by_hand() -> None:
    half, sure = np.log([[0.5, 0.5]]), np.log([[0.75, 0.25]])
    expected = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert kl_divergence(sure, half) == pytest.approx(expected, rel=1e-4)
    # A target that is certain: only its own class counts.
    assert kl_divergence(half, np.array([[0.0, -1e9]])) == pytest.approx(math.log(2), rel=1e-4)
    logits = torch.randn(4, 527, generator=torch.Generator().manual_seed(0))
    other = torch.randn(4, 527, generator=torch.Generator().manual_seed(1))
    theirs = torch.nn.functional.kl_div(
        (other.softmax(1) + 1e-6).log(), logits.softmax(1), reduction="sum"
    ) / len(logits)
    assert kl_divergence(other.numpy(), logits.numpy()) == pytest.approx(theirs.item(), rel=1e-4)


def test_an_inception_score_by_hand() -> None:
    """n sounds, each certainly of a class of its own, score n; sounds that are all alike score 1."""
    certain = np.eye(4) * 1000
    assert inception_score(certain, splits=1) == pytest.approx(4)
    assert inception_score(np.ones((20, 4))) == pytest.approx(1)
    # Ten parts of two sounds: each part knows two classes at most.
    assert 1 < inception_score(np.tile(certain, (5, 1))) <= 2
    # torch-fidelity's formula: exp of the mean of sum p (log p - log mean p).
    logits = np.random.default_rng(2).normal(size=(30, 6)) * 3
    shares = softmax(logits)
    expected = np.exp((shares * (np.log(shares) - np.log(shares.mean(0)))).sum(1).mean())
    assert inception_score(logits, splits=1) == pytest.approx(expected)


def test_networks_that_are_not_there_are_named() -> None:
    sounds = [np.zeros(16_000, np.float32)] * 2
    scores = network_scores(sounds, sounds, None, "cpu")
    assert [score.value for score in scores.values()] == [None] * 4
    for name, file in (("FAD", "vggish-10086976.pth"), ("KL", "Cnn14_16k_mAP=0.438.pth")):
        note = scores[name].note
        assert note.startswith("not measured: WAVCAPS_METRIC_FILES names no folder; get ") and file in note


def test_a_sound_is_read_as_the_original_code_does() -> None:
    waveform = prepared(np.ones(16_000) * 0.25)
    assert waveform.shape == (32_000,) and not waveform.any()


def test_the_networks_have_the_shapes_of_the_released_weights() -> None:
    with torch.device("meta"):
        vggish, cnn14 = Vggish(), Cnn14At16k()
    shapes = {name: tuple(value.shape) for name, value in vggish.state_dict().items()}
    # https://github.com/harritaylor/torchvggish: 72,141,184 parameters.
    assert sum(parameter.numel() for parameter in vggish.parameters()) == 72_141_184
    assert shapes["features.13.weight"] == (512, 512, 3, 3)
    assert shapes["embeddings.0.weight"] == (4096, 12_288)
    assert tuple(cnn14.fc_audioset.weight.shape) == (527, 2048)
    small = Cnn14At16k(channels=(4, 4, 4, 4, 4, 8)).eval()
    with torch.no_grad():
        features, logits = small(torch.randn(2, 32_000))
    assert features.shape == (2, 8) and logits.shape == (2, 527) and (features >= 0).all()


def test_vggish_reads_examples_of_its_front_end() -> None:
    """A tone's energy lies in the mel bin of its pitch: bins are even on 1127 ln(1 + f / 700)."""
    front_end = VggishFrontEnd()
    time = torch.arange(48_000) / 16_000
    examples = front_end(torch.sin(2 * torch.pi * 1000 * time))
    # Whole frames: (48,000 - 400) // 160 + 1 = 298, of which three examples of 96.
    assert examples.shape == (3, 1, 96, 64)
    low, high, pitch = (1127 * math.log(1 + f / 700) for f in (125, 7500, 1000))
    expected = (pitch - low) / (high - low) * 65 - 1
    assert abs(examples.mean(dim=(0, 1, 2)).argmax().item() - expected) <= 1
