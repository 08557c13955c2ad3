"""A file as blocks of samples, whatever its format."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from wavcaps_assets.audio.blocks import Decoded, Samples, frames_per_block
from wavcaps_assets.audio.containers import BY_LIBSNDFILE, HEAD_BYTES, Container, container_of, id3_bytes
from wavcaps_assets.audio.limits import EmptyAudio, UnreadableAudio, breaks, check_shape

# The largest value that a format can hold, where that is less than 16 bits' (of 1).
FULL_SCALES = {"PCM_S8": 127 / 128, "PCM_U8": 127 / 128, "ULAW": 32_124 / 32_768, "ALAW": 32_256 / 32_768}
# An old tagger may have added its tag before another's.
MOST_TAGS = 8


@contextmanager
def decoding(path: Path) -> Iterator[Decoded]:
    """Opens a file, whose format is told by its content.

    Raises, at once or while its blocks are read:
        UnreadableAudio: it holds no audio that can be decoded, or breaks off; says which.
        EmptyAudio: it is an empty file, or holds no samples.
    """
    head = _head(path)
    if not head:
        raise EmptyAudio("the file is empty")
    container = container_of(head)
    if container is None:
        raise UnreadableAudio(f"no audio format that can be decoded: it starts with {head[:32]!r}")
    if container in BY_LIBSNDFILE:
        with _by_libsndfile(path, container, head) as decoded:
            yield decoded
    else:
        # FFmpeg takes 0.15 s to import, and most clips do without.
        from wavcaps_assets.audio.ffmpeg import by_ffmpeg

        with by_ffmpeg(path, container) as decoded:
            yield decoded


def _head(path: Path) -> bytes:
    """The first bytes of a file, after its ID3 tags."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        start = 0
        for _ in range(MOST_TAGS):
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
    # Without its name: libsndfile would take a hint from it.
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
            # Unlike `read`, this asks for the next frames whatever the header says is left.
            frames = source.buffer_read_into(block, dtype="float32")
        except soundfile.LibsndfileError as error:
            raise breaks(done, source.samplerate, str(error.error_string).strip()) from error
        if frames == 0:
            return
        done += frames
        yield block[:frames]


def _check_wav_header(head: bytes) -> None:
    """Says what is wrong with a WAV header where libsndfile would only say that something is."""
    chunk = head.find(b"fmt ")
    if head.startswith((b"RIFF", b"RF64")) and 0 < chunk <= len(head) - 16:
        channels, sample_rate = struct.unpack_from("<HI", head, chunk + 10)
        check_shape(sample_rate, channels)
