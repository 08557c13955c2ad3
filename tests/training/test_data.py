"""Crops, padding, and what is said of audio that is not as promised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from wavcaps_assets.schemas import TRAINING_MANIFEST
from wavcaps_training.data import AudioReadError, Clip, ClipDataset, clips_of, collate, read_waveform
from wavcaps_training.features import LogMel
from wavcaps_training.settings import ClipSettings, FrontEndSettings, Padding

RATE = 32_000
ONE_SECOND = ClipSettings(seconds=1.0)


def write_ramp(folder: Path, seconds: float, name: str = "ramp.flac", rate: int = RATE) -> Clip:
    """A clip each of whose samples says where it stands, as a multiple of 2^-15."""
    samples = np.arange(round(seconds * rate)) % 2**15
    soundfile.write(folder / name, samples.astype(np.int16), rate, subtype="PCM_16")
    return Clip("bbc_sound_effects-1", "A ramp.", name)


@pytest.mark.parametrize(("position", "first"), [(0.0, 0), (0.5, 16_000), (1.0, 32_000)])
def test_a_long_clip_is_cropped_at_its_position(tmp_path: Path, position: float, first: int) -> None:
    clip = write_ramp(tmp_path, 2.0)
    found = read_waveform(clip, tmp_path, ONE_SECOND, RATE, position)
    wanted = (np.arange(first, first + RATE) % 2**15) / 2**15
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("padding", list(Padding))
def test_a_short_clip_is_padded(tmp_path: Path, padding: Padding) -> None:
    clip = write_ramp(tmp_path, 0.4)
    found = read_waveform(clip, tmp_path, ClipSettings(seconds=1.0, padding=padding), RATE, 0.7)
    ramp = np.arange(12_800) / 2**15
    rest = np.zeros(19_200) if padding is Padding.ZEROS else np.concatenate([ramp, ramp[:6_400]])
    assert np.array_equal(found, np.concatenate([ramp, rest]))


def test_training_crops_vary_and_evaluation_crops_do_not(tmp_path: Path) -> None:
    clip = write_ramp(tmp_path, 2.0)

    def starts(random_crops: bool) -> set[float]:
        dataset = ClipDataset([clip], tmp_path, ONE_SECOND, RATE, random_crops=random_crops)
        return {float(dataset[0][1][0]) for _ in range(20)}

    assert starts(random_crops=False) == {16_000 / 2**15}
    assert len(starts(random_crops=True)) > 10


def test_a_cached_log_mel_is_that_of_the_waveform(tmp_path: Path) -> None:
    clip = write_ramp(tmp_path, 0.5)
    front_end = LogMel(FrontEndSettings())
    plain = ClipDataset([clip], tmp_path, ONE_SECOND, RATE, random_crops=True)
    cached = ClipDataset([clip], tmp_path, ONE_SECOND, RATE, random_crops=True, front_end=front_end)
    batch = collate([cached[0]])
    torch.testing.assert_close(batch.audio, front_end(plain[0][1].unsqueeze(0)))
    (tmp_path / clip.audio_path).unlink()
    assert torch.equal(cached[0][1], batch.audio[0])


def test_a_missing_file_is_named_with_its_clip(tmp_path: Path) -> None:
    clip = Clip("freesound-7", "Nothing.", "freesound/7.flac")
    with pytest.raises(AudioReadError, match=r"freesound-7: .*freesound/7\.flac is missing"):
        read_waveform(clip, tmp_path, ONE_SECOND, RATE, 0.0)


def test_an_unreadable_file_is_named_with_its_clip(tmp_path: Path) -> None:
    clip = write_ramp(tmp_path, 1.0)
    path = tmp_path / clip.audio_path
    path.write_bytes(b"<html>429 Too Many Requests</html>")
    with pytest.raises(AudioReadError, match=r"bbc_sound_effects-1: .*ramp\.flac is unreadable"):
        read_waveform(clip, tmp_path, ONE_SECOND, RATE, 0.0)


def test_an_empty_file_is_named_with_its_clip(tmp_path: Path) -> None:
    clip = write_ramp(tmp_path, 0.0)
    with pytest.raises(AudioReadError, match=r"bbc_sound_effects-1: .* (holds no samples|is unreadable)"):
        read_waveform(clip, tmp_path, ONE_SECOND, RATE, 0.0)


def test_another_sample_rate_is_refused(tmp_path: Path) -> None:
    clip = write_ramp(tmp_path, 1.0, rate=44_100)
    with pytest.raises(AudioReadError, match="44100 Hz and 1 channels, where the model takes 32000 Hz mono"):
        read_waveform(clip, tmp_path, ONE_SECOND, RATE, 0.0)


def test_a_split_has_its_rows_in_order() -> None:
    def row(number: int, split: str) -> dict[str, object]:
        return {
            "clip_id": f"freesound-{number}",
            "source": "freesound",
            "caption": f"Sound {number}.",
            "audio_path": f"{number}.flac",
            "duration_s": 1.0,
            "recording": str(number),
            "split": split,
        }

    manifest = TRAINING_MANIFEST.from_rows([row(3, "test"), row(1, "train"), row(2, "test")])
    assert clips_of(manifest, "test") == [
        Clip("freesound-3", "Sound 3.", "3.flac"),
        Clip("freesound-2", "Sound 2.", "2.flac"),
    ]
