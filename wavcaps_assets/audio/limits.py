"""Limits of a clip, and the errors of audio beyond them."""

from __future__ import annotations

from pydantic import BaseModel, Field

# Telephone codecs use 8 kHz, the fastest converters 768 kHz; a header beyond that is wrong.
LOWEST_RATE = 1_000
HIGHEST_RATE = 768_000
# More than any published microphone array has, and libsndfile's own limit.
MAX_CHANNELS = 1024


class UnreadableAudio(ValueError):
    """The file has no audio that can be decoded, or it is cut off or damaged."""


class EmptyAudio(ValueError):
    """The file can be decoded and has no samples."""


class TooLong(ValueError):
    """The file has more audio than the limit of a clip."""


class AudioLimits(BaseModel):
    """Limits of one clip."""

    longest_s: float = Field(
        12 * 3600.0,
        gt=0,
        description="longest clip (s); BBC recordings last hours, and a small file can decode to any length",
    )


def check_shape(sample_rate: int, channels: int) -> None:
    """Checks that a recording can have this shape.

    Args:
        sample_rate: of the file (Hz).
        channels: of the file.

    Raises:
        UnreadableAudio: it cannot; gives the value and the possible range.
    """
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise UnreadableAudio(
            f"its header claims a sample rate of {sample_rate:,} Hz; "
            f"{LOWEST_RATE:,} to {HIGHEST_RATE:,} Hz is possible"
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise UnreadableAudio(f"its header claims {channels:,} channels; 1 to {MAX_CHANNELS:,} is possible")


def broken_after(frames: float, sample_rate: int, why: str) -> UnreadableAudio:
    """The error of a file that is damaged or cut after a time.

    Args:
        frames: number of frames decoded so far.
        sample_rate: their rate (Hz).
        why: the reason, in a few words.
    """
    return UnreadableAudio(f"it is damaged or cut after {frames / sample_rate:.2f} s: {why}")
