"""Every format that sources send, compared with another decoder or the encoded signal."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from tests.audio.files import (
    Signal,
    flac_claiming,
    noise,
    scene,
    sixteen_bits,
    tone,
    wav,
    with_ffmpeg,
    xing_claiming,
)
from tests.support.paths import DATA
from wavcaps_assets.audio.decode import decoding
from wavcaps_assets.audio.normalise import UnreadableAudio, normalise


def decoded(path: Path) -> tuple[str, int, Signal]:
    """Format, sample rate and samples of a file."""
    with decoding(path) as source:
        blocks = [block.astype(np.float64) for block in source.blocks]
        assert {block.shape[1] for block in blocks} == {source.channels}
        return source.format, source.sample_rate, np.concatenate(blocks)


def by_ffmpeg(path: Path) -> Signal:
    """A file of 16-bit samples, decoded by FFmpeg."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        channels = container.streams.audio[0].codec_context.layout.nb_channels
    return np.concatenate(frames, axis=1).reshape(-1, channels).astype(np.float64) / 32_768


@pytest.mark.parametrize(
    ("file_format", "subtype"),
    [
        ("WAV", "PCM_U8"),
        ("WAV", "PCM_16"),
        ("WAV", "PCM_24"),
        ("WAV", "PCM_32"),
        ("WAV", "FLOAT"),
        ("WAV", "DOUBLE"),
        ("WAV", "ULAW"),
        ("WAV", "ALAW"),
        ("WAV", "MS_ADPCM"),
        ("WAVEX", "PCM_24"),
        ("RF64", "PCM_16"),
        ("W64", "PCM_16"),
        ("AIFF", "PCM_S8"),
        ("AIFF", "PCM_24"),
        ("AIFF", "FLOAT"),
        ("AU", "PCM_16"),
        ("CAF", "PCM_24"),
    ],
)
def test_uncompressed_formats_are_what_libsndfile_reads_whole(
    tmp_path: Path, file_format: str, subtype: str
) -> None:
    path = tmp_path / "clip"
    soundfile.write(path, scene(44_100, 1.5), 44_100, subtype=subtype, format=file_format)
    name, rate, samples = decoded(path)
    expected, _ = soundfile.read(path, always_2d=True)
    assert (name, rate) == (f"{file_format}/{subtype}", 44_100)
    np.testing.assert_array_equal(samples, expected.astype(np.float32))


def test_wav_is_what_ffmpeg_decodes(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, scene(44_100, 1.5), 44_100, subtype="PCM_16")
    np.testing.assert_array_equal(decoded(path)[2], by_ffmpeg(path))


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_flac_is_what_libsndfile_decodes(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, scene(44_100, 1.5), 44_100, subtype=subtype, format="FLAC")
    name, rate, samples = decoded(path)
    assert (name, rate) == ("FLAC/flac", 44_100)
    np.testing.assert_array_equal(samples, soundfile.read(path)[0])


# Decoders of lossy formats round differently; the parts before and after are the encoder's delay.
@pytest.mark.parametrize(
    ("file_format", "subtype", "rate", "name", "tolerance"),
    [
        ("OGG", "VORBIS", 44_100, "OGG/vorbis", 1e-4),
        ("OGG", "OPUS", 48_000, "OGG/opus", 1e-3),
        ("MP3", "MPEG_LAYER_III", 44_100, "MP3/mp3", 1e-4),
    ],
)
def test_lossy_formats_are_what_libsndfile_decodes(
    tmp_path: Path, file_format: str, subtype: str, rate: int, name: str, tolerance: float
) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, scene(rate, 1.5), rate, subtype=subtype, format=file_format)
    expected, _ = soundfile.read(path)
    found = decoded(path)
    assert found[:2] == (name, rate)
    assert found[2].shape == expected.shape
    assert np.abs(found[2] - expected).max() < tolerance


def test_alac_gives_exactly_the_encoded_samples(tmp_path: Path) -> None:
    signal = sixteen_bits(scene(44_100, 1.5)) / 32_768
    path = with_ffmpeg(tmp_path / "clip.wav", signal, 44_100, "alac", "ipod")
    name, rate, samples = decoded(path)
    assert (name, rate) == ("MP4/alac", 44_100)
    np.testing.assert_array_equal(samples, signal)


