"""Files that are wrong, cut or hostile: each gives the audio that it has, or an error that says why not."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from tests.audio.files import flac_bomb, flac_claiming, mp4_bomb, noise, sixteen_bits, tone, wav, with_ffmpeg
from wavcaps_assets.audio.normalise import (
    AudioFacts,
    AudioLimits,
    EmptyAudio,
    TooLong,
    UnreadableAudio,
    normalise,
)

# A second of a tone, 16 bits.
TONE = sixteen_bits(tone(44_100, 1.0)).tobytes()


def normalised(folder: Path, content: bytes, limits: AudioLimits | None = None) -> AudioFacts:
    (folder / "in.wav").write_bytes(content)
    return normalise(folder / "in.wav", folder / "out.flac", limits or AudioLimits())


@pytest.mark.parametrize(
    ("claimed", "seconds"), [(10 * len(TONE), 1.0), (0xFFFFFFFF, 1.0), (len(TONE), 1.0), (8820, 0.1)]
)
def test_a_wav_gives_no_more_than_it_has_or_claims(tmp_path: Path, claimed: int, seconds: float) -> None:
    facts = normalised(tmp_path, wav(TONE, size=claimed))
    assert facts.duration_s == pytest.approx(seconds, abs=1e-4)


def test_a_claimed_block_size_changes_nothing(tmp_path: Path) -> None:
    digests = {normalised(tmp_path, wav(TONE, align=align)).samples_sha256 for align in (None, 0, 7, 65_535)}
    assert len(digests) == 1


@pytest.mark.parametrize("rate", [0, 1, 999, 768_001, 2**31 - 1, 4_000_000_000])
def test_an_impossible_rate_is_named(tmp_path: Path, rate: int) -> None:
    with pytest.raises(UnreadableAudio, match=f"sample rate of {rate:,} Hz"):
        normalised(tmp_path, wav(TONE, rate=rate))


@pytest.mark.parametrize("rate", [1000, 1001, 44_101, 768_000])
def test_a_possible_rate_is_resampled(tmp_path: Path, rate: int) -> None:
    facts = normalised(tmp_path, wav(TONE, rate=rate))
    assert facts.duration_s == pytest.approx(44_100 / rate, abs=1e-4)


@pytest.mark.parametrize("channels", [0, 1025, 65_535])
def test_an_impossible_number_of_channels_is_named(tmp_path: Path, channels: int) -> None:
    with pytest.raises(UnreadableAudio, match=f"{channels:,} channels"):
        normalised(tmp_path, wav(TONE, channels=channels, align=2))


@pytest.mark.slow
@pytest.mark.parametrize("channels", [32, 1024])
def test_many_channels_are_averaged(tmp_path: Path, channels: int) -> None:
    # One channel of n has a tone of amplitude 1, so the mean has amplitude 1 / n.
    signal = np.zeros((8_000, channels))
    signal[:, -1] = tone(32_000, 0.25, amplitude=1.0)
    facts = normalised(tmp_path, wav(sixteen_bits(signal).tobytes(), rate=32_000, channels=channels))
    assert facts.original_channels == channels
    assert facts.peak_dbfs == pytest.approx(-20 * math.log10(channels), abs=0.15)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_value_that_is_not_finite_is_enough(tmp_path: Path, value: float) -> None:
    signal = np.zeros((70_000, 32), dtype=np.float32)
    signal[69_000, 17] = value
    with pytest.raises(UnreadableAudio, match="NaN or infinite"):
        normalised(tmp_path, wav(signal.tobytes(), channels=32, bits=32, tag=3))


def test_values_too_large_to_filter_are_unreadable(tmp_path: Path) -> None:
    signal = np.tile(np.array([3e38, -3e38], dtype=np.float32), 20_000)
    with pytest.raises(UnreadableAudio, match="too large"):
        normalised(tmp_path, wav(signal.tobytes(), bits=32, tag=3))


@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE html><html><body>404</body></html>",
        b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>',
        b'{"detail": "Not found."}',
        b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/one.ts\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"RIFF\x00\x00\x00\x00AVI LIST",
        b"\x00" * 5000,
        b"\xff",
        bytes(range(256)) * 40,
    ],
)
def test_what_is_not_audio_is_shown(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UnreadableAudio, match="it starts with b"):
        normalised(tmp_path, content)


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"\xff\xfb\x90\x00",
        b"\xff\xf1\x50\x80",
        b"fLaC\x00\x00\x00\x22",
        b"OggS\x00\x02" + bytes(20),
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00",
        b"FORM\xff\xff\xff\xffAIFFCOMM",
        b"\x00\x00\x00\x14ftypM4A ",
        b"\x1a\x45\xdf\xa3",
        b"wvpk",
        b"caff\x00\x01\x00\x00desc",
        b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f",
    ],
)
@pytest.mark.parametrize("seed", range(4))
def test_noise_after_a_valid_start_is_refused(tmp_path: Path, start: bytes, seed: int) -> None:
    with pytest.raises((UnreadableAudio, EmptyAudio)):
        normalised(tmp_path, start + np.random.default_rng(seed).bytes(20_000))


@pytest.mark.parametrize("content", [b"", wav(b"")])
def test_a_file_without_samples_is_empty(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(EmptyAudio):
        normalised(tmp_path, content)


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "MP3", "AIFF"])
def test_a_file_without_samples_in_another_format_is_empty(tmp_path: Path, kind: str) -> None:
    soundfile.write(tmp_path / "empty", np.zeros(0), 44_100, format=kind)
    with pytest.raises(EmptyAudio):
        normalise(tmp_path / "empty", tmp_path / "out.flac")


def recorded(folder: Path, kind: str) -> bytes:
    """Four seconds of noise in a format."""
    signal = noise(4 * 48_000, 2)
    if kind in ("m4a", "wv"):
        codec, container = {"m4a": ("aac", "ipod"), "wv": ("wavpack", "wv")}[kind]
        # The index at the start, as on the web.
        options = {"movflags": "faststart"} if kind == "m4a" else {}
        return with_ffmpeg(folder / "whole", signal, 48_000, codec, container, options).read_bytes()
    subtype = "OPUS" if kind == "opus" else None
    name = "OGG" if kind == "opus" else kind
    soundfile.write(folder / "whole", signal, 48_000, format=name, subtype=subtype)
    return (folder / "whole").read_bytes()


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "MP3"])
def test_a_cut_file_gives_the_audio_that_it_has(tmp_path: Path, kind: str) -> None:
    whole = recorded(tmp_path, kind)
    assert normalised(tmp_path, whole[: len(whole) // 2 + 1]).duration_s == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "opus", "m4a", "wv"])
def test_a_cut_file_of_a_format_that_shows_it_is_an_error_with_the_place(tmp_path: Path, kind: str) -> None:
    whole = recorded(tmp_path, kind)
    with pytest.raises(UnreadableAudio, match="it is damaged or cut after") as raised:
        normalised(tmp_path, whole[: len(whole) // 2])
    # A page of Ogg may have a second of audio, and a block of WavPack half of one.
    assert float(str(raised.value).split()[6]) == pytest.approx(2.0, abs=1.1)


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "opus", "wv"])
def test_damage_in_the_middle_is_an_error_with_the_place(tmp_path: Path, kind: str) -> None:
    damaged = bytearray(recorded(tmp_path, kind))
    middle = len(damaged) // 2
    damaged[middle : middle + 100] = bytes(100)
    with pytest.raises(UnreadableAudio, match="it is damaged or cut after") as raised:
        normalised(tmp_path, bytes(damaged))
    assert float(str(raised.value).split()[6]) == pytest.approx(2.0, abs=1.1)


def test_damage_in_an_mp3_is_skipped(tmp_path: Path) -> None:
    damaged = bytearray(recorded(tmp_path, "MP3"))
    middle = len(damaged) // 2
    damaged[middle : middle + 2000] = bytes(2000)
    assert normalised(tmp_path, bytes(damaged)).duration_s == pytest.approx(4.0, abs=0.3)


def test_a_flac_with_fewer_frames_than_its_header_claims_is_cut(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip", tone(44_100, 1.0), 44_100, format="FLAC")
    flac_claiming(tmp_path / "clip", 2**36 - 1)
    with pytest.raises(UnreadableAudio, match=r"after 1\.00 s: it has 44,100 of 68,719,476,735 frames"):
        normalise(tmp_path / "clip", tmp_path / "out.flac")


def test_data_after_an_ogg_streams_last_page_is_not_damage(tmp_path: Path) -> None:
    whole = recorded(tmp_path, "OGG")
    assert normalised(tmp_path, whole + b"TAG" + bytes(125)).duration_s == pytest.approx(4.0, abs=0.01)


@pytest.mark.slow
def test_a_small_file_of_endless_silence_ends(tmp_path: Path) -> None:
    path = flac_bomb(tmp_path / "bomb", seconds=600)
    assert path.stat().st_size < 100_000
    with pytest.raises(TooLong, match=r"longer than 0\.1 hours"):
        normalise(path, tmp_path / "out.flac", AudioLimits(longest_s=360))
    assert normalise(path, tmp_path / "out.flac", AudioLimits(longest_s=600)).duration_s == 600


@pytest.mark.parametrize("content", [mp4_bomb(2**32 - 1), mp4_bomb(2**31, in_chunks=True)])
def test_an_index_that_would_fill_the_memory_is_refused(tmp_path: Path, content: bytes) -> None:
    assert len(content) < 3000
    with pytest.raises(UnreadableAudio, match="its index claims"):
        normalised(tmp_path, content)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [(b"stbl", b"cmov", "index is compressed"), (b"mp4a\0", b"zzzz\0", "unknown, which is not supported")],
)
def test_an_unsupported_mp4_is_an_error_with_the_reason(
    tmp_path: Path, before: bytes, after: bytes, message: str
) -> None:
    with pytest.raises(UnreadableAudio, match=message):
        normalised(tmp_path, mp4_bomb(1).replace(before, after))


def test_a_film_without_sound_has_no_audio(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "film"), "w", format="matroska") as film:
        stream = film.add_stream("mpeg4", rate=25, width=64, height=64, pix_fmt="yuv420p")
        for frame in [av.VideoFrame(64, 64, "yuv420p"), None]:
            film.mux(stream.encode(frame))
    with pytest.raises(EmptyAudio, match="without audio"):
        normalise(tmp_path / "film", tmp_path / "out.flac")


@pytest.mark.slow
def test_memory_depends_on_neither_length_nor_channels_nor_rate(tmp_path: Path) -> None:
    def peak(frames: int, channels: int, rate: int) -> int:
        with soundfile.SoundFile(tmp_path / "in.wav", "w", rate, channels, "PCM_16", format="WAV") as file:
            for _ in range(frames // 1000):
                file.write(np.zeros((1000, channels), dtype=np.int16))
        tracemalloc.start()
        normalise(tmp_path / "in.wav", tmp_path / "out.flac")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    short = peak(44_000, 2, 44_100)
    for frames, channels, rate in [(4_400_000, 2, 44_100), (44_000, 200, 44_100), (44_000, 2, 1000)]:
        assert peak(frames, channels, rate) < short + 2_000_000


def test_a_folder_that_cannot_be_written_is_not_a_fault_of_the_clip(tmp_path: Path) -> None:
    (tmp_path / "in.wav").write_bytes(wav(TONE))
    with pytest.raises(OSError, match="cannot be written"):
        normalise(tmp_path / "in.wav", tmp_path / "nowhere" / "out.flac")
