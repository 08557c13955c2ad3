"""Scores from raters' answers: mean opinion scores, options, agreement (section III.D, Figure 4)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wavcaps_assets.tables import VALIDATION_SCORES
from wavcaps_assets.validation.agreement import Level, alpha, coincidences
from wavcaps_assets.validation.paper import PAPER
from wavcaps_assets.validation.ratings import COMPARISON, OPTIONS, RATING, SCORES, SECOND_RATING, counted
from wavcaps_assets.validation.settings import ScoreSettings

Floats = npt.NDArray[np.float64]
# Indices of clips, with repetitions.
Resample = npt.NDArray[np.int64]


@dataclass
class Clip:
    """The answers about one clip that count.

    Attributes:
        scores, second_scores: ratings of the caption under study and of the second caption, by rater.
        options: the comparisons, by rater.
    """

    source: str
    scores: dict[str, int] = field(default_factory=dict)
    second_scores: dict[str, int] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)


def score_study(ratings: pa.Table, settings: ScoreSettings) -> pa.Table:
    """Every figure of the study, with an interval: percentiles over resampled clips.

    A mean is over all answers, so that a clip with more answers has more weight.

    Args:
        ratings: `tables.VALIDATION_RATINGS`.

    Returns:
        `tables.VALIDATION_SCORES`. A figure without answers is null, with a note.
    """
    clips = list(by_clip(ratings).values())
    interval = _Interval(settings)
    rows = []
    scores = [list(clip.scores.values()) for clip in clips]
    rows.append(_mean("mean_score", "all", scores, interval))
    rows += [_share("score_share", str(score), scores, score, interval) for score in SCORES]
    for source in sorted({clip.source for clip in clips}):
        of_source = [list(clip.scores.values()) for clip in clips if clip.source == source]
        rows.append(_mean("mean_score_by_source", source, of_source, interval))
    rows.append(_alpha(RATING, [[score - 1 for score in given] for given in scores], Level.ORDINAL, interval))
    if any(clip.options or clip.second_scores for clip in clips):
        rows += _of_second_captions(clips, interval)
    return VALIDATION_SCORES.from_rows(_with_paper(row) for row in rows)


def by_clip(ratings: pa.Table) -> dict[str, Clip]:
    """The answers that count, by clip and rater."""
    clips: dict[str, Clip] = {}
    for row in counted(ratings):
        clip = clips.setdefault(row["clip_id"], Clip(row["source"]))
        rater = row["rater"].casefold()
        if row["question"] == RATING:
            clip.scores[rater] = row["score"]
        elif row["question"] == SECOND_RATING:
            clip.second_scores[rater] = row["score"]
        else:
            clip.options[rater] = row["option"]
    return clips


def _of_second_captions(clips: Sequence[Clip], interval: _Interval) -> list[dict[str, Any]]:
    options = [list(clip.options.values()) for clip in clips]
    seconds = [list(clip.second_scores.values()) for clip in clips]
    rows = [_share("option_share", option, options, option, interval) for option in OPTIONS]
    for option in OPTIONS:
        # The ratings of the caption under study by the raters who chose this option.
        given = [
            [score for rater, score in clip.scores.items() if clip.options.get(rater) == option]
            for clip in clips
        ]
        rows.append(_mean("mean_score_by_option", option, given, interval))
    rows.append(_mean("second_mean_score", "all", seconds, interval))
    rows += [_share("second_score_share", str(score), seconds, score, interval) for score in SCORES]
    ranks = [[score - 1 for score in given] for given in seconds]
    places = [[OPTIONS.index(option) for option in given] for given in options]
    rows.append(_alpha(SECOND_RATING, ranks, Level.ORDINAL, interval))
    rows.append(_alpha(COMPARISON, places, Level.NOMINAL, interval))
    return rows


class _Interval:
    """Percentiles of a figure over resamples of the clips, repeatable with the same settings."""

    def __init__(self, settings: ScoreSettings) -> None:
        self._settings = settings

    def of(self, units: int, figure: Callable[[Resample], float | None]) -> tuple[float | None, float | None]:
        """The interval; None if there are fewer than two clips, or a resample has no figure."""
        if units < 2:
            return None, None
        random = np.random.default_rng(self._settings.seed)
        drawn = (figure(random.integers(units, size=units)) for _ in range(self._settings.resamples))
        found = [value for value in drawn if value is not None]
        if not found:
            return None, None
        tail = 50 * (1 - self._settings.confidence)
        low, high = np.percentile(found, [tail, 100 - tail])
        return float(low), float(high)


def _mean(measure: str, group: str, given: Sequence[Sequence[float]], interval: _Interval) -> dict[str, Any]:
    """The mean of all answers, from the sum and count of each clip."""
    answered = [values for values in given if values]
    row: dict[str, Any] = {"measure": measure, "group": group, **_basis(answered)}
    if not answered:
        return {**row, "note": "no answers"}
    sums = np.array([sum(values) for values in answered], dtype=np.float64)
    counts = np.array([len(values) for values in answered], dtype=np.float64)
    low, high = interval.of(len(answered), lambda drawn: float(sums[drawn].sum() / counts[drawn].sum()))
    return {**row, "value": float(sums.sum() / counts.sum()), "low": low, "high": high}


def _share(
    measure: str, group: str, given: Sequence[Sequence[Any]], wanted: Any, interval: _Interval
) -> dict[str, Any]:
    return _mean(measure, group, [[float(value == wanted) for value in values] for values in given], interval)


def _alpha(
    question: str, given: Sequence[Sequence[int]], level: Level, interval: _Interval
) -> dict[str, Any]:
    paired = [values for values in given if len(values) > 1]
    row: dict[str, Any] = {"measure": "alpha", "group": question, **_basis(paired)}
    if not paired:
        return {**row, "note": "no clip was answered by two raters"}
    units = coincidences(paired, len(SCORES) if level is Level.ORDINAL else len(OPTIONS))
    value = alpha(units.sum(axis=0), level)
    if value is None:
        return {**row, "note": "all raters gave the same answer: no disagreement is expected by chance"}
    low, high = interval.of(len(paired), lambda drawn: alpha(units[drawn].sum(axis=0), level))
    return {**row, "value": value, "low": low, "high": high, "note": level.value}


def _basis(given: Sequence[Sequence[Any]]) -> dict[str, int]:
    return {"clips": len(given), "answers": sum(map(len, given))}


def _with_paper(row: dict[str, Any]) -> dict[str, Any]:
    published = PAPER.get((row["measure"], row["group"]))
    if published is None:
        return row
    notes = [note for note in (row.get("note"), published.note) if note]
    return {**row, "paper": published.value, "note": "; ".join(notes)}


@dataclass(frozen=True)
class RaterWork:
    """The work of one rater.

    Attributes:
        files: the number of the rater's files for this study.
        answers: the number of answers that count.
        gaps: the number of questions without an answer.
        not_counted: the number of answers that do not count.
        mean_score: mean rating of the captions under study; None if there is no rating.
    """

    rater: str
    files: int
    answers: int
    gaps: int
    not_counted: int
    mean_score: float | None


def work_of_raters(ratings: pa.Table, questions: int) -> list[RaterWork]:
    """The work of each rater, in the order of their names.

    Args:
        questions: the number of questions of the study.
    """
    rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in ratings.to_pylist():
        if row["rater"] is not None and row["reason"] != "file_of_another_study":
            rows[row["rater"].casefold()].append(row)
    return [_work(given, questions) for _, given in sorted(rows.items())]


def _work(rows: Sequence[dict[str, Any]], questions: int) -> RaterWork:
    good = [row for row in rows if row["reason"] is None]
    return RaterWork(
        rater=rows[0]["rater"],
        files=len({row["file"] for row in rows}),
        answers=len(good),
        gaps=questions - len(good),
        not_counted=len(rows) - len(good),
        mean_score=_plain_mean(row["score"] for row in good if row["question"] == RATING),
    )


def _plain_mean(values: Iterable[int]) -> float | None:
    counts = Counter(values)
    return sum(value * count for value, count in counts.items()) / counts.total() if counts else None
