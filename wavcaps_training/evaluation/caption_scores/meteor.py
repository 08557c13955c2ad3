"""METEOR 1.5 (Denkowski and Lavie, 2014), the version of the paper's tables: equal words, stems, synonyms and
paraphrases, aligned by the program of its authors in the package pycocoevalcap.

The program aligns and counts. The score is the formula of its authors (https://aclanthology.org/W14-3348)
with the parameters for English; over several clips it is that of their summed counts, and not a mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wavcaps_training.evaluation.caption_scores.java import METEOR, JavaError, coco_file, run_java

ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
# Of equal words, stems, synonyms and paraphrases.
WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])
# What separates the fields of a line that the program reads.
FIELD = "|||"
# The program's counts of one clip, and the places of some. The first four are words of caption and reference,
# and the function words of both; then come the matches of each stage.
COUNTS, CHUNKS, MATCHED, MATCHED_OF_REFERENCE = 23, 20, 21, 22


def meteor_counts(captions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """The program's counts for each caption and the reference that fits it best.

    Args:
        captions: words separated by spaces, of one caption a clip; may be empty.
        references: words of one or several references for each clip, none of them empty.

    Returns:
        (clips, 23). A caption that is its reference word for word counts no chunk, as in the program's sums.

    Raises:
        JavaError: METEOR is missing, failed, or gave something else than one line for each clip.
    """
    lines = "".join(
        " ||| ".join(("SCORE", *(_plain(words) for words in own), _plain(caption))) + "\n"
        for caption, own in zip(captions, references, strict=True)
    )
    arguments = ["-jar", str(coco_file(*METEOR)), "-", "-", "-stdio", "-l", "en", "-norm"]
    answers = run_java("METEOR 1.5", arguments, lines).splitlines()
    try:
        counts = np.array([[float(count) for count in line.split()] for line in answers])
    except ValueError as error:
        raise JavaError(f"METEOR 1.5 gave counts that are no numbers: {error}") from error
    if counts.shape != (len(captions), COUNTS):
        raise JavaError(f"METEOR 1.5 gave {len(answers)} lines of counts for {len(captions)} captions")
    matched_whole = (counts[:, [MATCHED, MATCHED_OF_REFERENCE]] == counts[:, :2]).all(axis=1)
    counts[matched_whole & (counts[:, CHUNKS] == 1), CHUNKS] = 0
    return counts


def meteor(counts: np.ndarray) -> np.ndarray:
    """METEOR of each clip, or of a test set from the sum of its counts: (..., 23) to (...,), 0 to 1."""
    # Of each stage: content words of the caption and of the reference, then function words of both.
    stages = counts[..., 4:CHUNKS].reshape(*counts.shape[:-1], len(WEIGHTS), 4)
    shares = []
    for side in (0, 1):
        words, function_words = counts[..., side], counts[..., 2 + side]
        matched = (stages[..., side] * DELTA + stages[..., 2 + side] * (1 - DELTA)) @ WEIGHTS
        shares.append(_ratio(matched, (words - function_words) * DELTA + function_words * (1 - DELTA)))
    precision, recall = shares
    mean = _ratio(precision * recall, ALPHA * precision + (1 - ALPHA) * recall)
    pairs = (counts[..., MATCHED] + counts[..., MATCHED_OF_REFERENCE]) / 2
    return mean * (1 - GAMMA * _ratio(counts[..., CHUNKS], pairs) ** BETA)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Their ratio, and 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _plain(words: str) -> str:
    return words.replace(FIELD, " ")
