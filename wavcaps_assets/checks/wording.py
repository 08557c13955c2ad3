"""The words of captions, as they are compared with one another and with raw texts."""

from __future__ import annotations

from wavcaps_assets.caption_metrics.stems import stem
from wavcaps_assets.rules.reading import words_of

# What may differ between two captions that say the same.
FUNCTION_WORDS = frozenset(
    {"a", "an", "the", "is", "are", "was", "were", "be", "been", "being"} | {"and", "there"}
)
# A pasted book is not compared to its end.
COMPARED_CHARS = 2_000


def content(text: str) -> frozenset[str]:
    """The stems of a text's words, without articles, forms of "be", "and" and "there".

    "Dogs are barking." and "A dog barks." have the same content: "dog" and "bark".
    """
    return frozenset(stem(word) for word in words_of(text[:COMPARED_CHARS]) if word not in FUNCTION_WORDS)


def same_text(caption: str) -> str:
    """What two captions have in common that differ in capitals, spaces or their last full stop only."""
    return " ".join(caption.casefold().split()).rstrip(".")
