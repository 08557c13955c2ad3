"""Files that break a rule and that every player plays: they are read as FFmpeg reads them."""

from __future__ import annotations

import csv
import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.audio.files import apev2, id3, pcm_format, riff, scene, sixteen_bits, tone, wav, with_ffmpeg
from tests.support.paths import SHARED
from wavcaps_assets.audio.normalise import AudioFacts, normalise

CASES = SHARED / "cases" / "audio"
SECOND = sixteen_bits(tone(44_100, 1.0)).tobytes()
FMT = (b"fmt ", pcm_format())
DATA = (b"data", SECOND)
# An MP3 encoder adds a delay, which is not cut after stray bytes.
ENCODER_S = 0.08


def read(folder: Path, content: bytes) -> AudioFacts:
    (folder / "in").write_bytes(content)
    return normalise(folder / "in", folder / "out.flac")


def encoded(kind: str, rate: int = 44_100, channels: int = 1, seconds: float = 1.0) -> bytes:
    signal = scene(rate, seconds)[:, :channels]
    subtype = "OPUS" if kind == "OPUS" else None
    file = io.BytesIO()
    soundfile.write(file, signal, rate, format="OGG" if kind == "OPUS" else kind, subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize("name", [b"bext", b"LIST", b"JUNK", b"iXML"])
def test_a_chunk_that_contains_a_chunks_name_is_not_that_chunk(tmp_path: Path, name: bytes) -> None:
    plain = read(tmp_path, wav(SECOND))
    for content in (b"an old fmt of tape 7", b"fmt " + bytes(60), b"data\0\0\0\0" + b"fmt \x10\0\0\0" * 9):
        assert read(tmp_path, riff((name, content), FMT, DATA)).samples_sha256 == plain.samples_sha256


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_stream_that_did_not_know_its_length_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    plain = read(tmp_path, wav(SECOND))
    streamed = wav(SECOND, size=size)
    for length in (struct.pack("<I", size), streamed[4:8]):
        facts = read(tmp_path, streamed[:4] + length + streamed[8:])
        assert facts.samples_sha256 == plain.samples_sha256


@pytest.mark.parametrize("form", [b"BW64", b"RF64"])
def test_wav_with_64_bit_sizes(tmp_path: Path, form: bytes) -> None:
    sizes = struct.pack("<QQQI", len(SECOND) + 80, len(SECOND), 44_100, 0)
    content = riff((b"ds64", sizes), FMT, DATA, form=form)
    at = content.index(b"data") + 4
    content = form + b"\xff" * 4 + content[8:at] + b"\xff" * 4 + content[at + 4 :]
    assert read(tmp_path, content).samples_sha256 == read(tmp_path, wav(SECOND)).samples_sha256


@pytest.mark.parametrize("kind", ["OGG", "OPUS", "FLAC", "WAV", "MP3"])
@pytest.mark.parametrize("tag", [id3(64), id3(20_000), id3(100) + id3(7)], ids=["small", "large", "two"])
def test_an_id3_tag_before_any_container(tmp_path: Path, kind: str, tag: bytes) -> None:
    rate = 48_000 if kind == "OPUS" else 44_100
    plain = read(tmp_path, encoded(kind, rate))
    facts = read(tmp_path, tag + encoded(kind, rate))
    assert facts.samples_sha256 == plain.samples_sha256


@pytest.mark.slow
@pytest.mark.parametrize(
    "start",
    [
        b" ",
        b"\xff",
        b"\xaa" * 26,
        b"\xff\xfb" * 100,
        b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        bytes(range(256)) * 1000,
        apev2(16),
        apev2(300_000),
        id3(500, synchsafe=False),
        id3(200_000, synchsafe=False),
        id3(2**20, content=100),
        id3(100, content=100_000),
    ],
    ids=lambda start: f"{start[:8]!r} {len(start)}",
)
@pytest.mark.parametrize("kind", ["MP3", "ADTS"])
def test_mpeg_audio_is_found_behind_anything(tmp_path: Path, kind: str, start: bytes) -> None:
    if kind == "ADTS":
        audio = with_ffmpeg(tmp_path / "a", scene(44_100, 1.0), 44_100, "aac", "adts").read_bytes()
    else:
        audio = encoded("MP3", channels=2)
    plain, facts = read(tmp_path, audio), read(tmp_path, start + audio)
    assert facts.duration_s == pytest.approx(plain.duration_s, abs=ENCODER_S)
    assert (facts.original_sample_rate, facts.original_channels) == (44_100, 2)
    assert facts.rms_dbfs == pytest.approx(plain.rms_dbfs, abs=0.5)


Shape = tuple[int, int]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("MP3", (22_050, 2), (22_050, 1)),
        ("MP3", (44_100, 1), (44_100, 2)),
        ("MP3", (44_100, 2), (48_000, 1)),
        ("OGG", (22_050, 1), (44_100, 1)),
        ("OGG", (44_100, 2), (44_100, 1)),
        ("OGG", (48_000, 1), (8_000, 2)),
        ("OPUS", (48_000, 1), (48_000, 2)),
    ],
)
def test_a_stream_that_changes_its_shape_is_read_to_its_end(
    tmp_path: Path, kind: str, first: Shape, second: Shape
) -> None:
    parts = [encoded(kind, *first, seconds=2.0), encoded(kind, *second, seconds=2.0)]
    expected = [read(tmp_path, part) for part in parts]
    facts = read(tmp_path, b"".join(parts))
    assert (facts.original_sample_rate, facts.original_channels) == first
    assert facts.duration_s == pytest.approx(sum(part.duration_s for part in expected), abs=2 * ENCODER_S)
    # The first half keeps its 440 Hz, and the second, which is resampled, has the same pitch.
    samples, _ = soundfile.read(tmp_path / "out.flac")
    for half in (samples[8_000:40_000], samples[-40_000:-8_000]):
        assert abs(int(np.abs(np.fft.rfft(half)).argmax()) - 440) <= 1


