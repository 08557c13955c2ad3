"""Crops, padding, and what is said of audio that is not as promised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from tests.support.s3 import S3Bucket
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import TRAINING_MANIFEST
from wavcaps_training.data import AudioFiles, AudioFolder, AudioReadError, Clip, clips_of, read_crop
from wavcaps_training.settings.training import ClipSettings, Padding

RATE = 32_000
ONE_SECOND = ClipSettings(seconds=1.0)


def clip_of(path: str, seconds: float = 1.0) -> Clip:
    return Clip("bbc_sound_effects-1", ("A ramp.",), path, seconds)


def write_ramp(folder: Path, seconds: float, name: str = "ramp.flac", rate: int = RATE) -> Clip:
    """A clip each of whose samples says where it stands, as a multiple of 2^-15."""
    samples = np.arange(round(seconds * rate)) % 2**15
    soundfile.write(folder / name, samples.astype(np.int16), rate, subtype="PCM_16")
    return clip_of(name, seconds)


@pytest.mark.parametrize(("position", "first"), [(0.0, 0), (0.5, 16_000), (1.0, 32_000)])
def test_a_long_clip_is_cropped_at_its_position(tmp_path: Path, position: float, first: int) -> None:
    clip = write_ramp(tmp_path, 2.0)
    found = read_crop(clip, AudioFolder(tmp_path), ONE_SECOND, RATE, position)
    wanted = (np.arange(first, first + RATE) % 2**15) / 2**15
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("padding", [Padding.ZEROS, Padding.REPEAT])
def test_a_short_clip_is_padded(tmp_path: Path, padding: Padding) -> None:
    clip = write_ramp(tmp_path, 0.4)
    settings = ClipSettings(seconds=1.0, padding=padding)
    found = read_crop(clip, AudioFolder(tmp_path), settings, RATE, 0.7)
    ramp = np.arange(12_800) / 2**15
    rest = np.zeros(19_200) if padding is Padding.ZEROS else np.concatenate([ramp, ramp[:6_400]])
    assert np.array_equal(found, np.concatenate([ramp, rest]))


def test_a_hundredth_of_a_second_is_a_clip(tmp_path: Path) -> None:
    found = read_crop(write_ramp(tmp_path, 0.01), AudioFolder(tmp_path), ONE_SECOND, RATE, 0.0)
    assert np.array_equal(found[:320], np.arange(320) / 2**15)
    assert not found[320:].any()


@pytest.mark.slow
def test_two_hours_are_not_read_for_a_second_of_them(tmp_path: Path) -> None:
    """What is read is the crop: the file is cut short behind it, and nobody notices."""
    seconds = 2 * 3600
    with soundfile.SoundFile(tmp_path / "long.flac", "w", RATE, 1, subtype="PCM_16") as file:
        block = (np.arange(RATE * 60) % 1000).astype(np.int16)
        for _ in range(seconds // 60):
            file.write(block)
    content = (tmp_path / "long.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(content[: len(content) // 2])
    found = read_crop(clip_of("cut.flac", seconds), AudioFolder(tmp_path), ONE_SECOND, RATE, 0.25)
    start = round((seconds - 1) * RATE * 0.25)
    assert np.array_equal(found, (np.arange(start, start + RATE) % (RATE * 60) % 1000) / 2**15)


def test_another_rate_and_two_channels_become_what_the_model_takes(tmp_path: Path) -> None:
    """Beside the whole file, resampled and cut: the same but for the crop's own ends."""
    generator = np.random.default_rng(2)
    sounds = np.cumsum(generator.normal(size=(3 * 44_100, 2)), axis=0) / 3000
    soundfile.write(tmp_path / "two.flac", sounds, 44_100, subtype="PCM_24")
    found = read_crop(clip_of("two.flac", 3.0), AudioFolder(tmp_path), ONE_SECOND, RATE, 0.5)
    whole = soxr.resample(sounds.mean(axis=1), 44_100, RATE)[RATE : 2 * RATE]
    assert found.shape == (RATE,)
    assert np.abs(found - whole)[500:-500].max() < 1e-3


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "is missing"),
        (b"RIFF\x00\x00\x00\x00WAVEnothing", "is unreadable"),
        (b"", "is unreadable"),
    ],
)
def test_bad_audio_is_named(tmp_path: Path, content: bytes | None, problem: str) -> None:
    if content is not None:
        (tmp_path / "bad.flac").write_bytes(content)
    with pytest.raises(
        AudioReadError, match=rf"clip bbc_sound_effects-1: .*bad\.flac {problem}.*materialize"
    ):
        read_crop(clip_of("bad.flac"), AudioFolder(tmp_path), ONE_SECOND, RATE, 0.0)


