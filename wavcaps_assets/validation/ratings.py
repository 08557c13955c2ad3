"""Reads raters' files into a table of answers, with a reason for those that do not count."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from wavcaps_assets.tables import VALIDATION_RATINGS
from wavcaps_assets.validation.answer_files import BadFile, parse_file, writable

SCORES = range(1, 6)
OPTIONS = ("A", "B", "C")
RATING, SECOND_RATING, COMPARISON = "rating", "second_rating", "comparison"
LONGEST_DETAIL = 200


def read_ratings(key: pa.Table, files: Iterable[tuple[str, bytes | None]]) -> pa.Table:
    """Reads the answers of all raters.

    A rater can have several files, for example from two days or two computers. If a rater answered a question
    more than once, the last answer counts (by the rater's clock); the others are `repeated`.

    Args:
        key: `tables.VALIDATION_STUDY`, of one study.
        files: the raters' files, by name.

    Returns:
        `tables.VALIDATION_RATINGS`.
    """
    reader = _Reader(key)
    rows = [row for name, content in files for row in reader.rows(name, content)]
    _mark_repeated(rows)
    return VALIDATION_RATINGS.from_rows(rows)


def questions_of(key: pa.Table) -> tuple[str, ...]:
    """The questions about each clip."""
    compares = key.num_rows > 0 and key.column("second_caption_id").null_count == 0
    return (RATING, SECOND_RATING, COMPARISON) if compares else (RATING,)


class _Reader:
    def __init__(self, key: pa.Table) -> None:
        rows = key.to_pylist()
        self._study_id = rows[0]["study_id"] if rows else ""
        self._items = {row["item_id"]: row for row in rows}

    def rows(self, file: str, content: bytes | None) -> Iterator[dict[str, Any]]:
        """The answers of a file, or one row with the reason why it has none."""
        try:
            file_of_rater = parse_file(content)
        except BadFile as error:
            yield _row(file, None, reason=error.reason, detail=str(error))
            return
        rater = tidy_name(file_of_rater.rater)
        if file_of_rater.study != self._study_id:
            detail = (
                f"the study {file_of_rater.study}, not {self._study_id}; {len(file_of_rater.answers)} answers"
            )
            yield _row(file, rater, reason="file_of_another_study", detail=detail)
            return
        if not file_of_rater.answers:
            yield _row(file, rater, reason="file_without_answers")
        for answer in file_of_rater.answers:
            yield from self._answer(file, rater, answer)

    def _answer(self, file: str, rater: str, answer: Any) -> Iterator[dict[str, Any]]:
        if not isinstance(answer, dict):
            yield _row(file, rater, reason="malformed_answer", detail=repr(answer))
            return
        item_id = answer.get("item")
        item = self._items.get(item_id) if isinstance(item_id, str) else None
        if item is None:
            yield _row(file, rater, reason="unknown_item", detail=repr(item_id))
            return
        about = {name: item[name] for name in ("item_id", "clip_id", "source")}
        about["at"] = _moment(answer.get("at"))
        ratings = answer.get("ratings", {})
        if isinstance(ratings, dict):
            yield from (
                _rating(file, rater, item, about, name, score)
                for name, score in ratings.items()
                if score is not None
            )
        else:
            yield _row(file, rater, about, reason="malformed_answer", detail=repr(ratings))
        if (option := answer.get("option")) is not None:
            yield _comparison(file, rater, item, about, option)


def _rating(
    file: str, rater: str, item: Mapping[str, Any], about: Mapping[str, Any], caption_id: str, score: Any
) -> dict[str, Any]:
    questions = {item["caption_id"]: RATING, item["second_caption_id"]: SECOND_RATING}
    question = questions.get(caption_id)
    if question is None:
        return _row(file, rater, about, reason="unknown_caption", detail=repr(caption_id))
    # In Python True equals 1; it is not a score.
    if type(score) is not int or score not in SCORES:
        return _row(file, rater, about, question=question, reason="score_out_of_range", detail=repr(score))
    return _row(file, rater, about, question=question, score=score)


def _comparison(
    file: str, rater: str, item: Mapping[str, Any], about: Mapping[str, Any], option: Any
) -> dict[str, Any]:
    if item["second_caption_id"] is None:
        return _row(file, rater, about, reason="nothing_to_compare", detail=repr(option))
    if option not in OPTIONS:
        return _row(file, rater, about, question=COMPARISON, reason="unknown_option", detail=repr(option))
    return _row(file, rater, about, question=COMPARISON, option=option)


def _row(file: str, rater: str | None, about: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    if more.get("detail") is not None:
        more["detail"] = writable(more["detail"])[:LONGEST_DETAIL]
    return {"file": writable(file), "rater": rater, **(about or {}), **more}


def _mark_repeated(rows: list[dict[str, Any]]) -> None:
    """Marks all but the last answer of a rater to a question."""
    last: dict[tuple[Any, ...], dict[str, Any]] = {}
    never = datetime.min.replace(tzinfo=UTC)
    for row in rows:
        if row.get("reason") is not None:
            continue
        asked = (row["rater"].casefold(), row["item_id"], row["question"])
        before = last.get(asked)
        if before is None:
            last[asked] = row
            continue
        older, newer = sorted((before, row), key=lambda answer: answer["at"] or never)
        older["reason"] = "repeated"
        older["detail"] = f"answered again in {newer['file']}"
        last[asked] = newer


def tidy_name(name: str) -> str:
    """A rater's name, normalised as in page.js."""
    return " ".join(unicodedata.normalize("NFC", name).split()) or "?"


def _moment(given: Any) -> datetime | None:
    if not isinstance(given, str):
        return None
    try:
        moment = datetime.fromisoformat(given)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def counted(ratings: pa.Table) -> list[dict[str, Any]]:
    """The answers that count."""
    return [row for row in ratings.to_pylist() if row["reason"] is None]


def reasons(ratings: pa.Table) -> Counter[str]:
    """The number of answers and files that do not count, by reason."""
    return Counter(reason for reason in ratings.column("reason").to_pylist() if reason is not None)
