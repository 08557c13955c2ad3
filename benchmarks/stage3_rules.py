"""How fast stage 3's rules judge captions, without the parser and with it, in seconds of CPU time.

The captions are synthesised from templates, 5 to 20 words each. They go with the prompt of the preset
`paper`, so that the rule `echo` has something to compare with. A quarter has labelled sound events, as
AudioSet's clips do, which the rule `event_order` compares with the caption's words of time. None has so few
words that are surely English that its language has to be guessed, as that of 3% of the released SoundBible
captions and of 10% of Clotho's has: a guess takes 40 to 60 µs. Clotho's 29,645 captions, without events, were
judged at 22,700 a second on a busy machine.

Without the parser the limit is 20,000 captions a second a core. With it, the peer is spaCy's own `pipe` of
the whole of en_core_web_sm over the same texts, and the limit is 80% of its speed. Both are run in turns,
and the best of each is taken: the machine may have other work.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

from benchmarks.result import own_peak_mb, report
from wavcaps_assets.captioning.floor.template import sound_events
from wavcaps_assets.captioning.prompts import Form, load_prompt
from wavcaps_assets.rules.judging import Candidate, judge
from wavcaps_assets.rules.language import surely_english
from wavcaps_assets.rules.reading import SoundEvent, parser, words_of
from wavcaps_assets.rules.settings import RULE_PRESETS, RuleSettings
from wavcaps_assets.rules.table import RULES_WITHOUT_PARSER

WITHOUT_PARSER = 40_000
WITH_PARSER = 3_000
TURNS = 3
LEAST_A_SECOND = 20_000
LEAST_SHARE = 0.8
SUBJECTS = ("a dog", "an old door", "a group of people", "someone", "heavy rain", "a steam train", "birds")
VERBS = ("is barking", "is creaking", "is passing by", "rattles loudly", "is falling", "keeps on moving")
PLACES = ("in a yard", "on a wooden floor", "in the distance", "near a busy street", "at night", "")
JOINTS = ("while", "and then", "and", "as")


def captions(count: int) -> list[Candidate]:
    """Captions of one clause or two, each with a raw text."""
    drawn = random.Random(5)
    prompt = load_prompt("paper", "freesound", Form.NUMBERED_LIST).shown
    made: list[Candidate] = []
    while len(made) < count:
        words = f"{drawn.choice(SUBJECTS)} {drawn.choice(VERBS)} {drawn.choice(PLACES)}"
        if drawn.random() < 0.5:
            second = f"{drawn.choice(SUBJECTS)} {drawn.choice(VERBS)} {drawn.choice(PLACES)}"
            words = f"{words} {drawn.choice(JOINTS)} {second}"
        caption = " ".join(words.split())
        if 5 <= len(caption.split()) <= 20:
            text = f"Take {len(made)}: {caption}, recorded with a handheld recorder"
            labelled = events(drawn) if len(made) % 4 == 0 else ()
            made.append(Candidate(f"{caption[0].upper()}{caption[1:]}.", text, prompt, labelled))
    return made


def events(drawn: random.Random) -> tuple[SoundEvent, ...]:
    """Nine events, the mean of AudioSet's strong labels, of three sounds."""
    starts = sorted(drawn.uniform(0, 9) for _ in range(9))
    labels = [drawn.choice(("Bark", "Door", "Rain", "Train", "Bird")) for _ in range(3)]
    return sound_events(
        [
            {"onset_s": start, "offset_s": start + 1, "label": labels[number % 3]}
            for number, start in enumerate(starts)
        ]
    )


def cpu_s(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def best(*works: Callable[[], object]) -> list[float]:
    """The least CPU time of each, run in turns (s)."""
    turns = [[cpu_s(work) for work in works] for _ in range(TURNS)]
    return [min(times) for times in zip(*turns, strict=True)]


def main() -> None:
    by_words = RuleSettings(enabled=RULES_WITHOUT_PARSER)
    many, few = captions(WITHOUT_PARSER), captions(WITH_PARSER)
    texts = [candidate.caption for candidate in few]
    guessed = sum(not surely_english(words_of(candidate.caption)) for candidate in many)
    print(f"{100 * guessed / WITHOUT_PARSER:.1f}% of the captions need the guess of the language")  # noqa: T201
    model = parser()
    judge(few[:200], RULE_PRESETS["paper"])
    (words_s,) = best(lambda: judge(many, by_words))
    paper_s, peer_s = best(
        lambda: judge(few, RULE_PRESETS["paper"]), lambda: sum(len(doc) for doc in model.pipe(texts))
    )
    peak_mb = own_peak_mb()
    words_rate, paper_rate, peer_rate = (
        WITHOUT_PARSER / words_s,
        WITH_PARSER / paper_s,
        WITH_PARSER / peer_s,
    )
    report("stage3_rules_without_parser", words_rate, "captions/s", "the limit", LEAST_A_SECOND, peak_mb)
    report("stage3_rules_paper", paper_rate, "captions/s", "spaCy's pipe", peer_rate, peak_mb)
    if words_rate < LEAST_A_SECOND or paper_rate < LEAST_SHARE * peer_rate:
        sys.exit("stage 3's rules are slower than their limit")


if __name__ == "__main__":
    main()
