"""Measures of each clip's raw text and caption."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wavcaps_assets.analysis.syllables import syllables
from wavcaps_assets.analysis.words import NOT_ENGLISH, TO_LIST, WITHOUT_WORDS, Kind, Lexicon, Texts, texts_of
from wavcaps_assets.tables.analysis import TEXT_MEASURES

# Fewer words between two ends are an abbreviation or a heading, not a sentence.
WORDS_OF_A_SENTENCE = 3
Numbers = NDArray[np.float64]


def measure_texts(wavcaps: pa.Table) -> pa.Table:
    """Measures the raw text and the caption of each clip.

    Args:
        wavcaps: with the columns `clip_id`, `source`, `text` and `caption` of `tables.MANIFEST`.

    Returns:
        `tables.analysis.TEXT_MEASURES`, in the same order.
    """
    lexicon = Lexicon()
    texts = lexicon.read(texts_of(wavcaps.column("text")))
    captions = lexicon.read(texts_of(wavcaps.column("caption")))
    by_word = np.fromiter(map(syllables, lexicon.words), np.int64, len(lexicon))
    shared, similarity = jaccard(texts, captions)
    kinds = pa.array([kind.name.lower() for kind in Kind])
    columns = {
        "clip_id": wavcaps.column("clip_id"),
        "source": wavcaps.column("source"),
        "text_kind": kinds.take(pa.array(texts.kinds)),
        "caption_kind": kinds.take(pa.array(captions.kinds)),
        "text_words": pa.array(texts.lengths.astype(np.int32)),
        "caption_words": pa.array(captions.lengths.astype(np.int32)),
        "shared_words": pa.array(shared.astype(np.int32)),
        "jaccard": _nullable(similarity),
        "text_grade": _nullable(grades(texts, by_word)),
        "caption_grade": _nullable(grades(captions, by_word)),
        "caption_key": pa.array(_keys(captions, lexicon.words), pa.string()),
    }
    return TEXT_MEASURES.check(pa.table(columns))


def grade_raw(raw_by_source: Mapping[str, Iterable[pa.Table]]) -> pa.Table:
    """The grades of all crawled descriptions: columns `source` and `grade`, one row for each raw clip.

    Args:
        raw_by_source: for each crawled source, tables with the column `description` of
            `tables.RAW_CLIPS`, read one at a time.
    """
    parts = [pa.table({"source": pa.array([], pa.string()), "grade": pa.array([], pa.float64())})]
    for source, tables in raw_by_source.items():
        for table in tables:
            # A lexicon for each table, so that not all words of all descriptions are in memory.
            lexicon = Lexicon()
            texts = lexicon.read(texts_of(table.column("description")))
            by_word = np.fromiter(map(syllables, lexicon.words), np.int64, len(lexicon))
            graded = _nullable(grades(texts, by_word))
            parts.append(pa.table({"source": pa.repeat(source, len(graded)), "grade": graded}))
    return pa.concat_tables(parts)


def jaccard(first: Texts, second: Texts) -> tuple[NDArray[np.int64], Numbers]:
    """The number of shared words of each pair of texts, and their Jaccard similarity.

    The words in both over the words in either (equation 1 of the paper).

    Returns:
        The number of shared words, and the similarity (0 to 1), NaN if neither text has a word. Both have the
        shape (texts,).
    """
    count = len(first)
    shared, similarity = np.zeros(count, np.int64), np.full(count, np.nan)
    for place, (ones, others) in enumerate(zip(_distinct(first), _distinct(second), strict=True)):
        if ones or others:
            both = len(ones & others)
            shared[place] = both
            similarity[place] = both / (len(ones) + len(others) - both)
    return shared, similarity


def _distinct(texts: Texts) -> Iterator[set[int]]:
    """The set of words of each text, with a few texts at a time in memory."""
    for first in range(0, len(texts), TO_LIST):
        starts = texts.starts[first : first + TO_LIST + 1]
        words, places = texts.words[starts[0] : starts[-1]].tolist(), (starts - starts[0]).tolist()
        for start, end in pairwise(places):
            yield set(words[start:end])


def sentences(texts: Texts) -> NDArray[np.int64]:
    """The number of sentences of each text: at least one. Shorter ones than three words do not count."""
    if not len(texts.words):
        return np.ones(len(texts), np.int64)
    last = texts.ends.copy()
    last[texts.starts[1:][texts.lengths > 0] - 1] = True
    ends = np.flatnonzero(last)
    lengths = np.diff(ends, prepend=-1)
    whole = lengths >= WORDS_OF_A_SENTENCE
    counted = np.bincount(texts.text_of_word[ends[whole]], minlength=len(texts))
    return np.maximum(counted, 1)


def grades(texts: Texts, syllables_of_word: NDArray[np.int64]) -> Numbers:
    """The Flesch-Kincaid grade of each text: the school year for which it is easy; lower is easier.

    0.39 words/sentences + 11.8 syllables/words - 15.59 (Kincaid et al., 1975; section III.C). NaN for a text
    without words or in another script: the formula is for English.
    """
    spoken = np.zeros(len(texts.words) + 1, np.int64)
    np.cumsum(syllables_of_word[texts.words], out=spoken[1:])
    syllables_of_text = spoken[texts.starts[1:]] - spoken[texts.starts[:-1]]
    lengths = np.maximum(texts.lengths, 1)
    grade = 0.39 * texts.lengths / sentences(texts) + 11.8 * syllables_of_text / lengths - 15.59
    return np.where(np.isin(texts.kinds, NOT_ENGLISH), np.nan, grade)


def _keys(texts: Texts, words: list[str]) -> list[str | None]:
    """A hash of the word sequence of each text; None for a text without words."""
    flat, starts = texts.words.tolist(), texts.starts.tolist()
    without = np.isin(texts.kinds, WITHOUT_WORDS).tolist()
    keys: list[str | None] = []
    for number, wordless in enumerate(without):
        text = " ".join([words[word] for word in flat[starts[number] : starts[number + 1]]])
        keys.append(None if wordless else blake2b(text.encode(), digest_size=8).hexdigest())
    return keys


def _nullable(values: Numbers) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))
