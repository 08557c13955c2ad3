"""ROUGE-L (Lin, 2004): the longest common subsequence of words."""

from __future__ import annotations

from collections.abc import Sequence

Words = Sequence[str]
# The COCO tools' weight of recall over precision.
BETA = 1.2


def rouge_l(candidate: Words, references: Sequence[Words]) -> float:
    """ROUGE-L of one caption, 0 to 1, from the best precision and the best recall over its references."""
    common = [_longest_common(candidate, words) for words in references]
    precision = max(common, default=0) / len(candidate) if candidate else 0.0
    recall = max(
        (length / len(words) for length, words in zip(common, references, strict=True) if words), default=0.0
    )
    if not precision or not recall:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def _longest_common(one: Words, other: Words) -> int:
    """The number of words in the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for index, match in enumerate(other, 1):
            above = row[index]
            row[index] = before + 1 if word == match else max(above, row[index - 1])
            before = above
    return row[-1]