def test_chained_ogg_streams_of_two_codecs(tmp_path: Path) -> None:
    facts = read(tmp_path, encoded("OGG", 44_100, 2) + encoded("OPUS", 48_000, 1) + encoded("OGG", 8_000))
    assert facts.duration_s == pytest.approx(3.0, abs=0.05)
    assert facts.original_format == "OGG/vorbis"


def test_aac_that_changes_its_rate(tmp_path: Path) -> None:
    parts = [
        with_ffmpeg(tmp_path / str(rate), scene(rate, 5.0), rate, "aac", "adts").read_bytes()
        for rate in (44_100, 48_000)
    ]
    facts = read(tmp_path, b"".join(parts))
    assert facts.original_sample_rate == 44_100
    assert facts.duration_s == pytest.approx(10.0, abs=ENCODER_S)


@pytest.mark.parametrize("box", [b"free", b"wide"])
def test_quicktime_without_a_file_type(tmp_path: Path, box: bytes) -> None:
    content = with_ffmpeg(tmp_path / "a", scene(44_100, 1.0), 44_100, "aac", "ipod").read_bytes()
    assert read(tmp_path, content.replace(b"ftyp", box, 1)).duration_s == pytest.approx(1.0, abs=ENCODER_S)


@pytest.mark.skipif(not CASES.is_dir(), reason="shared/cases/audio is not here")
def test_the_collected_cases_are_read_as_ffmpeg_reads_them(tmp_path: Path) -> None:
    with (CASES / "expected.csv").open() as lines:
        for case in csv.DictReader(lines):
            facts = normalise(CASES / case["file"], tmp_path / "out.flac")
            assert facts.duration_s == pytest.approx(float(case["seconds_by_ffmpeg"]), abs=0.03), case
            shape = (str(facts.original_sample_rate), str(facts.original_channels))
            assert shape == (case["sample_rate"], case["channels"])
