"""Decodes a file of any format to blocks of samples."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from wavcaps_assets.audio.blocks import Decoded, Samples, frames_per_block
from wavcaps_assets.audio.containers import BY_LIBSNDFILE, HEAD_BYTES, Container, container_of, id3_bytes
from wavcaps_assets.audio.ffmpeg import by_ffmpeg
from wavcaps_assets.audio.limits import EmptyAudio, UnreadableAudio, broken_after, check_shape

# The largest value of formats with less range than 16 bits (of 1).
FULL_SCALES = {"PCM_S8": 127 / 128, "PCM_U8": 127 / 128, "ULAW": 32_124 / 32_768, "ALAW": 32_256 / 32_768}
# Old taggers add a tag before another tagger's.
MAX_TAGS = 8


@contextmanager
def decoding(path: Path) -> Iterator[Decoded]:
    """Opens a file, whose format is detected from its content.

    Raises, on opening or while its blocks are read:
        UnreadableAudio: it has no audio that can be decoded, or it is cut off.
        EmptyAudio: it is an empty file, or has no samples.
    """
    head = _head(path)
    if not head:
        raise EmptyAudio("the file is empty")
    container = container_of(head)
    if container is None:
        raise UnreadableAudio(f"it is in no format that can be decoded; it starts with {head[:32]!r}")
    if container in BY_LIBSNDFILE:
        with _by_libsndfile(path, container, head) as decoded:
            yield decoded
    else:
        with by_ffmpeg(path, container) as decoded:
            yield decoded


def _head(path: Path) -> bytes:
    """The first bytes of a file, after its ID3 tags."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        start = 0
        for _ in range(MAX_TAGS):
            tag = id3_bytes(head)
            if not tag:
                break
            start += tag
            file.seek(start)
            head = file.read(HEAD_BYTES)
    return head


@contextmanager
def _by_libsndfile(path: Path, container: Container, head: bytes) -> Iterator[Decoded]:
    _check_wav_header(head)
    # Opened without its name, from which libsndfile would guess a format.
    with path.open("rb") as file:
        try:
            source = soundfile.SoundFile(file.fileno(), closefd=False)
        except soundfile.LibsndfileError as error:
            why = str(error.error_string).strip()
            raise UnreadableAudio(f"its header cannot be read as {container}: {why}") from error
        with source:
            check_shape(source.samplerate, source.channels)
            yield Decoded(
                format=f"{source.format}/{source.subtype}",
                sample_rate=source.samplerate,
                channels=source.channels,
                full_scale=FULL_SCALES.get(source.subtype, Decoded.full_scale),
                blocks=_blocks(source),
            )


def _blocks(source: soundfile.SoundFile) -> Iterator[Samples]:
    block = np.empty(
        (frames_per_block(source.samplerate, source.channels), source.channels), dtype=np.float32
    )
    done = 0
    while True:
        try:
            # Unlike `read`, this reads on after the length in the header.
            frames = source.buffer_read_into(block, dtype="float32")
        except soundfile.LibsndfileError as error:
            raise broken_after(done, source.samplerate, str(error.error_string).strip()) from error
        if frames == 0:
            return
        done += frames
        yield block[:frames]


def _check_wav_header(head: bytes) -> None:
    """Names the wrong field of a WAV header; libsndfile only reports that something is wrong."""
    chunk = head.find(b"fmt ")
    if head.startswith((b"RIFF", b"RF64")) and 0 < chunk <= len(head) - 16:
        channels, sample_rate = struct.unpack_from("<HI", head, chunk + 10)
        check_shape(sample_rate, channels)
