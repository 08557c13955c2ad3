"""Audio files as sources send them, and broken ones."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

Signal = NDArray[np.float64]


def tone(rate: int, seconds: float, hertz: float = 1000.0, amplitude: float = 0.5) -> Signal:
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def noise(frames: int, channels: int = 1, amplitude: float = 0.1) -> Signal:
    return amplitude * np.random.default_rng(7).standard_normal((frames, channels))


def scene(rate: int, seconds: float) -> Signal:
    """Two channels that differ: a tone each, and noise."""
    signal = noise(round(rate * seconds), 2, 0.02)
    return signal + np.stack([tone(rate, seconds, 440.0, 0.3), tone(rate, seconds, 3000.0, 0.2)], axis=1)


def sixteen_bits(signal: Signal) -> NDArray[np.int16]:
    return np.rint(signal * 32_767).astype(np.int16)


def wav(
    data: bytes,
    rate: int = 44_100,
    channels: int = 1,
    bits: int = 16,
    tag: int = 1,
    align: int | None = None,
    size: int | None = None,
) -> bytes:
    """A WAV file with a given header, correct or not.

    Args:
        tag: the format: 1 for integers, 3 for floats, 7 for µ-law.
        align: the claimed bytes of a frame.
        size: the claimed bytes of `data`.
    """
    align = channels * bits // 8 if align is None else align
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * align & 0xFFFFFFFF, align, bits)
    size = len(data) if size is None else size
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", len(body) & 0xFFFFFFFF) + body


def with_ffmpeg(
    path: Path, signal: Signal, rate: int, codec: str, container: str, options: dict[str, str] | None = None
) -> Path:
    """Encodes a signal (frames × channels)."""
    layout = "stereo" if signal.shape[1] == 2 else "mono"
    with av.open(str(path), "w", format=container, options=options or {}) as target:
        stream: Any = target.add_stream(codec, rate=rate, layout=layout)
        resampler = av.AudioResampler(
            format=stream.codec_context.format,
            layout=layout,
            rate=rate,
            frame_size=stream.codec_context.frame_size or 1024,
        )
        packed = np.ascontiguousarray(signal, dtype=np.float32).reshape(1, -1)
        whole = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        whole.sample_rate, whole.pts = rate, 0
        for frame in [*resampler.resample(whole), *resampler.resample(None), None]:
            target.mux(stream.encode(frame))
    return path


def flac_claiming(path: Path, frames: int) -> None:
    """Sets the number of frames in a FLAC file's header; 0 means "unknown"."""
    data = bytearray(path.read_bytes())
    fields = int.from_bytes(data[18:26], "big")
    data[18:26] = (fields >> 36 << 36 | frames).to_bytes(8, "big")
    path.write_bytes(data)


def xing_claiming(path: Path, frames: int) -> None:
    """Sets the number of frames in an MP3 file's first frame."""
    data = bytearray(path.read_bytes())
    at = data.find(b"Xing") if b"Xing" in data else data.index(b"Info")
    data[at + 8 : at + 12] = struct.pack(">I", frames)
    path.write_bytes(data)


def flac_bomb(path: Path, seconds: int) -> Path:
    """Silence, which FLAC compresses by a factor of some thousand."""
    with soundfile.SoundFile(path, "w", 44_100, 1, subtype="PCM_16", format="FLAC") as file:
        for _ in range(seconds):
            file.write(np.zeros(44_100, dtype=np.int16))
    return path


def mp4_bomb(packets: int, *, in_chunks: bool = False) -> bytes:
    """An MP4 file of 2 KB whose index describes this many packets.

    Args:
        in_chunks: the table of chunks describes the packets, instead of the table of packets.
    """
    entry = _box(
        b"mp4a", bytes(6), struct.pack(">H", 1), bytes(8), struct.pack(">HHHHI", 1, 16, 0, 0, 44_100 << 16)
    )
    # With packets of one frame, FFmpeg uses the chunks.
    listed, frames = (1, 1) if in_chunks else (packets, 1024)
    per_chunk, chunks = (packets, 200) if in_chunks else (packets, 1)
    tables = _box(
        b"stbl",
        _table(b"stsd", struct.pack(">I", 1), entry),
        _table(b"stts", struct.pack(">III", 1, listed, frames)),
        _table(b"stsc", struct.pack(">IIII", 1, 1, per_chunk, 1)),
        _table(b"stsz", struct.pack(">II", 1, listed)),
        _table(b"stco", struct.pack(f">{1 + chunks}I", chunks, *[600] * chunks)),
    )
    here = _table(b"dref", struct.pack(">II4sI", 1, 12, b"url ", 1))
    media = _box(
        b"mdia",
        _table(b"mdhd", struct.pack(">IIIIHH", 0, 0, 44_100, 0, 0, 0)),
        _table(b"hdlr", bytes(4), b"soun", bytes(13)),
        _box(b"minf", _table(b"smhd", bytes(4)), _box(b"dinf", here), tables),
    )
    track = _box(b"trak", _table(b"tkhd", bytes(80)), media)
    index = _box(b"moov", _table(b"mvhd", bytes(96)), track)
    return _box(b"ftyp", b"M4A ", bytes(4), b"M4A ") + index + _box(b"mdat", bytes(1000))


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _table(kind: bytes, *parts: bytes) -> bytes:
    return _box(kind, bytes(4), *parts)


def riff(*chunks: tuple[bytes, bytes], form: bytes = b"RIFF") -> bytes:
    """A WAV file of chunks, each a name and its content."""
    body = b"WAVE" + b"".join(
        name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks
    )
    return form + struct.pack("<I", len(body)) + body


def pcm_format(rate: int = 44_100, channels: int = 1) -> bytes:
    """The content of a `fmt ` chunk of 16-bit samples."""
    return struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2, channels * 2, 16)


def id3(size: int, content: int | None = None, *, synchsafe: bool = True) -> bytes:
    """An ID3v2.3 tag of zeros.

    Args:
        size: the claimed bytes after its header.
        content: the bytes after its header; None: as claimed.
        synchsafe: whether the size is in four groups of seven bits, as the standard requires.
    """
    groups = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    field = groups if synchsafe else struct.pack(">I", size)
    return b"ID3\x03\x00\x00" + field + bytes(size if content is None else content)


def apev2(size: int) -> bytes:
    """An APEv2 tag of one binary item, at the start of a file."""
    item = struct.pack("<II", size, 2) + b"Cover Art\0" + bytes(size)
    flags = 0xA0000000
    return b"APETAGEX" + struct.pack("<IIII", 2000, len(item), 1, flags) + bytes(8) + item
