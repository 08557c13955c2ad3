"""How fast a whole set is analysed: 403,050 synthetic captions, and 601,718 raw texts, on one core.

Raw texts have 1 to 400 words, 18 on average (Table III), drawn with Zipf's frequencies from 60,000 words;
captions have 3 to 20. All that reads them runs: the measures of each clip (Jaccard similarity, readability),
their summaries, the words that change, the vocabulary, Table III, durations, examples and licences, without
the plots. A separate process is measured, in CPU seconds.

The whole has no peer and is held against its limits: 120 s and 2 GB. Two parts of it have one each, over the
same texts: the Jaccard similarity that of plain Python, sets of the same words with `&` and `|`; the
Flesch-Kincaid grade that of textstat, where that is installed (`pip install textstat`; of every hundredth
clip, times a hundred, as it takes minutes).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pyarrow as pa

from benchmarks.own_process import in_own_process
from benchmarks.result import own_peak_mb, report

CLIPS = 403_050
# Table III: descriptions of FreeSound, BBC Sound Effects and SoundBible; AudioSet's clips have none.
HARVESTED, PARTITION = 601_718, 4_000
WORDS = 60_000
SECONDS, MEGABYTES = 120.0, 2_000.0
TEXTSTATS_EVERY = 100
SOURCES = ("freesound", "bbc_sound_effects", "soundbible", "audioset_sl")
SHARES = (0.651, 0.077, 0.003, 0.269)


def make_set() -> pa.Table:
    """A set of the paper's size, the same every time."""
    draws = np.random.default_rng(0)
    letters = np.array(list("aeiourstlnmdkp"))
    words = ["".join(letters[draws.integers(0, len(letters), size)]) for size in draws.integers(2, 11, WORDS)]
    means = np.clip(draws.lognormal(2.2, 1.1, CLIPS), 1, 400).astype(int)
    sources = [SOURCES[place] for place in draws.choice(len(SOURCES), CLIPS, p=SHARES)]
    return pa.table(
        {
            "clip_id": [f"{source}-{number}" for number, source in enumerate(sources)],
            "source": sources,
            "text": _texts(draws, words, means),
            "caption": _texts(draws, words, draws.integers(3, 14, CLIPS)),
            "duration_s": draws.lognormal(2.5, 1.2, CLIPS),
            "author": [f"author {number % 9_000}" for number in range(CLIPS)],
            "licence_id": ["CC0-1.0"] * CLIPS,
        }
    )


def _texts(draws: np.random.Generator, words: list[str], lengths: np.ndarray) -> list[str]:
    ranks = np.minimum(draws.zipf(1.3, int(lengths.sum())), WORDS) - 1
    ends = np.cumsum(lengths)
    return [
        " ".join([words[rank] for rank in ranks[end - length : end].tolist()]).capitalize() + "."
        for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)
    ]


def crawled(clips: pa.Table) -> dict[str, Iterator[pa.Table]]:
    """As many raw descriptions as the paper harvested, in partitions, the set's own texts over and over."""
    raw = clips.select(["text", "duration_s"]).rename_columns(["description", "claimed_duration_s"])
    starts = range(0, HARVESTED, PARTITION)
    return {"freesound": (raw.slice(start % (CLIPS - PARTITION), PARTITION) for start in starts)}


def ours(clips: pa.Table) -> int:
    from wavcaps_assets.analysis import examples, licences, measures, statistics, summaries, vocabulary
    from wavcaps_assets.analysis.settings import AnalysisSettings

    settings = AnalysisSettings()
    measured = measures.measure_texts(clips)
    for summarise in (summaries.summarise_similarity, summaries.count_kinds):
        summarise(measured)
    summaries.count_copies(measured, settings.often)
    summaries.summarise_readability(measures.grade_raw(crawled(clips)), measured)
    statistics.set_statistics(crawled(clips), clips)
    summaries.summarise_durations(clips)
    vocabulary.words_that_change(crawled(clips), clips, settings)
    vocabulary.vocabulary(clips, settings)
    examples.sample_examples(clips, settings.examples_per_source, settings.seed)
    licences.count_licences(clips)
    return int(measured.num_rows)


def our_similarity(clips: pa.Table) -> int:
    from wavcaps_assets.analysis.measures import jaccard
    from wavcaps_assets.analysis.words import Lexicon, texts_of

    lexicon = Lexicon()
    texts, captions = (lexicon.read(texts_of(clips[name])) for name in ("text", "caption"))
    return len(jaccard(texts, captions)[1])


def our_grades(clips: pa.Table) -> int:
    from wavcaps_assets.analysis.measures import grades
    from wavcaps_assets.analysis.syllables import syllables
    from wavcaps_assets.analysis.words import Lexicon, texts_of

    lexicon = Lexicon()
    read = [lexicon.read(texts_of(clips[name])) for name in ("text", "caption")]
    by_word = np.fromiter(map(syllables, lexicon.words), np.int64, len(lexicon))
    return min(len(grades(texts, by_word)) for texts in read)


def textstats(clips: pa.Table) -> int:
    textstat = import_module("textstat")

    for name in ("text", "caption"):
        for text in clips[name].to_pylist()[::TEXTSTATS_EVERY]:
            textstat.flesch_kincaid_grade(text)
    return int(clips.num_rows)


def python_sets(clips: pa.Table) -> int:
    from unicodedata import normalize

    from wavcaps_assets.analysis.words import WORD

    similar = []
    for text, caption in zip(clips["text"].to_pylist(), clips["caption"].to_pylist(), strict=True):
        ones, others = (set(WORD.findall(normalize("NFC", one).lower())) for one in (text, caption))
        similar.append(len(ones & others) / len(ones | others))
    return len(similar)


def run(analyse: Callable[[pa.Table], int]) -> tuple[float, float, float]:
    clips = make_set()
    start, cpu = time.perf_counter(), time.process_time()
    done = analyse(clips)
    spent = time.process_time() - cpu
    assert done == CLIPS, done
    peak = own_peak_mb()
    return spent, time.perf_counter() - start, peak


def measure(analyse: Callable[[pa.Table], int]) -> tuple[float, float]:
    """CPU seconds and MB, measured in a separate process; making the set counts for the MB only."""
    cpu, wall, peak = in_own_process(run, analyse)
    print(f"{analyse.__name__}: {cpu:.1f} s of CPU, {wall:.1f} s, {peak:.0f} MB")  # noqa: T201
    return cpu, peak


def main() -> None:
    seconds, peak_mb = measure(ours)
    report("analysis", seconds, "s", "the limit", SECONDS, peak_mb)
    similarity, similarity_mb = measure(our_similarity)
    report("analysis_jaccard", similarity, "s", "Python sets", measure(python_sets)[0], similarity_mb)
    if find_spec("textstat"):
        graded, graded_mb = measure(our_grades)
        theirs = measure(textstats)[0] * TEXTSTATS_EVERY
        report("analysis_readability", graded, "s", "textstat", theirs, graded_mb)
    else:
        print("textstat is not installed: readability is not compared")  # noqa: T201
    if seconds > SECONDS or peak_mb > MEGABYTES:
        sys.exit(f"more than {SECONDS:.0f} s or {MEGABYTES:.0f} MB")


if __name__ == "__main__":
    main()