@pytest.mark.parametrize(
    ("codec", "container", "rate", "name"),
    [
        ("aac", "ipod", 44_100, "MP4/aac"),
        ("aac", "adts", 44_100, "ADTS/aac"),
        ("libopus", "webm", 48_000, "MATROSKA/opus"),
        ("wavpack", "wv", 44_100, "WAVPACK/wavpack"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_formats_of_ffmpeg_keep_pitch_level_and_length(
    tmp_path: Path, codec: str, container: str, rate: int, name: str, channels: int
) -> None:
    signal = np.repeat(tone(rate, 2.0)[:, np.newaxis], channels, axis=1)
    path = with_ffmpeg(tmp_path / "clip.mp3", signal, rate, codec, container)
    facts = normalise(path, tmp_path / "out.flac")
    assert (facts.original_format, facts.original_channels) == (name, channels)
    # An encoder pads its last packet, and ADTS cannot mark the encoder's delay.
    assert facts.duration_s == pytest.approx(2.0, abs=0.07)
    samples, _ = soundfile.read(tmp_path / "out.flac")
    middle = samples[16_000:48_000]
    assert int(np.abs(np.fft.rfft(middle)).argmax()) == 1000
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)


@pytest.mark.parametrize(
    "name", ["clip.mp3", "clip.html", "clip.raw", "clip", "http:clip", "-i.m3u8", "a%03d.png"]
)
@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_a_files_name_does_not_matter(tmp_path: Path, name: str, kind: str) -> None:
    soundfile.write(tmp_path / name, tone(32_000, 0.5), 32_000, subtype="PCM_16", format=kind)
    assert decoded(tmp_path / name)[2].shape == (16_000, 1)


@pytest.mark.parametrize("claimed", [0, 1000])
def test_a_flac_file_is_read_beyond_its_headers_length(tmp_path: Path, claimed: int) -> None:
    path = tmp_path / "clip"
    soundfile.write(path, tone(44_100, 3.0), 44_100, format="FLAC")
    expected, _ = soundfile.read(path, always_2d=True)
    flac_claiming(path, claimed)
    np.testing.assert_array_equal(decoded(path)[2], expected)


@pytest.mark.parametrize("claimed", [5, 10**6])
def test_an_mp3_file_is_read_beyond_its_headers_length(tmp_path: Path, claimed: int) -> None:
    path = tmp_path / "clip"
    soundfile.write(path, tone(44_100, 3.0), 44_100, format="MP3")
    xing_claiming(path, claimed)
    assert len(decoded(path)[2]) / 44_100 == pytest.approx(3.0, abs=0.06)


def test_joined_files_are_read_to_the_end(tmp_path: Path) -> None:
    for kind in ("MP3", "OGG"):
        soundfile.write(tmp_path / "one", tone(44_100, 2.0), 44_100, format=kind)
        (tmp_path / "two").write_bytes(2 * (tmp_path / "one").read_bytes())
        assert len(decoded(tmp_path / "two")[2]) / 44_100 == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize("kind", ["MP3", "FLAC"])
def test_tags_before_and_after_are_not_audio(tmp_path: Path, kind: str) -> None:
    soundfile.write(tmp_path / "plain", tone(44_100, 1.0), 44_100, format=kind)
    audio = (tmp_path / "plain").read_bytes()
    # ID3v2: the size is in groups of seven bits; this one is 10,000 bytes. ID3v1: 128 bytes at the end.
    tag = b"ID3\x03\x00\x00\x00\x00\x4e\x10" + bytes(10_000)
    after = b"TAG" + b"\xff" * 125 if kind == "MP3" else b""
    (tmp_path / "tagged").write_bytes(tag + audio + after)
    np.testing.assert_array_equal(decoded(tmp_path / "tagged")[2], decoded(tmp_path / "plain")[2])


def test_an_mp3_may_begin_with_zeros(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "plain", tone(44_100, 1.0), 44_100, format="MP3")
    (tmp_path / "padded").write_bytes(bytes(500) + (tmp_path / "plain").read_bytes())
    # Its first frame, with the encoder's delay, is then not recognised.
    assert len(decoded(tmp_path / "padded")[2]) / 44_100 == pytest.approx(1.0, abs=0.08)


def test_an_unsupported_codec_is_named(tmp_path: Path) -> None:
    path = with_ffmpeg(tmp_path / "clip", noise(48_000), 48_000, "ac3", "matroska")
    with pytest.raises(UnreadableAudio, match="ac3"), decoding(path):
        pass


def test_wide_files_have_short_blocks(tmp_path: Path) -> None:
    (tmp_path / "wide").write_bytes(wav(sixteen_bits(noise(5000, 1000)).tobytes(), channels=1000))
    with decoding(tmp_path / "wide") as source:
        sizes = {block.size for block in source.blocks}
    assert max(sizes) <= 1 << 15


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "suffix", "clips"), [("esc10", "ogg", 12), ("soundbible_clips", "flac", 11)]
)
def test_real_clips_are_what_libsndfile_decodes(folder: str, suffix: str, clips: int) -> None:
    paths = sorted((DATA / folder / "audio").glob(f"*.{suffix}"))[:clips]
    if not paths:
        pytest.skip(f"shared/data/{folder} is not here")
    for path in paths:
        expected, expected_rate = soundfile.read(path, always_2d=True)
        _, rate, samples = decoded(path)
        assert (rate, samples.shape) == (expected_rate, expected.shape)
        assert np.abs(samples - expected).max() < 1e-4
