"""The scores that need files of the user's own: SPICE and FENSE, and those that are made of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wavcaps_training.evaluation.caption_scores.fense import (
    ERROR_PROBABILITY,
    PENALTY,
    SENTENCE_BERT,
    MetricModelError,
    error_finder_lacks,
    error_probabilities,
    likeness,
    sentence_bert_lacks,
)
from wavcaps_training.evaluation.caption_scores.java import JavaError
from wavcaps_training.evaluation.caption_scores.spice import spice, spice_lacks

VARIABLE = "WAVCAPS_METRIC_FILES"
# One caption of each clip, and the references of each clip.
Texts = tuple[Sequence[str], Sequence[Sequence[str]]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """What one tool gave.

    Attributes:
        name: of the score.
        values: of each clip: (clips,), 0 to 1, SPIDEr to 5.5; None: it was not measured.
        note: why not.
    """

    name: str
    values: np.ndarray | None = None
    note: str = ""


def judged(
    words: Texts, written: Texts, cider_d: np.ndarray, files: Path | None, device: str
) -> list[Measured]:
    """SPICE, SPIDEr, SPIDEr-FL, FENSE, and which captions have an error of fluency.

    SPIDEr (Liu et al., 2017) is the mean of CIDEr-D and SPICE. SPIDEr-FL, the score of DCASE since 2023, and
    FENSE lose most of a caption's score where it has an error of fluency.

    Args:
        words: captions and references as words separated by spaces.
        written: captions and references as they were written.
        cider_d: of each clip, 0 to 10.
        files: the folder of metric files; None: not set.
        device: `cpu` or `cuda`.
    """
    found = _measured("SPICE", spice_lacks(files), lambda folder: spice(*words, folder), files)
    alike = _measured(
        SENTENCE_BERT, sentence_bert_lacks(files), lambda folder: likeness(*written, folder, device), files
    )
    errors = _measured(
        "fluency errors", error_finder_lacks(files), lambda folder: _errors(written[0], folder, device), files
    )
    spider = _made_of("SPIDEr", lambda value: (cider_d + value) / 2, found)
    return [
        found,
        spider,
        _made_of("SPIDEr-FL", _less_for_errors, spider, errors),
        _made_of("FENSE", _less_for_errors, alike, errors),
        errors,
    ]


def _errors(captions: Sequence[str], folder: Path, device: str) -> np.ndarray:
    return (error_probabilities(captions, folder, device) > ERROR_PROBABILITY).astype(np.float64)


def _less_for_errors(values: np.ndarray, errors: np.ndarray) -> np.ndarray:
    return values * (1 - PENALTY * errors)


def _measured(name: str, lacks: str, tool: Callable[[Path], np.ndarray], files: Path | None) -> Measured:
    if lacks or files is None:
        where = f"the folder {files} has no" if files else f"{VARIABLE} names no folder with"
        return Measured(name, note=f"not measured: {where} {lacks}")
    try:
        return Measured(name, tool(files))
    except (JavaError, MetricModelError) as error:
        logger.warning("%s was not measured: %s", name, error)
        return Measured(name, note=f"not measured: {error}")


def _made_of(name: str, formula: Callable[..., np.ndarray], *parts: Measured) -> Measured:
    """A score made of others; it is not measured if one of them is not.

    Why not is said of each other score, and so only of Sentence-BERT here, which is none.
    """
    missing = [part for part in parts if part.values is None]
    if missing:
        why = "".join(f"; {part.note}" for part in missing if part.name == SENTENCE_BERT)
        names = " and ".join(part.name for part in missing)
        return Measured(name, note=f"not measured: it is made of {names}{why}")
    return Measured(name, formula(*(part.values for part in parts)))
