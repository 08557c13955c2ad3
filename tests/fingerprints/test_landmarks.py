"""Landmarks: the peaks that SciPy finds, the same ones for any block size, and none in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import soundfile
import soxr

from wavcaps_assets.audio.blocks import Samples
from wavcaps_assets.audio.limits import EmptyAudio
from wavcaps_assets.fingerprints.landmarks import (
    BINS,
    BINS_APART,
    FRAMES_A_SECOND,
    RATE,
    landmarks,
    landmarks_of_file,
)


def noise(seconds: float, rate: int = RATE, seed: int = 0) -> Samples:
    """Noise whose level changes, so that it is unlike other noise."""
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.uniform(0.01, 0.3, int(seconds * 20) + 1), rate // 20)[: int(seconds * rate)]
    return (rng.standard_normal(len(level)) * level).astype(np.float32)


def test_the_peaks_are_those_that_scipy_finds() -> None:
    signal = noise(4)
    padded = np.pad(soxr.resample(signal, RATE, RATE, quality="MQ"), 512)
    _, _, spectrum = scipy.signal.stft(
        padded, nperseg=1024, noverlap=768, window="hann", boundary=None, padded=False
    )
    power = (np.abs(spectrum[:BINS].T) ** 2).astype(np.float64)
    largest = scipy.ndimage.maximum_filter(power, (11, 15), mode="constant")
    frames, bins = np.nonzero((power == largest) & (power > power.max() * 1e-7))
    expected = set((frames * BINS_APART + bins).tolist())
    found = set(landmarks([signal], RATE).tolist())
    assert len(expected) > 300
    # Frames of 32-bit floats may order two almost equal values otherwise.
    assert len(expected ^ found) <= 2


def test_blocks_do_not_change_the_landmarks() -> None:
    signal = noise(21, rate=32_000)
    whole = landmarks([signal], 32_000)
    assert np.all(np.diff(whole.astype(np.int64)) > 0)
    for size in (777, 32_000, 400_001):
        parts = (signal[at : at + size] for at in range(0, len(signal), size))
        assert np.array_equal(landmarks(parts, 32_000), whole)


@pytest.mark.parametrize("gain", [0.06, 0.5, 4.0])
def test_a_gain_does_not_change_the_landmarks(gain: float) -> None:
    signal = noise(3)
    assert np.mean(np.isin(landmarks([signal * gain], RATE), landmarks([signal], RATE))) > 0.99


@pytest.mark.parametrize("rate", [1_000, 8_000, 22_050, 44_100, 96_000, 768_000])
def test_any_sample_rate(rate: int) -> None:
    time_s = np.arange(rate) / rate
    tone = (0.5 * np.sin(2 * np.pi * 250 * time_s) * (time_s % 0.25 < 0.1)).astype(np.float32)
    found = landmarks([tone], rate)
    loudest = found % BINS_APART
    assert 250 / 16_000 * 1024 in loudest
    assert found[-1] // BINS_APART <= FRAMES_A_SECOND + 1


@pytest.mark.parametrize("samples", [0, 1, 100, 8_000])
def test_short_and_silent_clips(samples: int) -> None:
    assert len(landmarks([np.zeros(samples, np.float32)], 44_100)) == 0
    landmarks([noise(1)[:samples]], 44_100)


def test_values_that_are_no_sound_count_as_silence_or_as_loud() -> None:
    signal = noise(2)
    assert len(landmarks([np.full(RATE, np.nan, np.float32)], RATE)) == 0
    signal[5_000:5_100] = np.nan
    clean = np.nan_to_num(signal)
    assert np.array_equal(landmarks([signal], RATE), landmarks([clean], RATE))
    signal[9_000] = np.inf
    assert len(landmarks([signal], RATE)) > 0


def test_a_file_of_several_channels(tmp_path: Path) -> None:
    signal = noise(2, rate=44_100)
    soundfile.write(tmp_path / "one.flac", np.stack([signal, signal], axis=1), 44_100)
    assert np.mean(np.isin(landmarks_of_file(tmp_path / "one.flac"), landmarks([signal], 44_100))) > 0.95
    (tmp_path / "empty.wav").touch()
    with pytest.raises(EmptyAudio):
        landmarks_of_file(tmp_path / "empty.wav")
