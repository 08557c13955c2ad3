"""Decodes compressed audio with FFmpeg.

The files are untrusted. FFmpeg gets the name of the demuxer, opens one local file, and may use only the
audio decoders listed here: no playlists, no addresses, no images or video.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from wavcaps_assets.audio import ogg
from wavcaps_assets.audio.blocks import Decoded, Samples, frames_per_block, in_blocks
from wavcaps_assets.audio.containers import Container
from wavcaps_assets.audio.limits import EmptyAudio, UnreadableAudio, broken_after, check_shape
from wavcaps_assets.audio.mp4 import check_index

DECODERS = frozenset({"aac", "alac", "flac", "mp1float", "mp2float", "mp3float", "opus", "vorbis", "wavpack"})
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


@contextmanager
def by_ffmpeg(path: Path, container: Container) -> Iterator[Decoded]:
    """Opens a file of a known container.

    Raises: like `decoding`.
    """
    # Imported here because it takes 0.15 s, and most clips do not need it.
    import av

    if container is Container.MP4:
        check_index(path)
    try:
        # "file:" because a name may look like an address; tags may contain any bytes.
        opened = av.open(f"file:{path}", format=container.value, options=OPTIONS, metadata_errors="replace")
    except av.FFmpegError as error:
        raise UnreadableAudio(f"its header cannot be read as {container.value}: {error.strerror}") from error
    with opened:
        yield _decoded(path, container, opened)


def _decoded(path: Path, container: Container, opened: Any) -> Decoded:
    stream = opened.streams.best("audio")
    if stream is None:
        raise EmptyAudio(f"it is {container.value} without audio")
    codec = stream.codec_context
    if codec is None or codec.name not in DECODERS:
        raise UnreadableAudio(
            f"its audio codec is {'unknown' if codec is None else codec.name}, which is not supported"
        )
    codec.thread_count = 1
    codec.options = DECODER_OPTIONS
    reading = _Reading(container, opened, stream)
    frames = reading.frames()
    first = next(frames, None)
    if first is None:
        raise EmptyAudio("it has no samples")
    rate, channels = first.sample_rate, first.layout.nb_channels
    if container is Container.OGG:
        _require_whole(path, OPUS_RATE if codec.name == "opus" else rate)
    parts = (_samples(frame) for frame in chain([first], frames))
    return Decoded(
        format=f"{container.name}/{codec.codec.canonical_name}",
        sample_rate=rate,
        channels=channels,
        blocks=in_blocks(parts, frames_per_block(rate, channels)),
    )


class _Reading:
    """Decodes a stream and checks it."""

    def __init__(self, container: Container, opened: Any, stream: Any) -> None:
        self._container = container
        self._opened = opened
        self._stream = stream
        self._packets = 0
        self._failures = 0
        # Of the decoded frames: number, rate (Hz), channels, and time of the first one in frames. Rate and
        # channels come from the first frame, because the container may be wrong.
        self._done = 0
        self._rate = 0
        self._channels = 0
        self._start = 0

    def frames(self) -> Iterator[Any]:
        import av

        try:
            for packet in self._opened.demux(self._stream):
                self._packets += packet.size > 0
                for frame in self._decoded(packet):
                    self._check(frame)
                    yield frame
                    self._done += frame.samples
        except av.FFmpegError as error:
            raise self._broken(str(error.strerror)) from error
        self._check_end()

    def _decoded(self, packet: Any) -> list[Any]:
        import av

        try:
            return list(packet.decode())
        except av.FFmpegError:
            if self._container not in SELF_SYNCHRONISING:
                raise
            self._failures += 1
            return []

    def _check(self, frame: Any) -> None:
        shape = (frame.sample_rate, frame.layout.nb_channels)
        if not self._rate:
            check_shape(*shape)
            self._rate, self._channels = shape
            self._start = frame.pts or 0
        if shape != (self._rate, self._channels):
            raise self._broken(
                f"{self._rate} Hz and {self._channels} channels become {shape[0]} Hz and {shape[1]}"
            )
        # FFmpeg skips damaged FLAC blocks, which leaves a gap in the times.
        if self._container is Container.FLAC and frame.pts != self._start + self._done:
            raise self._broken("a block is damaged")

    def _check_end(self) -> None:
        if self._failures > self._packets // 2:
            raise UnreadableAudio(f"{self._failures:,} of its {self._packets:,} packets cannot be decoded")
        if self._packets < self._stream.frames:
            raise self._broken(f"it has {self._packets:,} of {self._stream.frames:,} packets")
        if self._container in COUNTED and self._stream.duration and self._done < self._stream.duration:
            raise self._broken(f"it has {self._done:,} of {self._stream.duration:,} frames")

    def _broken(self, why: str) -> UnreadableAudio:
        return broken_after(self._done, self._rate, why) if self._rate else UnreadableAudio(why)


def _require_whole(path: Path, rate: int) -> None:
    position = ogg.broken_at(path)
    if position is not None:
        raise broken_after(position, rate, "a page is cut or damaged")


def _samples(frame: Any) -> Samples:
    """A frame's samples; FFmpeg may store them as integers and by channel."""
    array = frame.to_ndarray()
    samples = array.T if frame.format.is_planar else array.reshape(-1, frame.layout.nb_channels)
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if np.issubdtype(samples.dtype, np.integer):
        return samples.astype(np.float32) * np.float32(0.5 ** (8 * samples.dtype.itemsize - 1))
    return samples.astype(np.float32, copy=False)
