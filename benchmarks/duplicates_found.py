"""How many planted duplicates are found by sound, and how many unrelated clips are taken for duplicates.

    python -m benchmarks.duplicates_found ESC10 [OTHER …]

ESC10 is a folder with the clips of ESC-10 and `index.jsonl` (`planted.Clips`). Each OTHER is a folder of
audio files that have nothing to do with it, to be compared with it. Without a folder, nothing is measured.

The thresholds of `fingerprints/matching.py` come from folds 1 and 2 alone, by a rule (`choose`): each is the
first step beyond the most alike of their unrelated pairs. Recall and false pairs are those of folds 3 and 5,
of which no clip was used to choose. No recording is in both parts. (An earlier choice by hand had all folds
in view. The rule was written later, and gives the same thresholds.) Recordings that ESC-10 has under two
numbers are not unrelated. Halves that are silence do not count.

The limits: recall 0.98 for Ogg, 16 kHz, gain and halves, 0.9 for mixed; 1 false pair in 10,000 before the
second look. Wrong exclusions of 1 training clip in 1,000, compared with 40,000 clips, are one pair in 40
million, more than there are real pairs here. That figure is extrapolated (`wrong_share`), and the bound
that the pairs themselves give is printed next to it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.planted import CHANGES, MIXED, RATE, Clips
from benchmarks.result import own_peak_mb, report
from wavcaps_assets.audio.limits import EmptyAudio, UnreadableAudio
from wavcaps_assets.fingerprints.alignment import align
from wavcaps_assets.fingerprints.index import HashIndex
from wavcaps_assets.fingerprints.landmarks import Landmarks, landmarks, landmarks_of_file
from wavcaps_assets.fingerprints.matching import SAME, Match, MatchSettings, matches
from wavcaps_assets.sources.folders import AUDIO_SUFFIXES

CHOOSING, REPORTED = (1, 2), (3, 5)
LONG_MINUTES = (10, 30, 60)
# Of a long clip, this many clips are looked for.
PLANTED = 20
NEEDED = {"ogg": 0.98, "16 kHz": 0.98, "+12 dB": 0.98, "-12 dB": 0.98, "half": 0.98, MIXED: 0.9}
MOST_FALSE = 1e-4
# A training clip is compared with this many, and at most this share of them may be excluded wrongly.
COMPARED_WITH, MOST_WRONG = 40_000, 1e-3
# Pairs with fewer equal hashes are not looked at.
FEWEST = 2
STEP = 0.05
# The share of the pairs whose agreement shows how it falls off.
TAIL = 0.01
SETTINGS = MatchSettings()


@dataclass(frozen=True)
class Pair:
    """Two clips that share hashes.

    Attributes:
        score: equal hashes at one offset.
        agreement: share of the peaks that agree there (0 to 1).
        elsewhere: the largest share at other offsets (0 to 1).
        peaks: how many agree.
    """

    score: int
    agreement: float
    elsewhere: float
    peaks: int

    def is_same(self, settings: MatchSettings) -> bool:
        return (
            self.score >= settings.least_hashes
            and self.agreement >= settings.least_agreement
            and self.elsewhere <= settings.most_elsewhere * self.agreement
            and self.peaks >= settings.least_peaks
        )


@dataclass(frozen=True)
class Part:
    """What was measured on some folds.

    Attributes:
        planted: for each change, how the clips agree with their originals; None: they share no hashes.
        unrelated: the unrelated pairs that share hashes.
        pairs: how many unrelated pairs there are.
        silent: how many halves are silence.
    """

    planted: dict[str, list[Pair | None]]
    unrelated: list[Pair]
    pairs: int
    silent: int

    def recall(self, change: str, settings: MatchSettings) -> tuple[int, int]:
        """How many were found, and of how many."""
        pairs = self.planted[change]
        return sum(pair is not None and pair.is_same(settings) for pair in pairs), len(pairs)


def measure(clips: Clips) -> Part:
    """Changes clips, and compares them with the originals."""
    numbers = range(len(clips.sounds))
    originals = [landmarks([sound], RATE) for sound in clips.sounds]
    index = HashIndex([originals])
    related = [[clips.related(one, other) for other in numbers] for one in numbers]
    unrelated_pairs = sum(not one for row in related for one in row)
    planted: dict[str, list[Pair | None]] = {}
    unrelated: list[Pair] = []
    pairs = silent = 0
    for change, make in CHANGES.items():
        changed = [make(clips, number) for number in numbers]
        found = dict(_compared(changed, index, originals))
        planted[change] = [found.get((one, one)) for one in numbers if len(changed[one])]
        silent += sum(not len(one) for one in changed)
        # What is mixed into a clip is the same recording, too: what is around it is not counted here.
        if change != MIXED:
            unrelated += [pair for (one, other), pair in found.items() if not related[one][other]]
            pairs += unrelated_pairs
    return Part(planted, unrelated, pairs, silent)


def measure_others(clips: Clips, others: Sequence[Landmarks]) -> Part:
    """Compares clips, and what is done to them, with clips that have nothing to do with them."""
    index = HashIndex([others])
    unrelated: list[Pair] = []
    for make in CHANGES.values():
        changed = [make(clips, number) for number in range(len(clips.sounds))]
        unrelated += [pair for _, pair in _compared(changed, index, others)]
    return Part({}, unrelated, len(CHANGES) * len(clips.sounds) * len(others), 0)


def choose(part: Part) -> MatchSettings:
    """The most permissive thresholds that no unrelated pair reaches, each of them alone."""
    most = max((pair.score for pair in part.unrelated), default=FEWEST)
    alike = max((pair.agreement for pair in part.unrelated), default=0.0)
    elsewhere = min((pair.elsewhere / pair.agreement for pair in part.unrelated if pair.agreement), default=1)
    return MatchSettings(
        least_hashes=most + 1,
        least_agreement=round((math.floor(alike / STEP) + 1) * STEP, 2),
        most_elsewhere=round(min(1.0, (math.ceil(elsewhere / STEP) - 1) * STEP), 2),
    )


def wrong_share(parts: Iterable[Part], settings: MatchSettings) -> float:
    """Of unrelated pairs, the share that would be called the same, if their tails go on as they begin.

    With each further equal hash, the number of pairs falls by the factor by which it falls most slowly in
    what was measured; and with the agreement exponentially, by the mean excess over what one pair in a
    hundred has. Both are taken as independent. That pairs which agree at many offsets are not excluded is
    left out. So the figure is rather too large for sounds like those that were measured, and knows no others.
    """
    counted = list(parts)
    found = [pair for part in counted for pair in part.unrelated]
    scores = np.array([pair.score for pair in found])
    agreement = np.array([pair.agreement for pair in found])
    reached = [int((scores >= least).sum()) for least in range(FEWEST, scores.max() + 1)]
    slowest = max((after / before for before, after in pairwise(reached)), default=1.0)
    last = min(len(reached) - 1, settings.least_hashes - FEWEST)
    beyond = settings.least_hashes - FEWEST - last
    of_score = reached[last] / sum(part.pairs for part in counted) * slowest**beyond
    high = float(np.quantile(agreement, 1 - TAIL))
    excess = float((agreement[agreement > high] - high).mean())
    of_agreement = TAIL * math.exp(-max(0.0, settings.least_agreement - high) / excess)
    return of_score * of_agreement


def measure_long(clips: Clips, strangers: Clips, minutes: int) -> None:
    """Clips in a long clip of them; strangers are not in it."""
    order = clips.rng.permutation(len(clips.sounds))
    whole = np.concatenate([clips.sounds[one] for one in order])
    # The rest of its length is these clips reversed, which are not the same sound.
    wanted = minutes * 60 * RATE
    rest = np.tile(whole[::-1], -(-wanted // len(whole)))[: max(0, wanted - len(whole))]
    long = landmarks([whole[:wanted], rest], RATE)
    # The first clips are in each of the long ones.
    sounds = [clips.sounds[one] for one in order[:PLANTED]] + strangers.sounds
    indexed = [landmarks([sound], RATE) for sound in sounds]
    found: list[Match] = list(matches([long], HashIndex([indexed]), indexed, SETTINGS))
    right = sum(one.indexed < PLANTED and one.verdict == SAME for one in found)
    wrong = [one for one in found if one.indexed >= PLANTED]
    _say(
        f"in {minutes} minutes: {right} of {PLANTED} found; of {len(strangers.sounds)} that are not in it, "
        f"{sum(one.verdict == SAME for one in wrong)} are called the same, {len(wrong)} are for review"
    )


def read_others(folders: Sequence[Path]) -> list[Landmarks]:
    """The landmarks of all audio files in some folders."""
    found = []
    for path in sorted(path for folder in folders for path in folder.rglob("*")):
        if path.suffix.lower() in AUDIO_SUFFIXES:
            try:
                found.append(landmarks_of_file(path))
            except (UnreadableAudio, EmptyAudio) as error:
                _say(f"{path.name} is left out: {error}")
    return found


def say_pairs(what: str, part: Part) -> None:
    """The false pairs, before and after the second look."""
    scores = np.bincount([pair.score for pair in part.unrelated], minlength=SETTINGS.least_hashes + 1)
    counts = ", ".join(f"{scores[number:].sum()} share {number}" for number in range(FEWEST, len(scores)))
    wrong = sum(pair.is_same(SETTINGS) for pair in part.unrelated)
    _say(
        f"  of {part.pairs:,} unrelated pairs of {what}, {counts} hashes or more; {wrong} are called the same"
    )


def _compared(
    clips: Sequence[Landmarks], index: HashIndex, indexed: Sequence[Landmarks]
) -> Iterable[tuple[tuple[int, int], Pair]]:
    """The pairs that share hashes, by the numbers of both clips."""
    found = index.search(clips, FEWEST)
    for one, other, score, offset in zip(
        found.searched.tolist(),
        found.indexed.tolist(),
        found.score.tolist(),
        found.offset.tolist(),
        strict=True,
    ):
        seen = align(clips[one], indexed[other], offset, 0.0)
        if seen is not None:
            yield (one, other), Pair(score, seen.agreement, seen.elsewhere, seen.peaks)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def main() -> None:
    folders = [Path(name) for name in sys.argv[1:]]
    if not folders:
        _say("nothing was measured: give the folder of ESC-10's clips (see the file's beginning)")
        return
    strangers = Clips(folders[0], CHOOSING)
    chosen = choose(measure(strangers))
    _say(f"chosen on folds {CHOOSING}, {len(strangers.sounds)} clips: {chosen}")
    if chosen != SETTINGS:
        _say(f"the defaults are others: {SETTINGS}")
    clips = Clips(folders[0], REPORTED)
    part = measure(clips)
    _say(f"folds {REPORTED}, {len(clips.sounds)} clips, with the defaults:")
    recall = {}
    for change in CHANGES:
        right, of = part.recall(change, SETTINGS)
        recall[change] = right / of
        _say(f"  {change}: {right} of {of}, recall {recall[change]:.3f}")
    _say(f"  {part.silent} halves are silence, and do not count")
    say_pairs(f"folds {REPORTED}", part)
    parts = [part]
    if others := read_others(folders[1:]):
        parts.append(measure_others(clips, others))
        say_pairs(f"folds {REPORTED} and {len(others)} other clips", parts[-1])
    pairs = sum(one.pairs for one in parts)
    wrong = wrong_share(parts, SETTINGS)
    _say(
        f"  extrapolated, {wrong:.0e} of unrelated pairs are called the same: with {COMPARED_WITH:,} clips, "
        f"1 training clip in {1 / (wrong * COMPARED_WITH):,.0f} (the limit: 1 in {1 / MOST_WRONG:,.0f}). If "
        f"none is, and pairs were independent, {pairs:,} of them show less than {3 / pairs:.0e} (95 %)"
    )
    for minutes in LONG_MINUTES:
        measure_long(clips, strangers, minutes)
    worst = min(NEEDED, key=lambda change: recall[change] - NEEDED[change])
    report("duplicates_found", recall[worst], f"recall, {worst}", "limit", NEEDED[worst], own_peak_mb())
    false = sum(pair.score >= SETTINGS.least_hashes for pair in part.unrelated) / part.pairs
    if recall[worst] < NEEDED[worst] or false > MOST_FALSE or wrong * COMPARED_WITH > MOST_WRONG:
        sys.exit(f"the limits: recall {NEEDED}, {MOST_FALSE} false pairs before the second look")


if __name__ == "__main__":
    main()
