"""What is measured of each clip's raw text and caption."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wavcaps_assets.analysis.syllables import syllables
from wavcaps_assets.analysis.words import NOT_ENGLISH, WITHOUT_WORDS, Kind, Lexicon, Texts, texts_of
from wavcaps_assets.schemas.analysis import TEXT_MEASURES

# Fewer words than these between two ends are an abbreviation or a heading, and no sentence.
WORDS_OF_A_SENTENCE = 3
Numbers = NDArray[np.float64]


def measure_texts(wavcaps: pa.Table) -> pa.Table:
    """Measures the raw text and the caption of each clip.

    Args:
        wavcaps: with the columns `clip_id`, `source`, `text` and `caption` of `schemas.MANIFEST`.

    Returns:
        `schemas.analysis.TEXT_MEASURES`, in the same order.
    """
    lexicon = Lexicon()
    texts = lexicon.read(texts_of(wavcaps.column("text")))
    captions = lexicon.read(texts_of(wavcaps.column("caption")))
    by_word = np.fromiter(map(syllables, lexicon.words), np.int64, len(lexicon))
    shared, similarity = jaccard(texts, captions, len(lexicon))
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


def jaccard(first: Texts, second: Texts, words: int) -> tuple[NDArray[np.int64], Numbers]:
    """How many words two lists of texts share, text by text, and their Jaccard similarity.

    The words that both have over the words that either has (equation 1 of the paper).

    Args:
        words: how many different words there are.

    Returns:
        The shared words, and the similarity (0 to 1), which is NaN where either has no word.
    """
    ones, others = _distinct(first, words), _distinct(second, words)
    count = len(first)
    in_first = np.bincount(ones // max(words, 1), minlength=count)
    in_second = np.bincount(others // max(words, 1), minlength=count)
    both = np.intersect1d(ones, others, assume_unique=True)
    shared = np.bincount(both // max(words, 1), minlength=count)
    union = in_first + in_second - shared
    compared = (in_first > 0) & (in_second > 0)
    return shared, np.divide(shared, union, out=np.full(count, np.nan), where=compared)


def _distinct(texts: Texts, words: int) -> NDArray[np.int64]:
    """A number for each different word of each text, of which both can be told."""
    return np.unique(texts.text_of_word * words + texts.words)


def sentences(texts: Texts) -> NDArray[np.int64]:
    """How many sentences each text has: at least one, and none of fewer than three words beside others."""
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
    """The Flesch-Kincaid grade of each text: the school year that reads it with ease; lower is easier.

    0.39 words/sentences + 11.8 syllables/words - 15.59 (Kincaid et al., 1975; section III.C). NaN for a
    text without words, or in another script: the formula is for English.
    """
    spoken = np.zeros(len(texts.words) + 1, np.int64)
    np.cumsum(syllables_of_word[texts.words], out=spoken[1:])
    syllables_of_text = spoken[texts.starts[1:]] - spoken[texts.starts[:-1]]
    lengths = np.maximum(texts.lengths, 1)
    grade = 0.39 * texts.lengths / sentences(texts) + 11.8 * syllables_of_text / lengths - 15.59
    return np.where(np.isin(texts.kinds, NOT_ENGLISH), np.nan, grade)


def _keys(texts: Texts, words: list[str]) -> list[str | None]:
    """A hash of the words of each text in their order; None for a text without words."""
    flat, starts = texts.words.tolist(), texts.starts.tolist()
    without = np.isin(texts.kinds, WITHOUT_WORDS).tolist()
    keys: list[str | None] = []
    for number, nothing in enumerate(without):
        said = " ".join([words[word] for word in flat[starts[number] : starts[number + 1]]])
        keys.append(None if nothing else blake2b(said.encode(), digest_size=8).hexdigest())
    return keys


def _nullable(values: Numbers) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))
