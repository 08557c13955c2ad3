"""Compares clips with a benchmark's clips by sound: candidates from the index, then a second look at each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from wavcaps_assets.fingerprints.alignment import align
from wavcaps_assets.fingerprints.index import HashIndex
from wavcaps_assets.fingerprints.landmarks import FRAMES_A_SECOND, Landmarks

SAME, REVIEW = "same", "review"


class MatchSettings(BaseModel):
    """When two clips have the same recording in them.

    `least_hashes`, `least_agreement` and `most_elsewhere` were chosen on ESC-10's folds 1 and 2: each is the
    first step beyond the most alike of 177,100 unrelated pairs. On folds 3 and 5, which were not used to
    choose, they find all of 160 clips as Ogg Vorbis (64 kbit/s), at 16 kHz and 12 dB quieter, 159 that are
    12 dB louder, 150 of 151 halves, and 156 mixed into a longer clip; of 177,100 unrelated pairs, none is
    called the same. `docs/decontamination.md` has the rest.
    """

    least_hashes: int = Field(
        5, ge=2, description="equal hashes at one offset from which two clips are looked at more closely"
    )
    review_hashes: int = Field(
        12,
        ge=2,
        description="equal hashes from which a pair that is not the same is listed for review",
    )
    least_agreement: float = Field(
        0.2,
        ge=0,
        le=1,
        description="share of the spectral peaks that agree from which two clips are the same (0 to 1)",
    )
    most_elsewhere: float = Field(
        0.6,
        ge=0,
        le=1,
        description="clips whose peaks agree at another offset more than this share of what they agree here "
        "are not the same: they have a tone or a beep in common",
    )
    least_peaks: int = Field(10, ge=1, description="peaks that must agree at least")


@dataclass(frozen=True)
class Match:
    """One clip, and a clip of the benchmark.

    Attributes:
        clip: the number of the clip.
        indexed: the number of the benchmark's clip.
        score: equal hashes at the offset.
        offset_s: where the benchmark's clip begins in the clip (s); negative: before it.
        agreement: share of the peaks that agree there (0 to 1).
        elsewhere: the largest share that agrees at another offset (0 to 1).
        verdict: `same` or `review`.
    """

    clip: int
    indexed: int
    score: int
    offset_s: float
    agreement: float
    elsewhere: float
    verdict: str


def matches(
    clips: Sequence[Landmarks], index: HashIndex, indexed: Sequence[Landmarks], settings: MatchSettings
) -> Iterator[Match]:
    """The clips that are, or may be, in the index.

    Args:
        clips: some thousands of clips.
        indexed: the clips that the index was made of, in the same order.
    """
    found = index.search(clips, settings.least_hashes)
    columns: Iterable[tuple[int, int, int, int]] = zip(
        *(column.tolist() for column in (found.searched, found.indexed, found.score, found.offset)),
        strict=True,
    )
    for clip, other, score, offset in columns:
        # For review, all figures are wanted.
        least = 0.0 if score >= settings.review_hashes else settings.least_agreement
        seen = align(clips[clip], indexed[other], offset, least)
        if seen is None:
            continue
        same = (
            seen.agreement >= settings.least_agreement
            and seen.elsewhere <= settings.most_elsewhere * seen.agreement
            and seen.peaks >= settings.least_peaks
        )
        if same or score >= settings.review_hashes:
            verdict = SAME if same else REVIEW
            seconds = offset / FRAMES_A_SECOND
            yield Match(clip, other, score, seconds, seen.agreement, seen.elsewhere, verdict)
