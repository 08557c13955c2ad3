"""Audio is normalised to 32 kHz mono FLAC, measured with tones of known values."""

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.full_disk import files_no_longer_than
from wavcaps_assets.audio.normalise import EmptyAudio, UnreadableAudio, normalise


def tone(rate: int, seconds: float, hertz: float = 1000.0, amplitude: float = 0.5) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


@pytest.mark.parametrize("rate", [8_000, 22_050, 32_000, 44_100, 96_000])
def test_a_tone_keeps_its_pitch_level_and_length(tmp_path: Path, rate: int) -> None:
    stereo = np.stack([tone(rate, 3.0), tone(rate, 3.0)], axis=1)
    soundfile.write(tmp_path / "in.wav", stereo, rate, subtype="FLOAT")
    facts = normalise(tmp_path / "in.wav", tmp_path / "out.flac")
    samples, stored_rate = soundfile.read(tmp_path / "out.flac")
    assert (stored_rate, samples.ndim) == (32_000, 1)
    assert facts.duration_s == pytest.approx(3.0, abs=0.001)
    assert len(samples) == round(facts.duration_s * 32_000)
    assert (facts.original_sample_rate, facts.original_channels) == (rate, 2)
    # A sine of amplitude 0.5 peaks at -6.02 dBFS and has an RMS level 3.01 dB below that.
    assert facts.peak_dbfs == pytest.approx(20 * math.log10(0.5), abs=0.1)
    assert facts.rms_dbfs == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=0.05)
    spectrum = np.abs(np.fft.rfft(samples[:32_000]))
    assert int(spectrum.argmax()) == 1000


def test_channels_are_averaged(tmp_path: Path) -> None:
    stereo = np.stack([tone(32_000, 1.0), -tone(32_000, 1.0)], axis=1)
    soundfile.write(tmp_path / "in.wav", stereo, 32_000, subtype="FLOAT")
    facts = normalise(tmp_path / "in.wav", tmp_path / "out.flac")
    assert facts.peak_dbfs == -math.inf


def test_blocks_of_a_long_clip_join_without_a_gap(tmp_path: Path) -> None:
    # Longer than one block of the decoder, at a rate that needs resampling.
    soundfile.write(tmp_path / "in.wav", tone(44_100, 5.0), 44_100, subtype="FLOAT")
    normalise(tmp_path / "in.wav", tmp_path / "out.flac")
    samples, _ = soundfile.read(tmp_path / "out.flac")
    expected = tone(32_000, 5.0)
    middle = slice(3_200, -3_200)
    assert np.abs(samples[middle] - expected[middle]).max() < 1e-3


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff"])
def test_the_formats_of_the_sources_can_be_decoded(tmp_path: Path, suffix: str) -> None:
    soundfile.write(tmp_path / f"in.{suffix}", tone(44_100, 2.0), 44_100)
    assert normalise(tmp_path / f"in.{suffix}", tmp_path / "out.flac").duration_s == pytest.approx(
        2.0, abs=0.06
    )


def test_a_page_instead_of_audio_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "in.wav").write_text("<Error><Code>NoSuchKey</Code></Error>")
    with pytest.raises(UnreadableAudio):
        normalise(tmp_path / "in.wav", tmp_path / "out.flac")


def test_a_file_without_samples_is_empty(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", np.zeros(0), 44_100)
    with pytest.raises(EmptyAudio):
        normalise(tmp_path / "in.wav", tmp_path / "out.flac")


def test_samples_that_are_not_finite_are_unreadable(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", np.array([0.0, math.nan, 0.0]), 44_100, subtype="FLOAT")
    with pytest.raises(UnreadableAudio, match="NaN or infinite"):
        normalise(tmp_path / "in.wav", tmp_path / "out.flac")


@pytest.mark.parametrize("missing", [10, 3_000])
def test_a_disk_that_becomes_full_at_the_end_is_an_error(tmp_path: Path, missing: int) -> None:
    """Of the block that libsndfile writes on closing, it does not say that there was no space."""
    soundfile.write(tmp_path / "in.wav", tone(32_000, 1.0), 32_000)
    normalise(tmp_path / "in.wav", tmp_path / "out.flac")
    whole = (tmp_path / "out.flac").stat().st_size
    with files_no_longer_than(whole - missing), pytest.raises(OSError, match="cannot be written"):
        normalise(tmp_path / "in.wav", tmp_path / "again.flac")