def test_a_file_without_samples_and_one_without_sound_are_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "none.wav", np.zeros(0, dtype=np.int16), RATE)
    soundfile.write(tmp_path / "silent.flac", np.zeros(RATE // 2, dtype=np.int16), RATE)
    soundfile.write(tmp_path / "long.flac", np.zeros(5 * RATE, dtype=np.int16), RATE)
    wrong = {"none.wav": "holds no samples", "silent.flac": "is silent", "long.flac": "is silent"}
    for name, problem in wrong.items():
        with pytest.raises(AudioReadError, match=problem):
            read_crop(clip_of(name), AudioFolder(tmp_path), ONE_SECOND, RATE, 0.0)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (np.nan, "holds samples that are not finite"),
        (np.inf, "holds samples that are not finite"),
        (-np.inf, "holds samples that are not finite"),
        (-32_768.0, r"holds samples of up to 3\.28e\+04, where full scale is 1"),
    ],
)
def test_samples_that_are_not_sound_are_named(tmp_path: Path, value: float, problem: str) -> None:
    samples = np.full(2 * RATE, 0.1, dtype=np.float32)
    samples[RATE] = value
    soundfile.write(tmp_path / "bad.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(AudioReadError, match=rf"clip bbc_sound_effects-1: .*bad\.wav {problem}"):
        read_crop(clip_of("bad.wav", 2.0), AudioFolder(tmp_path), ONE_SECOND, RATE, 0.5)


def test_a_decoder_that_exceeds_full_scale_a_little_is_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "loud.wav", np.full(RATE, 1.5, dtype=np.float32), RATE, subtype="FLOAT")
    assert read_crop(clip_of("loud.wav"), AudioFolder(tmp_path), ONE_SECOND, RATE, 0.0).max() == 1.5


def test_a_silent_crop_of_a_clip_with_sound_is_read(tmp_path: Path) -> None:
    samples = np.zeros(3 * RATE)
    samples[:RATE] = 0.5
    soundfile.write(tmp_path / "later.flac", samples, RATE)
    assert not read_crop(clip_of("later.flac", 3.0), AudioFolder(tmp_path), ONE_SECOND, RATE, 1.0).any()


@pytest.mark.parametrize("path", ["../outside.flac", "/etc/hostname", "a/../../outside.flac"])
def test_no_path_leaves_the_folder(tmp_path: Path, path: str) -> None:
    (tmp_path / "inside").mkdir()
    write_ramp(tmp_path, 1.0, "outside.flac")
    with pytest.raises(AudioReadError, match="is missing"):
        read_crop(clip_of(path), AudioFolder(tmp_path / "inside"), ONE_SECOND, RATE, 0.0)


def test_a_bucket_is_read_as_a_folder_is(bucket: S3Bucket, tmp_path: Path) -> None:
    clip = write_ramp(tmp_path, 2.0)
    store = Store(bucket.root, bucket.client)
    store.write_bytes(clip.audio_path, (tmp_path / clip.audio_path).read_bytes())
    here, there = AudioFolder(tmp_path), AudioFiles(store)
    mine, theirs = (read_crop(clip, audio, ONE_SECOND, RATE, 0.3) for audio in (here, there))
    assert np.array_equal(mine, theirs)


def row(number: int, split: str, *others: str) -> dict[str, object]:
    return {
        "clip_id": f"freesound-{number}",
        "source": "freesound",
        "caption": f"Caption {number}.",
        "other_captions": list(others),
        "audio_path": f"{number}.flac",
        "duration_s": 1.0,
        "recording": str(number),
        "split": split,
    }


def test_a_split_keeps_the_manifests_order_and_all_captions() -> None:
    rows = [row(3, "test"), row(1, "train"), row(2, "test", "Another.", "A third.")]
    found = clips_of(TRAINING_MANIFEST.from_rows(rows), "test")
    assert [clip.clip_id for clip in found] == ["freesound-3", "freesound-2"]
    assert [clip.captions for clip in found] == [("Caption 3.",), ("Caption 2.", "Another.", "A third.")]
