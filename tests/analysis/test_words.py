"""What a word is, and what hostile texts become."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wavcaps_assets.analysis.measures import grades, jaccard, sentences
from wavcaps_assets.analysis.syllables import syllables
from wavcaps_assets.analysis.words import LONGEST_TEXT, Kind, Lexicon


def words_of(text: str | None) -> tuple[list[str], Kind]:
    lexicon = Lexicon()
    read = lexicon.read([text])
    return [lexicon.words[number] for number in read.words], Kind(read.kinds[0])


@pytest.mark.parametrize(
    ("text", "words", "kind"),
    [
        (None, [], Kind.MISSING),
        ("", [], Kind.EMPTY),
        (" \n\t", [], Kind.EMPTY),
        ("\u200b\x00", [], Kind.EMPTY),
        ("🔥🔥 --- !!", [], Kind.NO_WORDS),
        ("A dog barks.", ["a", "dog", "barks"], Kind.PLAIN),
        ("Don’t - the tin-roof", ["don't", "the", "tin-roof"], Kind.PLAIN),
        ("Timber & Wood", ["timber", "wood"], Kind.PLAIN),
        ("line one\nline two", ["line", "one", "line", "two"], Kind.PLAIN),
        ("dog\x00bark", ["dog", "bark"], Kind.CONTROL),
        ("a\ud800b", ["a", "b"], Kind.CONTROL),
        ("<b>loud</b> bang", ["loud", "bang"], Kind.MARKUP),
        ("fish &amp; chips", ["fish", "chips"], Kind.MARKUP),
        ("3 < 5 dogs", ["3", "5", "dogs"], Kind.PLAIN),
        ("\u202eصوت المطر\u202c", ["صوت", "المطر"], Kind.OTHER_SCRIPT),
        ("cafe\u0301 noise", ["café", "noise"], Kind.PLAIN),
        ("x" * 200 + " dog", ["dog"], Kind.PLAIN),
    ],
)
def test_a_text_is_its_words_and_a_named_kind(text: str | None, words: list[str], kind: Kind) -> None:
    assert words_of(text) == (words, kind)


def test_a_huge_text_is_cut() -> None:
    words, kind = words_of("dog " * 1_000_000)
    assert kind is Kind.CUT
    assert len(words) == LONGEST_TEXT // 4


def test_jaccard_by_hand() -> None:
    lexicon = Lexicon()
    first = lexicon.read(["A dog barks, a dog!", "rain", "", "wind", "🔥"])
    second = lexicon.read(["The dog barks.", "rain", "rain", None, ""])
    shared, similarity = jaccard(first, second)
    # {a, dog, barks} and {the, dog, barks}: two of four.
    assert shared.tolist() == [2, 1, 0, 0, 0]
    # No word against one: none of one. Only where neither has a word is there nothing to divide by.
    assert similarity[:4].tolist() == [0.5, 1.0, 0.0, 0.0]
    assert np.isnan(similarity[4])


def test_jaccard_as_with_pythons_sets() -> None:
    draws = np.random.default_rng(1)
    words = np.array([f"w{number}" for number in range(30)])
    texts = [" ".join(words[draws.integers(0, 30, size)]) for size in draws.integers(1, 20, 400)]
    ones, others = texts[:200], texts[200:]
    lexicon = Lexicon()
    _, similarity = jaccard(lexicon.read(ones), lexicon.read(others))
    expected = [
        len({*a.split()} & {*b.split()}) / len({*a.split()} | {*b.split()})
        for a, b in zip(ones, others, strict=True)
    ]
    assert similarity.tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("A dog is barking. A cat is near.", 2),
        ("A dog is barking", 1),
        ("At 2.5 km it rains hard!", 1),
        ("Wow! A dog is barking.", 1),
        ("Wow!", 1),
        ("", 1),
    ],
)
def test_sentences(text: str, count: int) -> None:
    assert sentences(Lexicon().read([text])).tolist() == [count]


def test_the_grade_by_hand() -> None:
    lexicon = Lexicon()
    texts = lexicon.read(["The cat sat on the mat.", "🔥", None, "صوت المطر"])
    by_word = np.array([syllables(word) for word in lexicon.words])
    found = grades(texts, by_word)
    # Six words, one sentence, six syllables.
    assert found[0] == pytest.approx(0.39 * 6 + 11.8 - 15.59)
    assert all(math.isnan(grade) for grade in found[1:])
