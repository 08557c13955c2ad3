"""Decodes a file of any format to blocks of samples."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import chain
from pathlib import Path

import numpy as np
import soundfile

from wavcaps_assets.audio.blocks import Decoded, Samples, frames_per_block
from wavcaps_assets.audio.containers import BY_LIBSNDFILE, HEAD_BYTES, Container, container_of, tag_bytes
from wavcaps_assets.audio.ffmpeg import by_ffmpeg
from wavcaps_assets.audio.limits import EmptyAudio, UnreadableAudio, broken_after, check_shape
from wavcaps_assets.audio.mpeg import first_frame, is_adts
from wavcaps_assets.masking import masked_bytes

logger = logging.getLogger(__name__)

# The largest value of formats with less range than 16 bits (of 1).
FULL_SCALES = {"PCM_S8": 127 / 128, "PCM_U8": 127 / 128, "ULAW": 32_124 / 32_768, "ALAW": 32_256 / 32_768}
# Old taggers add a tag before another tagger's.
MAX_TAGS = 8
# How far MPEG audio is searched for, after whatever precedes it.
SEARCHED_BYTES = 1 << 20
# A WAV file has a handful of chunks before its format.
MAX_CHUNKS = 1000

Opener = Callable[[], AbstractContextManager[Decoded]]


@contextmanager
def decoding(path: Path) -> Iterator[Decoded]:
    """Opens a file, whose format is detected from its content.

    A file is refused only if neither libsndfile nor FFmpeg can read it: its first bytes decide which of
    them comes first, and no more.

    Raises, on opening or while its blocks are read:
        UnreadableAudio: it has no audio that can be decoded, or it is cut off.
        EmptyAudio: it is an empty file, or has no samples.
    """
    start, head = head_of(path)
    if not head:
        raise EmptyAudio("the file is empty")
    with ExitStack() as stack:
        yield _opened(path, start, head, stack)


def _opened(path: Path, start: int, head: bytes, stack: ExitStack) -> Decoded:
    container = container_of(head)
    openers: list[Opener] = []
    if container in BY_LIBSNDFILE:
        openers.append(lambda: _by_libsndfile(path, container))
    if container is not None:
        openers.append(lambda: by_ffmpeg(path, container, start if container is Container.OGG else 0))
    if container is None or container in {Container.MP3, Container.ADTS}:
        # Four bytes are not much to detect MPEG audio by, and tags may be longer than they claim.
        openers += [lambda: _by_search(path, start), lambda: by_ffmpeg(path, None)]
    failures: list[UnreadableAudio | EmptyAudio] = []
    for opener in openers:
        try:
            decoded = stack.enter_context(opener())
        except (UnreadableAudio, EmptyAudio) as failure:
            failures.append(failure)
        else:
            if failures:
                logger.info("%s can be decoded although %s", path.name, failures[0])
            return decoded
    if container is Container.WAV:
        _check_wav_header(path)
    if container is None:
        raise UnreadableAudio(
            f"it is in no format that can be decoded; it starts with {masked_bytes(head)[:32]!r}"
        )
    raise failures[0]


def head_of(path: Path) -> tuple[int, bytes]:
    """The offset and the first bytes of a file after its tags."""
    with path.open("rb") as file:
        whole = head = file.read(HEAD_BYTES)
        start = 0
        for _ in range(MAX_TAGS):
            tag = tag_bytes(head)
            if not tag:
                break
            start += tag
            file.seek(start)
            head = file.read(HEAD_BYTES)
    # A tag that is longer than its file has a wrong length.
    return (start, head) if head else (0, whole)


def _by_search(path: Path, start: int) -> AbstractContextManager[Decoded]:
    """Opens MPEG audio after stray bytes or a tag with a wrong length."""
    with path.open("rb") as file:
        for offset in (0, start):
            file.seek(offset)
            data = file.read(SEARCHED_BYTES)
            at = first_frame(data)
            if at is not None:
                container = Container.ADTS if is_adts(data[at : at + 2]) else Container.MP3
                return by_ffmpeg(path, container, offset + at)
    raise UnreadableAudio("it has no MPEG audio")


@contextmanager
def _by_libsndfile(path: Path, container: Container) -> Iterator[Decoded]:
    # Opened without its name, from which libsndfile would guess a format.
    with path.open("rb") as file:
        try:
            source = soundfile.SoundFile(file.fileno(), closefd=False)
        except soundfile.LibsndfileError as error:
            why = str(error.error_string).strip()
            raise UnreadableAudio(f"its header cannot be read as {container}: {why}") from error
        with source:
            check_shape(source.samplerate, source.channels)
            blocks = _blocks(source)
            first = next(blocks, None)
            if first is None:
                raise EmptyAudio("it has no samples")
            yield Decoded(
                format=f"{source.format}/{source.subtype}",
                sample_rate=source.samplerate,
                channels=source.channels,
                full_scale=FULL_SCALES.get(source.subtype, Decoded.full_scale),
                blocks=chain([first], blocks),
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


def _check_wav_header(path: Path) -> None:
    """Names the wrong field of a WAV header; the libraries only report that something is wrong."""
    with path.open("rb") as file:
        file.seek(12)
        for _ in range(MAX_CHUNKS):
            header = file.read(8)
            if len(header) < 8:
                return
            size = int.from_bytes(header[4:], "little")
            if header.startswith(b"fmt "):
                fields = file.read(8)
                if len(fields) == 8:
                    channels, sample_rate = struct.unpack_from("<HI", fields, 2)
                    check_shape(sample_rate, channels)
                return
            # Chunks are padded to an even length.
            file.seek(size + size % 2, 1)
