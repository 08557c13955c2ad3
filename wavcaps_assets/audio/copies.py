"""Keeps a second file of each clip next to its 32 kHz FLAC: the original, or a copy at a higher rate.

The path of a copy follows from the clip's row in `tables.AUDIO`, so it needs no column of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import soundfile
import soxr

from wavcaps_assets.audio.blocks import Decoded, Samples
from wavcaps_assets.audio.decode import decoding
from wavcaps_assets.settings import ExtraCopy

FULL_SCALE = 32_768
# A FLAC file has no more channels (RFC 9639, section 9.1.3); more are mixed to mono.
MAX_FLAC_CHANNELS = 8
# By the container in `original_format`.
SUFFIXES = {
    "WAV": ".wav",
    "WAVEX": ".wav",
    "RF64": ".wav",
    "W64": ".w64",
    "AIFF": ".aiff",
    "AU": ".au",
    "CAF": ".caf",
    "FLAC": ".flac",
    "MP3": ".mp3",
    "ADTS": ".aac",
    "OGG": ".ogg",
    "MP4": ".m4a",
    "MATROSKA": ".mka",
    "WAVPACK": ".wv",
}


def copy_path(audio_path: str, original_format: str, kind: ExtraCopy) -> str:
    """The path of a clip's copy in the store.

    Args:
        audio_path: of the clip's 32 kHz FLAC, `audio/<source>/<partition>/<clip_id>.flac`.
        original_format: of the clip, such as `WAV/PCM_16`.
        kind: which copy; not `none`.
    """
    path = PurePosixPath(kind.folder, *PurePosixPath(audio_path).parts[1:])
    suffix = ".flac"
    if kind is ExtraCopy.original:
        suffix = SUFFIXES.get(original_format.partition("/")[0], ".audio")
    # A clip's id may have a dot.
    return str(path.with_name(path.name.removesuffix(".flac") + suffix))


def write_copy(original: Path, target: Path, kind: ExtraCopy) -> None:
    """Writes a clip's copy: the file as it is, or 16-bit FLAC with the original's channels.

    Raises:
        UnreadableAudio, EmptyAudio: the file cannot be decoded.
        OSError: `original` cannot be read or `target` cannot be written.
    """
    if kind is ExtraCopy.original:
        shutil.copyfile(original, target)
        return
    rate = int(kind.value.removeprefix("flac_"))
    with decoding(original) as decoded:
        channels = decoded.channels if decoded.channels <= MAX_FLAC_CHANNELS else 1
        try:
            with soundfile.SoundFile(
                target, "w", rate, channels=channels, subtype="PCM_16", format="FLAC"
            ) as sink:
                for block in _resampled(decoded, rate, channels):
                    scaled = np.clip(block, -1, 1 - 1 / FULL_SCALE) * FULL_SCALE
                    sink.write(np.rint(scaled).astype(np.int16))
        except soundfile.LibsndfileError as error:
            raise OSError(f"{target} cannot be written: {error.error_string}") from error


def _resampled(decoded: Decoded, rate: int, channels: int) -> Iterator[Samples]:
    blocks = (
        block if channels == decoded.channels else block.mean(axis=1, keepdims=True)
        for block in decoded.blocks
    )
    if decoded.sample_rate == rate:
        yield from blocks
        return
    resampler = soxr.ResampleStream(decoded.sample_rate, rate, channels, dtype="float32", quality="HQ")
    for block in blocks:
        yield resampler.resample_chunk(block).reshape(-1, channels)
    end = np.zeros((0, channels), dtype=np.float32)
    yield resampler.resample_chunk(end, last=True).reshape(-1, channels)
