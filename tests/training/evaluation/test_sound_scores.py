"""Scores of generated sounds, against hand-computed cases, SciPy, and the networks' published definitions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch
from torch import nn

from wavcaps_training.evaluation.sound_scores import panns, vggish
from wavcaps_training.evaluation.sound_scores.arithmetic import (
    Gaussian,
    ScoreError,
    frechet_distance,
    inception_score,
    kl_divergences,
)
from wavcaps_training.evaluation.sound_scores.hearing import Heard, Listeners, Sound
from wavcaps_training.evaluation.sound_scores.scoring import clap_scores, network_scores

RANDOM = np.random.default_rng(0)


def test_frechet_distance_of_independent_gaussians_is_that_of_means_and_deviations() -> None:
    one = Gaussian(np.array([1.0, 2.0]), np.diag([4.0, 9.0]))
    other = Gaussian(np.array([4.0, 6.0]), np.diag([1.0, 25.0]))

    # 3^2 + 4^2 + (2 - 1)^2 + (3 - 5)^2
    assert frechet_distance(one, other) == pytest.approx(30.0)
    assert frechet_distance(one, one) == 0.0


def test_frechet_distance_equals_the_matrix_square_root_of_scipy() -> None:
    mix = RANDOM.normal(size=(20, 20))
    features = RANDOM.normal(size=(500, 20)), RANDOM.normal(size=(400, 20)) @ mix + 0.5
    one, other = map(Gaussian.of, features)

    root = scipy.linalg.sqrtm(one.covariance @ other.covariance).real
    expected = np.square(one.mean - other.mean).sum() + np.trace(one.covariance + other.covariance - 2 * root)
    assert frechet_distance(one, other) == pytest.approx(expected)


def test_frechet_distance_of_fewer_clips_than_features_is_exact() -> None:
    flat = np.zeros((4, 64))
    flat[:, 0] = [0, 2, 4, 6]
    shifted = flat + 3.0

    assert frechet_distance(Gaussian.of(flat), Gaussian.of(shifted)) == pytest.approx(64 * 9.0)
    assert frechet_distance(Gaussian.of(flat), Gaussian.of(flat * 2 - 3)) == pytest.approx(
        np.square(flat.mean(axis=0) - (flat * 2 - 3).mean(axis=0)).sum() + np.var([0, 2, 4, 6], ddof=1)
    )


def test_kl_divergence_equals_scipy() -> None:
    target, generated = RANDOM.normal(size=(2, 5, 527))
    probabilities = [
        np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) for logits in (target, generated)
    ]

    expected = scipy.stats.entropy(*probabilities, axis=1)
    assert kl_divergences(target, generated) == pytest.approx(expected, rel=2e-2)
    assert kl_divergences(target, target) == pytest.approx(np.zeros(5), abs=527e-6)


def test_kl_divergence_is_that_of_hand() -> None:
    certain, even = np.array([[50.0, -50.0]]), np.array([[0.0, 0.0]])

    assert kl_divergences(certain, even) == pytest.approx(np.log(2), abs=1e-5)
    # All of the generated sound's mass is elsewhere: only the added 1e-6 remains.
    assert kl_divergences(certain, -certain) == pytest.approx(np.log(1e6), abs=1e-5)


def test_inception_score_counts_the_classes_that_are_answered_with_certainty() -> None:
    one_class = np.zeros((40, 8))
    one_class[:, 3] = 100.0

    assert inception_score(one_class) == pytest.approx(1.0)
    assert inception_score(np.zeros((40, 8))) == pytest.approx(1.0)
    # Ten parts of one clip each: a part has no other class than its own.
    assert inception_score(100 * np.eye(10)) == pytest.approx(1.0)
    many = inception_score(100 * np.tile(np.eye(8), (500, 1)))
    assert 7.9 < many < 8.0


@pytest.mark.parametrize(
    ("compute", "problem"),
    [
        (lambda: Gaussian.of(np.ones((1, 4))), "at least 2 embeddings, and there is 1"),
        (lambda: Gaussian.of(np.array([[1.0], [np.nan]])), "not finite"),
        (lambda: kl_divergences(np.ones((2, 4)), np.ones((3, 4))), "2 real clips and 3 generated"),
        (lambda: inception_score(np.ones((9, 4))), "at least 10 clips, and there are 9"),
        (lambda: inception_score(np.full((10, 4), np.inf)), "not finite"),
        (lambda: Sound("a", np.zeros(0), 16_000).waveform(), "clip a is empty"),
        (lambda: Sound("a", np.array([0.0, np.nan]), 16_000).waveform(), "not finite"),
    ],
)
def test_what_cannot_be_scored_is_an_error(compute, problem: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ScoreError, match=problem):
        compute()


def test_a_sound_is_heard_as_the_evaluation_of_audioldm_reads_it() -> None:
    stereo = np.stack([np.full(8000, 0.5), np.full(8000, -1.0)], axis=1)
    stereo[::2, 0] = 0.1

    waveform = Sound("a", stereo, 16_000).waveform()

    assert len(waveform) == 32_000
    assert waveform[:4].numpy() == pytest.approx([-0.2, 0.2, -0.2, 0.2])
    assert not waveform[8000:].any()


def test_networks_have_the_published_number_of_parameters() -> None:
    # VGGish: 72.1 million (Hershey et al.); CNN14: 80,753,615 (Kong et al., 2019, Table V).
    with torch.device("meta"):
        counts = [_parameters(vggish.Vggish()), _parameters(panns.Panns())]
    assert counts == [72_141_184, 80_753_615]


def test_vggish_hears_the_log_mel_of_its_authors() -> None:
    waveform = RANDOM.normal(scale=0.1, size=2 * 16_000)
    with torch.device("meta"):
        network = vggish.Vggish()
    network.window = torch.hann_window(400)
    network.mel_filters = torch.tensor(_mel_of_the_authors(), dtype=torch.float32)

    ours = network.log_mel(torch.tensor(waveform, dtype=torch.float32)).numpy()

    frames = np.stack([waveform[start : start + 400] for start in range(0, len(waveform) - 399, 160)])
    hann = 0.5 - 0.5 * np.cos(2 * np.pi / 400 * np.arange(400))
    expected = np.log(np.abs(np.fft.rfft(frames * hann, 512)) @ _mel_of_the_authors() + 0.01)
    # 198 frames: two examples of 96.
    assert ours.shape == (2, 96, 64)
    assert ours.reshape(192, 64) == pytest.approx(expected[:192], abs=1e-4)


def test_vggish_has_the_mel_filters_of_its_authors() -> None:
    filters = vggish.mel_filters()

    assert filters == pytest.approx(_mel_of_the_authors(), abs=1e-9)


def _mel_of_the_authors() -> np.ndarray:
    """64 triangles on 1127 ln(1 + f / 700), linear in mel, from 125 to 7500 Hz; the bin of 0 Hz is unused."""

    def mel(frequency: np.ndarray) -> np.ndarray:
        return 1127.0 * np.log(1.0 + frequency / 700.0)

    edges = np.linspace(mel(np.array(125.0)), mel(np.array(7500.0)), 66)
    bins = mel(np.linspace(0.0, 8000.0, 257))
    filters = np.empty((257, 64))
    for number, (low, middle, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
        filters[:, number] = np.maximum(0.0, np.minimum(rising, falling))
    filters[0] = 0.0
    return filters


@pytest.mark.slow
def test_the_networks_are_read_from_their_authors_layout(tmp_path: Path) -> None:
    torch.save(_layout(vggish.Vggish), tmp_path / vggish.FILE)
    kept = {
        name: torch.ones(1)
        for name in ("spectrogram_extractor.stft.conv_real.weight", "logmel_extractor.melW")
    }
    torch.save({"iteration": 1, "model": _layout(panns.Panns) | kept}, tmp_path / panns.FILE)
    listeners = Listeners(tmp_path)

    heard = listeners.hear(
        Sound(name, RANDOM.normal(scale=0.1, size=33_000), 16_000) for name in ("a", "b", "c")
    )

    assert (listeners.vggish_note, listeners.panns_note) == ("", "")
    assert {name: array.shape for name, array in heard.examples.items()} == dict.fromkeys("abc", (2, 128))
    assert [heard.features["a"].shape, heard.logits["a"].shape] == [(2048,), (527,)]
    scores = {score.name: score for score in network_scores(heard, heard, listeners)}
    assert [scores["FAD"].value, scores["FD"].value] == pytest.approx([0.0, 0.0], abs=1e-6)
    assert set(scores["KL"].of_clip) == {"a", "b", "c"}
    assert scores["IS"].value is None and "at least 10 clips, and there are 3" in scores["IS"].note


def test_without_their_files_the_scores_say_what_is_missing(tmp_path: Path) -> None:
    nothing = Heard()

    unset = network_scores(nothing, nothing, Listeners(None))
    assert {score.value for score in unset} == {None}
    assert unset[0].note == (
        "not measured: WAVCAPS_METRIC_FILES names no folder with vggish-10086976.pth, from "
        "https://github.com/harritaylor/torchvggish/releases/tag/v0.1"
    )
    (tmp_path / panns.FILE).write_text("<html>not found</html>")
    damaged = network_scores(nothing, nothing, Listeners(tmp_path))
    assert f"the folder {tmp_path} has no {vggish.FILE}" in damaged[0].note
    assert "is not a checkpoint" in damaged[1].note


def test_the_clap_score_is_the_mean_cosine_with_the_own_caption() -> None:
    axes = np.eye(3)
    generated = {"a": axes[0], "b": (axes[0] + axes[1]) / np.sqrt(2), "without": axes[2]}
    captions = {"a": axes[0], "b": axes[1]}

    score, distance = clap_scores(generated, {"c": axes[0], "d": axes[1]}, captions)

    assert score.of_clip == pytest.approx({"a": 1.0, "b": np.sqrt(0.5)})
    assert score.value == pytest.approx((1 + np.sqrt(0.5)) / 2)
    assert distance.value is not None and distance.value > 0


def _layout(network: type[nn.Module]) -> dict[str, torch.Tensor]:
    """A state dict of the right shapes, in a few bytes: each tensor repeats one number."""
    with torch.device("meta"):
        state = network().state_dict()
    return {name: torch.full((), 0.001).to(value.dtype).expand(value.shape) for name, value in state.items()}


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
