"""Captions reduced to what matters when they are compared with each other and with raw texts."""

from __future__ import annotations

from wavcaps_assets.caption_metrics.stems import stem
from wavcaps_assets.rules.reading import words_of

# Words that may differ between two captions with the same meaning.
FUNCTION_WORDS = frozenset(
    {"a", "an", "the", "is", "are", "was", "were", "be", "been", "being"} | {"and", "there"}
)
# The rest of a longer text is ignored.
COMPARED_CHARS = 2_000


def content_words(text: str) -> frozenset[str]:
    """The stems of a text's words, without articles, forms of "be", "and" and "there".

    "Dogs are barking." and "A dog barks." have the same content: "dog" and "bark".
    """
    return frozenset(stem(word) for word in words_of(text[:COMPARED_CHARS]) if word not in FUNCTION_WORDS)


def normalised(caption: str) -> str:
    """A caption without the differences that do not count: capitals, spaces, the last full stop."""
    return " ".join(caption.casefold().split()).rstrip(".")
