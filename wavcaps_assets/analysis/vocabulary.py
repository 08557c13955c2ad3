"""The words of the captions, compared with those of the raw texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wavcaps_assets.analysis.examples import sample
from wavcaps_assets.analysis.paper_figures import WHOLE_SET
from wavcaps_assets.analysis.settings import AnalysisSettings
from wavcaps_assets.analysis.words import Lexicon, Texts, texts_of
from wavcaps_assets.tables.analysis import VOCABULARY, WORDS

Counts = NDArray[np.int64]


def words_that_change(
    raw_by_source: Mapping[str, Iterable[pa.Table]], wavcaps: pa.Table, settings: AnalysisSettings
) -> pa.Table:
    """The words that vanish between the raw texts and the captions, and those that appear.

    As in Figure 2b, the raw texts are all crawled descriptions, published or not.

    Words are ranked by their log-odds ratio with an informative Dirichlet prior, divided by its standard
    deviation (Monroe, Colaresi and Quinn, "Fightin' Words", 2008, equations 16, 20 and 22). The prior is
    the frequency of a word on both sides together. Figure 2b ranks by frequency, which does not show a
    change for words that are frequent on both sides.

    Args:
        raw_by_source: for each crawled source, tables with the column `description` of
            `tables.RAW_CLIPS`, read one at a time.
        wavcaps: with the column `caption` of `tables.MANIFEST`.

    Returns:
        `tables.analysis.WORDS`.
    """
    lexicon = Lexicon()
    texts = np.zeros(0, np.int64)
    for table in chain.from_iterable(raw_by_source.values()):
        found = lexicon.read(texts_of(table.column("description"))).words
        texts = _longer(texts, len(lexicon)) + np.bincount(found, minlength=len(lexicon))
    in_captions = lexicon.read(texts_of(wavcaps.column("caption"))).words
    captions = np.bincount(in_captions, minlength=len(lexicon))
    texts = _longer(texts, len(lexicon))
    if not texts.sum() or not captions.sum():
        return WORDS.empty()
    log_odds, z = log_odds_ratio(captions, texts, settings.prior_words)
    rows = []
    for side, order in (
        ("vanishes", np.argsort(z, kind="stable")),
        ("appears", np.argsort(-z, kind="stable")),
    ):
        sign = -1 if side == "vanishes" else 1
        chosen = [word for word in order[: settings.words_listed].tolist() if sign * z[word] > 0]
        rows += [
            {
                "word": lexicon.words[word],
                "side": side,
                "rank": rank,
                "in_texts": int(texts[word]),
                "in_captions": int(captions[word]),
                "log_odds": float(log_odds[word]),
                "z": float(z[word]),
            }
            for rank, word in enumerate(chosen, 1)
        ]
    return WORDS.from_rows(rows)


def _longer(counts: Counts, length: int) -> Counts:
    """Counts of words, with zeros for words that were found later."""
    return np.pad(counts, (0, length - len(counts)))


def log_odds_ratio(
    ones: Counts, others: Counts, prior_words: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The log-odds ratio of each word in two corpora, and its z score.

    Args:
        ones: the count of each word in the first corpus, shape (words,).
        others: the counts in the second corpus.
        prior_words: the weight of the prior, in words.
    """
    prior = prior_words * (ones + others) / (ones.sum() + others.sum())
    odds = [
        np.log((counts + prior) / (counts.sum() + prior_words - counts - prior)) for counts in (ones, others)
    ]
    deviation = np.sqrt(1 / (ones + prior) + 1 / (others + prior))
    difference = odds[0] - odds[1]
    return difference, difference / deviation


def vocabulary(wavcaps: pa.Table, settings: AnalysisSettings) -> pa.Table:
    """The words of the captions by source and in the whole set.

    Args:
        wavcaps: with the columns `clip_id`, `source` and `caption` of `tables.MANIFEST`.

    Returns:
        `tables.analysis.VOCABULARY`; the growth is over clips shuffled by the seed.
    """
    # In the order of ids, all clips of a source would come before those of the next.
    ordered = sample(wavcaps.select(["clip_id", "source", "caption"]), None, settings.seed)
    sources = sorted(pc.unique(ordered.column("source")).to_pylist())
    rows = []
    for source in sources:
        own = ordered.filter(pc.equal(ordered.column("source"), source))
        rows.append(_describe(source, own, settings))
    if sources:
        rows.append(_describe(WHOLE_SET, ordered, settings))
    return VOCABULARY.from_rows(rows)


def _describe(source: str, clips: pa.Table, settings: AnalysisSettings) -> dict[str, object]:
    lexicon = Lexicon()
    captions = lexicon.read(texts_of(clips.column("caption")))
    counts = np.bincount(captions.words, minlength=len(lexicon))
    frequent = np.argsort(-counts, kind="stable")[: settings.most_frequent].tolist()
    return {
        "source": source,
        "running_words": len(captions.words),
        "words": len(lexicon),
        "once": int((counts == 1).sum()),
        "most_frequent": [lexicon.words[word] for word in frequent],
        "growth": _growth(captions, settings.growth_points),
    }


def _growth(captions: Texts, points: int) -> list[dict[str, int]]:
    """The number of different words in the first captions, at several points."""
    # Words are numbered in the order of their first occurrence: the largest number so far gives the count.
    largest = np.zeros(len(captions.words) + 1, np.int64)
    np.maximum.accumulate(captions.words + 1, out=largest[1:])
    places = np.unique(np.linspace(0, len(captions), points).astype(np.int64))
    return [{"captions": int(place), "words": int(largest[captions.starts[place]])} for place in places]
