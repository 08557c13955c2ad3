"""What audio is refused, and the errors that say why."""

from __future__ import annotations

from pydantic import BaseModel, Field

# The slowest telephone codecs run at 8 kHz, the fastest converters at 768 kHz: beyond that a header lies.
LOWEST_RATE = 1_000
HIGHEST_RATE = 768_000
# More than any microphone array publishes, and libsndfile's own limit.
MOST_CHANNELS = 1024


class UnreadableAudio(ValueError):
    """The file holds no audio that can be decoded, or breaks off."""


class EmptyAudio(ValueError):
    """The file can be decoded, and holds no samples."""


class TooLong(ValueError):
    """The file decodes to more audio than is wanted of one clip."""


class AudioLimits(BaseModel):
    """What one clip may be."""

    longest_s: float = Field(
        12 * 3600.0, gt=0, description="longest clip (s); the BBC's run to hours, a small file's need not end"
    )


def check_shape(sample_rate: int, channels: int) -> None:
    """Refuses what no recording has.

    Args:
        sample_rate: what the file says (Hz).
        channels: what the file says.

    Raises:
        UnreadableAudio: names what was seen and what is possible.
    """
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise UnreadableAudio(
            f"it says that its sample rate is {sample_rate:,} Hz; "
            f"{LOWEST_RATE:,} to {HIGHEST_RATE:,} Hz can be"
        )
    if not 1 <= channels <= MOST_CHANNELS:
        raise UnreadableAudio(f"it says that it has {channels:,} channels; 1 to {MOST_CHANNELS:,} can be")


def breaks(frames: int, sample_rate: int, why: str) -> UnreadableAudio:
    """The error of a file that stops making sense.

    Args:
        frames: what could be decoded.
        sample_rate: theirs (Hz).
        why: in a few words.
    """
    return UnreadableAudio(f"it breaks after {frames / sample_rate:.2f} s: {why}")
