"""Zero-shot classification from embeddings: the class whose name is nearest to a clip (section IV.C).

The answer is the class with a higher similarity than every other class. Ties count against the model:
a clip whose own class only ties with another one is answered wrongly, so equal embeddings score 0. As in
retrieval, similarities that differ by rounding only are tied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wavcaps_training.evaluation.intervals import interval_of_mean
from wavcaps_training.evaluation.ranking import TIE, BrokenEmbeddings

# Similarities at a time, so that a large benchmark fits in memory.
CLIPS_AT_A_TIME = 4096
SHOWN = 5
OVERALL, FOLD, CLASS = "overall", "fold", "class"
ACCURACY, MEAN_OF_FOLDS = "accuracy", "mean of folds"


@dataclass(frozen=True)
class Answers:
    """A model's answers.

    Attributes:
        truth: (clips,) the number of each clip's class, from 0.
        answered: (clips,) the number of the class that the model answered.
        ties: how many clips' own class tied with the best other one; they count as wrong.
    """

    truth: np.ndarray
    answered: np.ndarray
    ties: int

    @property
    def correct(self) -> np.ndarray:
        """(clips,) whether the answer is the clip's class."""
        return np.asarray(self.truth == self.answered)


@dataclass(frozen=True)
class Accuracy:
    """An accuracy in percent.

    Attributes:
        scope: of what: `overall`, `fold` or `class`.
        group: which fold or class; overall: empty.
        metric: `accuracy`, the share of clips; or `mean of folds`, in which each fold counts the same.
        value: in percent.
        interval: the ends of its 95 % interval; None: all clips are of one recording.
        clips: how many clips it is of.
        recordings: how many recordings they are cut from.
    """

    scope: str
    group: str
    metric: str
    value: float
    interval: tuple[float, float] | None
    clips: int
    recordings: int


@dataclass(frozen=True)
class Confusion:
    """How often clips of one class are taken for another.

    Attributes:
        truth: the number of their class.
        answered: the number of the other class.
        clips: how many.
        share: of the clips of their class, 0 to 1.
    """

    truth: int
    answered: int
    clips: int
    share: float


def answers_of(
    sounds: np.ndarray, names: np.ndarray, truth: np.ndarray, clip_ids: Sequence[str], classes: Sequence[str]
) -> Answers:
    """Each clip's answer.

    Args:
        sounds: (clips, dim) unit vectors of clips.
        names: (classes, dim) unit vectors of the classes' names.
        truth: (clips,) the number of each clip's class, from 0.
        clip_ids: (clips,), for errors.
        classes: (classes,) their names, for errors.

    Raises:
        BrokenEmbeddings: a vector is not finite; names its clip or class.
    """
    _refuse_broken(sounds, clip_ids, "clips")
    _refuse_broken(names, classes, "class names")
    answered = np.empty(len(sounds), np.int64)
    ties = 0
    for start in range(0, len(sounds), CLIPS_AT_A_TIME):
        part = slice(start, start + CLIPS_AT_A_TIME)
        similar = sounds[part] @ names.T
        rows, own = np.arange(len(similar)), truth[part]
        of_own = similar[rows, own]
        similar[rows, own] = -np.inf
        rival = similar.argmax(axis=1)
        of_rival = similar[rows, rival]
        answered[part] = np.where(of_own - of_rival > TIE, own, rival)
        ties += int((np.abs(of_own - of_rival) <= TIE).sum())
    return Answers(truth, answered, ties)


def _refuse_broken(vectors: np.ndarray, names: Sequence[str], what: str) -> None:
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(broken):
        shown = ", ".join(names[place] for place in broken[:SHOWN]) + (", …" if len(broken) > SHOWN else "")
        raise BrokenEmbeddings(
            f"the embeddings of {len(broken)} of {len(vectors)} {what} are not finite: {shown}. The weights "
            "or the audio are damaged: materialize the checkpoint and the audio of these clips again"
        )


def accuracies(
    answers: Answers, folds: Sequence[int | None], recordings: np.ndarray, classes: Sequence[str]
) -> Iterator[Accuracy]:
    """The accuracy overall, in each fold, and of each class that has clips, with intervals over recordings.

    Args:
        answers: of the model.
        folds: (clips,) the fold of each clip; None: it has none.
        recordings: (clips,) the recording that each clip is cut from, as any values.
        classes: the names of the classes.
    """
    hits = 100.0 * answers.correct
    yield _accuracy(OVERALL, "", hits, recordings)
    numbers = np.array([-1 if fold is None else fold for fold in folds])
    there = np.unique(numbers)
    if len(there) > 1 and there[0] >= 0:
        yield _mean_of_folds(hits, numbers, recordings)
        for fold in there:
            here = numbers == fold
            yield _accuracy(FOLD, str(fold), hits[here], recordings[here])
    for number in np.unique(answers.truth):
        here = answers.truth == number
        yield _accuracy(CLASS, classes[number], hits[here], recordings[here])


def _accuracy(
    scope: str, group: str, hits: np.ndarray, recordings: np.ndarray, metric: str = ACCURACY
) -> Accuracy:
    names, groups = np.unique(recordings, return_inverse=True)
    interval = interval_of_mean(hits[None], groups)
    return Accuracy(scope, group, metric, float(hits.mean()), interval, len(hits), len(names))


def _mean_of_folds(hits: np.ndarray, folds: np.ndarray, recordings: np.ndarray) -> Accuracy:
    # The mean of the folds' means as a mean over clips: what each clip contributes, by Taylor linearization.
    there, place, clips = np.unique(folds, return_inverse=True, return_counts=True)
    means = np.bincount(place, hits) / clips
    of_clip = means.mean() + (hits - means[place]) * len(hits) / (len(there) * clips[place])
    found = _accuracy(OVERALL, "", of_clip, recordings, MEAN_OF_FOLDS)
    if found.interval is None:
        return found
    low, high = found.interval
    return replace(found, interval=(max(low, 0.0), min(high, 100.0)))


def confusion_matrix(answers: Answers, classes: int) -> np.ndarray:
    """(classes, classes) how many clips of the class of each row got the class of each column as answer."""
    places = answers.truth * classes + answers.answered
    return np.bincount(places, minlength=classes * classes).reshape(classes, classes)


def most_confused(matrix: np.ndarray, rows: int) -> list[Confusion]:
    """The pairs of different classes that are confused most, by number of clips.

    Args:
        matrix: of `confusion_matrix`.
        rows: how many pairs at most.
    """
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:rows]
    clips = matrix.sum(axis=1)
    pairs = (divmod(int(place), len(matrix)) for place in order)
    return [
        Confusion(truth, answered, int(wrong[truth, answered]), float(wrong[truth, answered] / clips[truth]))
        for truth, answered in pairs
        if wrong[truth, answered]
    ]
