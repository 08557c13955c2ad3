"""Each measure, compared with a value calculated by hand or by another library."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from tests.audio.files import Signal, noise, scene, sixteen_bits, tone, wav
from wavcaps_assets.audio.normalise import AudioFacts, normalise


def measured(folder: Path, signal: Signal, rate: int = 32_000, subtype: str = "FLOAT") -> AudioFacts:
    soundfile.write(folder / "in.wav", signal, rate, subtype=subtype)
    return normalise(folder / "in.wav", folder / "out.flac")


def band_noise(low: float, high: float, seconds: float = 4.0) -> Signal:
    """Noise at 32 kHz within a band (Hz)."""
    spectrum = np.fft.rfft(noise(round(32_000 * seconds))[:, 0])
    hertz = np.fft.rfftfreq(round(32_000 * seconds), 1 / 32_000)
    spectrum[(hertz < low) | (hertz > high)] = 0
    return np.fft.irfft(spectrum)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_stored_samples_equal_those_of_resampling_the_whole_signal(tmp_path: Path, rate: int) -> None:
    signal = scene(rate, 5.3)
    measured(tmp_path, signal, rate)
    expected = soxr.resample(signal.mean(axis=1).astype(np.float32), rate, 32_000, quality="HQ")
    stored, _ = soundfile.read(tmp_path / "out.flac", dtype="int16")
    assert len(stored) == len(expected)
    # Rounding is half a 16-bit step; the rest is arithmetic noise.
    assert np.abs(stored - expected * 32_768).max() < 0.6


def test_a_normalised_file_does_not_change_again(tmp_path: Path) -> None:
    samples = sixteen_bits(scene(32_000, 2.0)[:, 0])
    samples[:2] = -32_768, 32_767
    (tmp_path / "in.wav").write_bytes(wav(samples.tobytes(), rate=32_000))
    facts = normalise(tmp_path / "in.wav", tmp_path / "out.flac")
    stored, _ = soundfile.read(tmp_path / "out.flac", dtype="int16")
    np.testing.assert_array_equal(stored, samples)
    assert facts.samples_sha256 == hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest()
    assert normalise(tmp_path / "out.flac", tmp_path / "again.flac").samples_sha256 == facts.samples_sha256


@pytest.mark.parametrize(("amplitude", "peak"), [(1.0, 0.0), (0.1, -20.0), (0.01, -40.0)])
def test_levels_are_those_of_a_sine(tmp_path: Path, amplitude: float, peak: float) -> None:
    # 1 kHz at 32 kHz: every eighth sample is an extreme or a zero.
    facts = measured(tmp_path, tone(32_000, 2.0, amplitude=amplitude))
    assert facts.peak_dbfs == pytest.approx(peak, abs=0.02)
    assert facts.rms_dbfs == pytest.approx(peak - 10 * math.log10(2), abs=0.01)


def test_digital_silence_has_no_level_and_no_bandwidth(tmp_path: Path) -> None:
    facts = measured(tmp_path, np.zeros(44_100), 44_100)
    assert (facts.peak_dbfs, facts.rms_dbfs) == (-math.inf, -math.inf)
    assert (facts.silence_share, facts.bandwidth_hz, facts.clipped_share) == (1.0, 0.0, 0.0)
    assert facts.samples_sha256 == hashlib.sha256(bytes(64_000)).hexdigest()


@pytest.mark.parametrize(
    ("subtype", "full", "below"),
    [
        ("PCM_U8", 1.0, 126 / 128),
        ("PCM_16", 1.0, 32_766 / 32_768),
        ("PCM_24", 1.0, 0.9999),
        ("FLOAT", 1.5, 0.9999),
        ("ULAW", 1.0, 0.9),
        ("ALAW", 1.0, 0.9),
    ],
)
def test_samples_at_the_largest_value_are_clipped(
    tmp_path: Path, subtype: str, full: float, below: float
) -> None:
    signal = np.full((1000, 2), below)
    signal[100:200, 0], signal[300:350, 1] = full, -full
    # 150 of 2000 samples.
    assert measured(tmp_path, signal, 44_100, subtype).clipped_share == 0.075


def test_clipping_is_measured_before_the_mix(tmp_path: Path) -> None:
    square = np.sign(tone(44_100, 1.0, 441.0) + 1e-9)
    facts = measured(tmp_path, np.stack([square, -square], axis=1), 44_100)
    assert (facts.clipped_share, facts.peak_dbfs) == (1.0, -math.inf)


def test_silence_is_counted_in_frames(tmp_path: Path) -> None:
    quiet = np.concatenate([tone(32_000, 1.0), np.zeros(3 * 32_000)])
    assert measured(tmp_path, quiet).silence_share == 0.75


@pytest.mark.parametrize(("level_db", "share"), [(-59.5, 0.0), (-60.5, 1.0)])
def test_silence_begins_at_60_db_below_full_scale(tmp_path: Path, level_db: float, share: float) -> None:
    amplitude = math.sqrt(2) * 10 ** (level_db / 20)
    assert measured(tmp_path, tone(32_000, 1.0, amplitude=amplitude)).silence_share == share


def test_a_clip_shorter_than_a_frame_is_measured(tmp_path: Path) -> None:
    facts = measured(tmp_path, tone(32_000, 100 / 32_000))
    assert (facts.duration_s, facts.silence_share) == (100 / 32_000, 0.0)
    assert 1000 <= facts.bandwidth_hz < 16_000


@pytest.mark.parametrize(("low", "high"), [(100, 1000), (100, 4000), (6000, 11_000), (100, 15_900)])
def test_bandwidth_is_where_a_band_of_noise_ends(tmp_path: Path, low: float, high: float) -> None:
    # The Hann window has decreased by 60 dB at five bands of 31.25 Hz from an edge.
    assert measured(tmp_path, band_noise(low, high)).bandwidth_hz == pytest.approx(high, abs=160)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000])
def test_bandwidth_is_at_most_half_the_original_rate(tmp_path: Path, rate: int) -> None:
    bandwidth = measured(tmp_path, noise(4 * rate)[:, 0], rate).bandwidth_hz
    assert 0.9 * rate / 2 < bandwidth < 1.05 * rate / 2


@pytest.mark.parametrize(("weak_db", "found"), [(-50.0, 9000.0), (-70.0, 1000.0)])
def test_bandwidth_ignores_bands_60_db_weaker(tmp_path: Path, weak_db: float, found: float) -> None:
    both = tone(32_000, 2.0, 1000.0) + 10 ** (weak_db / 20) * tone(32_000, 2.0, 9000.0)
    assert measured(tmp_path, both).bandwidth_hz == pytest.approx(found, abs=160)


def test_a_constant_offset_is_not_a_band(tmp_path: Path) -> None:
    # The tone is 66 dB below the offset.
    assert measured(tmp_path, 0.5 + tone(32_000, 2.0, 5000.0, 0.0005)).bandwidth_hz == pytest.approx(
        5000, abs=160
    )
    assert measured(tmp_path, np.full(64_000, 0.5)).bandwidth_hz == 0.0
