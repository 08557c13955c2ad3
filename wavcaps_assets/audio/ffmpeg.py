"""Decodes with FFmpeg: compressed audio, and uncompressed files that libsndfile cannot read.

The files are untrusted. FFmpeg opens one local file with a demuxer listed here, and may use only the
audio decoders listed here: no playlists, no addresses, no images or video.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from wavcaps_assets.audio.blocks import Decoded, Samples, frames_per_block, in_blocks
from wavcaps_assets.audio.conform import conformed
from wavcaps_assets.audio.containers import Container
from wavcaps_assets.audio.limits import EmptyAudio, UnreadableAudio, broken_after, check_shape
from wavcaps_assets.audio.mp4 import check_index
from wavcaps_assets.audio.ogg import Pages, read_pages

COMPRESSED = "aac alac flac mp1float mp2float mp3float opus vorbis wavpack"
UNCOMPRESSED = (
    "adpcm_ima_qt adpcm_ima_wav adpcm_ms pcm_alaw pcm_f32be pcm_f32le pcm_f64be pcm_f64le pcm_mulaw "
    "pcm_s16be pcm_s16le pcm_s24be pcm_s24le pcm_s32be pcm_s32le pcm_s8 pcm_u8"
)
DECODERS = frozenset(f"{COMPRESSED} {UNCOMPRESSED}".split())
# The largest value of codecs with less range than 16 bits (of 1).
FULL_SCALES = {"pcm_s8": 127 / 128, "pcm_u8": 127 / 128, "pcm_mulaw": 32_124 / 32_768, "pcm_alaw": 63 / 64}
# FFmpeg's names of the demuxers that differ from those of libsndfile.
DEMUXERS = {container: container.value.lower() for container in Container}
# FFmpeg may detect these. MP4 is not among them: its index is checked before FFmpeg opens it.
DETECTED = {DEMUXERS[container]: container for container in Container if container is not Container.MP4}
OPTIONS = {
    "protocol_whitelist": "file",
    "codec_whitelist": ",".join(sorted(DECODERS)),
    # Each entry of an edit list may repeat the whole index. Without edit lists the delay is still cut.
    "advanced_editlist": "0",
}
# FLAC's blocks have at most 65,535 frames, WavPack's half a second; an ALAC header may claim 16 million.
DECODER_OPTIONS = {"max_samples": str(1 << 19)}
# Streams that may be cut and joined: packets that cannot be decoded are skipped, as in players.
SELF_SYNCHRONISING = frozenset({Container.MP3, Container.ADTS})
# The header has the exact number of frames; a file that was cut has fewer.
COUNTED = frozenset({Container.FLAC, Container.WAVPACK})
OPUS_RATE = 48_000


@dataclass(frozen=True)
class Span:
    """A part of a file that is decoded as if it were a file.

    Attributes:
        start: its first byte.
        end: the byte after its last; None: the end of the file.
    """

    start: int = 0
    end: int | None = None


WHOLE = Span()


@contextmanager
def by_ffmpeg(path: Path, container: Container | None, start: int = 0) -> Iterator[Decoded]:
    """Opens a file.

    Args:
        container: what it is; None: FFmpeg detects it.
        start: bytes to leave out at its start.

    Raises: like `decoding`.
    """
    if container is Container.MP4:
        check_index(path)
    with ExitStack() as stack:
        opened = stack.enter_context(_open(path, container, Span(start)))
        # A container that we named is never detected as another.
        found = container or DETECTED[opened.format.name.partition(",")[0]]
        if found is not Container.OGG:
            yield _decoded(_Reading(found, opened), iter(()))
            return
        pages = read_pages(path, start)
        if len(pages.links) == 1 and pages.links[0][0] == start:
            yield _decoded(_Reading(found, opened), iter(()), pages)
            return
        # FFmpeg decodes chained streams only if they have the same rate and channels.
        links = (_open(path, found, Span(*link)) for link in pages.links)
        readings = (_Reading(found, stack.enter_context(link)) for link in links)
        yield _decoded(next(readings, _Reading(found, opened)), readings, pages)


def tags(path: Path, container: Container | None) -> list[str]:
    """The values of a file's tags and of its streams', whatever their names.

    Args:
        container: what it is; None: FFmpeg detects it.

    Raises:
        UnreadableAudio: its header cannot be read.
    """
    if container is Container.MP4:
        check_index(path)
    with _open(path, container) as opened:
        of_all = [opened.metadata, *(stream.metadata for stream in opened.streams)]
        return [value for found in of_all for value in found.values()]


@contextmanager
def _open(path: Path, container: Container | None, span: Span = WHOLE) -> Iterator[Any]:
    # Imported here because it takes 0.15 s, and most clips do not need it.
    import av

    options = dict(OPTIONS) if container else {**OPTIONS, "format_whitelist": ",".join(DETECTED)}
    with path.open("rb") as file:
        # "file:" because a name may look like an address; tags may contain any bytes.
        source: Any = f"file:{path}" if span == WHOLE else _Part(file, span)
        demuxer = DEMUXERS[container] if container else None
        try:
            opened = av.open(source, format=demuxer, options=options, metadata_errors="replace")
        except av.FFmpegError as error:
            raise UnreadableAudio(
                f"its header cannot be read as {demuxer or 'any format'}: {error.strerror}"
            ) from error
        with opened:
            yield opened


def _decoded(reading: _Reading, others: Iterator[_Reading], pages: Pages | None = None) -> Decoded:
    frames = reading.frames()
    first = next(frames, None)
    if first is None:
        raise EmptyAudio("it has no samples")
    rate, channels = first.sample_rate, first.layout.nb_channels
    if pages and pages.broken_at is not None:
        raise broken_after(
            pages.broken_at, OPUS_RATE if reading.codec == "opus" else rate, "a page is cut or damaged"
        )
    rest = (frame for other in others for frame in other.frames())
    parts = ((_samples(frame), frame.sample_rate) for frame in chain([first], frames, rest))
    return Decoded(
        format=f"{reading.container.name}/{reading.codec}",
        sample_rate=rate,
        channels=channels,
        blocks=in_blocks(conformed(parts, rate, channels), frames_per_block(rate, channels)),
        full_scale=FULL_SCALES.get(reading.codec, Decoded.full_scale),
    )


class _Reading:
    """Decodes a stream and checks it.

    Raises: like `decoding`.
    """

    def __init__(self, container: Container, opened: Any) -> None:
        self.container = container
        self._opened = opened
        self._stream = opened.streams.best("audio")
        if self._stream is None:
            raise EmptyAudio(f"it is {container.value} without audio")
        codec = self._stream.codec_context
        if codec is None or codec.name not in DECODERS:
            name = "unknown" if codec is None else codec.name
            raise UnreadableAudio(f"its audio codec is {name}, which is not supported")
        codec.thread_count = 1
        codec.options = DECODER_OPTIONS
        self.codec = str(codec.codec.canonical_name)
        self._packets = 0
        self._failures = 0
        # Of the decoded frames: number, duration (s), and time of the first one in frames. Rate and channels
        # come from each frame, because the container may be wrong.
        self._done = 0
        self._seconds = 0.0
        self._start: int | None = None

    def frames(self) -> Iterator[Any]:
        import av

        try:
            for packet in self._opened.demux(self._stream):
                self._packets += packet.size > 0
                for frame in self._decoded(packet):
                    self._check(frame)
                    yield frame
                    self._done += frame.samples
                    self._seconds += frame.samples / frame.sample_rate
        except av.FFmpegError as error:
            raise self._broken(str(error.strerror)) from error
        self._check_end()

    def _decoded(self, packet: Any) -> list[Any]:
        import av

        try:
            return list(packet.decode())
        except av.FFmpegError:
            if self.container not in SELF_SYNCHRONISING:
                raise
            self._failures += 1
            return []

    def _check(self, frame: Any) -> None:
        if self._start is None:
            check_shape(frame.sample_rate, frame.layout.nb_channels)
            self._start = frame.pts or 0
        # FFmpeg skips damaged FLAC blocks, which leaves a gap in the times.
        if self.container is Container.FLAC and frame.pts != self._start + self._done:
            raise self._broken("a block is damaged")

    def _check_end(self) -> None:
        if self._failures > self._packets // 2:
            raise UnreadableAudio(f"{self._failures:,} of its {self._packets:,} packets cannot be decoded")
        if self._packets < self._stream.frames:
            raise self._broken(f"it has {self._packets:,} of {self._stream.frames:,} packets")
        if self.container in COUNTED and self._stream.duration and self._done < self._stream.duration:
            raise self._broken(f"it has {self._done:,} of {self._stream.duration:,} frames")

    def _broken(self, why: str) -> UnreadableAudio:
        return UnreadableAudio(why) if self._start is None else broken_after(self._seconds, 1, why)


class _Part:
    """A span of an open file, with the methods that PyAV calls."""

    def __init__(self, file: BinaryIO, span: Span) -> None:
        self._file = file
        self._start = span.start
        self._end = file.seek(0, io.SEEK_END) if span.end is None else span.end
        file.seek(span.start)

    def read(self, size: int) -> bytes:
        return self._file.read(max(min(size, self._end - self._file.tell()), 0))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: self._start, io.SEEK_CUR: self._file.tell(), io.SEEK_END: self._end}[whence]
        return self._file.seek(max(base + offset, self._start)) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start


def _samples(frame: Any) -> Samples:
    """A frame's samples; FFmpeg may store them as integers and by channel."""
    array = frame.to_ndarray()
    samples = array.T if frame.format.is_planar else array.reshape(-1, frame.layout.nb_channels)
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if np.issubdtype(samples.dtype, np.integer):
        return samples.astype(np.float32) * np.float32(0.5 ** (8 * samples.dtype.itemsize - 1))
    return samples.astype(np.float32, copy=False)
