"""Raters' files, good and bad, and what they come to."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.validation.studies import answer, answers_file, small_study
from wavcaps_assets.store.storage import Store
from wavcaps_assets.validation.answer_files import BadFolder
from wavcaps_assets.validation.figures import plot_scores, raters_table, reasons_table, scores_table
from wavcaps_assets.validation.ratings import counted, read_ratings, reasons
from wavcaps_assets.validation.scores import score_study
from wavcaps_assets.validation.settings import RatingsSettings, ScoreSettings
from wavcaps_assets.validation.study_files import UnknownStudy, WrittenStudy, read_answers

CLIPS = {"freesound-1": "A dog barks.", "freesound-2": "Rain falls.", "soundbible-3": "A bell rings."}
FEW = ScoreSettings(resamples=200)


@pytest.fixture
def study(tmp_path: Path) -> WrittenStudy:
    return small_study(Store(tmp_path), CLIPS, dict.fromkeys(CLIPS, "people wrote this"))


def two_raters(study: WrittenStudy) -> list[tuple[str, bytes | None]]:
    anna = [
        answer(study, "freesound-1", 5, 4, "A"),
        answer(study, "freesound-2", 3, 5, "B"),
        answer(study, "soundbible-3", 2, 5, "C"),
    ]
    bela = [answer(study, "freesound-1", 5, 5, "B"), answer(study, "freesound-2", 4, 4, "B")]
    return [
        ("anna.json", answers_file(study, "Anna", anna)),
        ("bela.json", answers_file(study, "Bela", bela)),
    ]


def figures(
    study: WrittenStudy, files: list[tuple[str, bytes | None]]
) -> dict[tuple[str, str], dict[str, Any]]:
    table = score_study(read_ratings(study.study.key, files), FEW)
    return {(row["measure"], row["group"]): row for row in table.to_pylist()}


def test_figures_by_hand(study: WrittenStudy) -> None:
    found = figures(study, two_raters(study))
    values = {name: row["value"] for name, row in found.items()}
    assert values["mean_score", "all"] == pytest.approx((5 + 3 + 2 + 5 + 4) / 5)
    assert values["mean_score_by_source", "freesound"] == pytest.approx(17 / 4)
    assert values["mean_score_by_source", "soundbible"] == 2
    assert [values["score_share", str(score)] for score in range(1, 6)] == pytest.approx(
        [0, 0.2, 0.2, 0.2, 0.4]
    )
    assert [values["option_share", option] for option in "ABC"] == pytest.approx([0.2, 0.6, 0.2])
    assert [values["mean_score_by_option", option] for option in "ABC"] == pytest.approx([5, 4, 2])
    assert values["second_mean_score", "all"] == pytest.approx(23 / 5)
    # Two clips have two raters. Options: A, B and B, B: 1 - (4 - 1) * 2 / (2 * 1 * 3) = 0.
    assert values["alpha", "comparison"] == pytest.approx(0)
    assert (found["alpha", "comparison"]["clips"], found["alpha", "comparison"]["answers"]) == (2, 4)
    # Ratings 5, 5 and 3, 4: ranks put 3, 4 and 5 at 0.5, 1.5 and 3. Observed 2 * 1; expected
    # 2 * (1 * 1 * 1 + 1 * 2 * 6.25 + 1 * 2 * 2.25) = 36: 1 - 3 * 2 / 36.
    assert values["alpha", "rating"] == pytest.approx(1 - 6 / 36)


def test_intervals_hold_the_figure_and_are_the_same_again(study: WrittenStudy) -> None:
    found, again = figures(study, two_raters(study)), figures(study, two_raters(study))
    assert found == again
    overall = found["mean_score", "all"]
    # Between a set of the worst clip only and one of the best only.
    assert 2 <= overall["low"] <= overall["value"] <= overall["high"] <= 5
    assert overall["low"] < overall["high"]
    assert found["mean_score_by_source", "soundbible"]["low"] is None, "of one clip there is no interval"


def test_the_papers_figures_stand_beside(study: WrittenStudy) -> None:
    found = figures(study, two_raters(study))
    assert {name: row["paper"] for name, row in found.items() if row["paper"] is not None} == {
        ("mean_score", "all"): 3.89,
        ("score_share", "5"): 0.4,
        ("mean_score_by_option", "C"): 3.17,
    }
    assert "most raters" in found["option_share", "B"]["note"]


def test_one_rater_has_no_agreement(study: WrittenStudy) -> None:
    found = figures(study, two_raters(study)[:1])
    assert found["alpha", "rating"]["value"] is None
    assert found["alpha", "rating"]["note"] == "no clip was answered by two raters"


def test_bad_input_is_set_aside_with_its_reason(study: WrittenStudy) -> None:
    good = answer(study, "freesound-1", 5, 4, "A")
    odd = [
        answer(study, "freesound-2", 6, True, "D"),
        answer(study, "soundbible-3", 2.0, "4", ["A"]),
        {"item": "0" * 16, "ratings": {}, "option": "A"},
        {"item": ["x"]},
        {**good, "ratings": {"nobody's": 3}, "option": None},
        {**good, "ratings": [5, 4], "option": None},
        "text",
        None,
    ]
    files: list[tuple[str, bytes | None]] = [
        ("good.json", answers_file(study, "Anna", [good])),
        ("odd.json", answers_file(study, "Odd \ud800", odd)),
        ("other.json", answers_file(study, "Anna", [good], study="another")),
        ("empty.json", answers_file(study, "Cora", [])),
        ("cut.json", answers_file(study, "Dora", [good])[:-20]),
        ("deep.json", b"[" * 200_000),
        ("bytes.json", b"\xff\xfe\x00"),
        ("list.json", b"[]"),
        ("nameless.json", answers_file(study, "", [good])),
        ("answers.json", answers_file(study, "Eva", [], answers={"a": 1})),
        ("large.json", None),
    ]
    ratings = read_ratings(study.study.key, files)
    assert [(row["rater"], row["question"]) for row in counted(ratings)] == [
        ("Anna", "rating"),
        ("Anna", "second_rating"),
        ("Anna", "comparison"),
    ]
    assert reasons(ratings) == Counter(
        score_out_of_range=4,
        unknown_option=2,
        unknown_item=2,
        unknown_caption=1,
        malformed_answer=3,
        file_of_another_study=1,
        file_without_answers=1,
        file_not_json=3,
        file_of_another_kind=1,
        file_malformed=2,
        file_too_large=1,
    )
    assert "another" in reasons_table(ratings)
    assert score_study(ratings, FEW).num_rows > 0


def test_the_last_of_repeated_answers_counts(study: WrittenStudy) -> None:
    early = answer(study, "freesound-1", 1, 1, "C", at="2026-01-01T10:00:00.000Z")
    late = answer(study, "freesound-1", 5, 4, "A", at="2026-01-02T09:00:00+01:00")
    undated = answer(study, "freesound-1", 2, 2, "B", at="yesterday")
    # The file of the later day may come first, and the same name may be written otherwise.
    files: list[tuple[str, bytes | None]] = [
        ("a.json", answers_file(study, "ANNA", [late, undated])),
        ("b.json", answers_file(study, " anna ", [early, early])),
    ]
    ratings = read_ratings(study.study.key, files)
    assert [row["score"] or row["option"] for row in counted(ratings)] == [5, 4, "A"]
    assert reasons(ratings) == {"repeated": 9}
    assert score_study(ratings, FEW).num_rows > 0


def test_gaps_are_counted(study: WrittenStudy, tmp_path: Path) -> None:
    for name, content in two_raters(study):
        assert content is not None
        Store(tmp_path).write_bytes(f"validation/ratings/{name}", content)
    answers = read_answers(study.study.key, RatingsSettings(), Store(tmp_path))
    assert [(work.rater, work.answers, work.gaps, work.mean_score) for work in answers.raters] == [
        ("Anna", 9, 0, pytest.approx(10 / 3)),
        ("Bela", 6, 3, 4.5),
    ]
    assert "| Bela | 1 | 6 | 3 | 0 | 4.50 |" in raters_table(answers.raters)
    # The same folder by its absolute path, and a study by its name.
    by_path = RatingsSettings(ratings=str(tmp_path / "validation" / "ratings"), study=study.study.study_id)
    assert read_answers(study.study.key.slice(0, 0), by_path, Store(tmp_path)).ratings.equals(answers.ratings)


def test_a_folder_without_files_and_an_unknown_study_are_told(study: WrittenStudy, tmp_path: Path) -> None:
    with pytest.raises(BadFolder, match="is empty"):
        read_answers(study.study.key, RatingsSettings(), Store(tmp_path))
    with pytest.raises(BadFolder, match="cannot be read"):
        read_answers(study.study.key, RatingsSettings(ratings=str(tmp_path / "none")), Store(tmp_path))
    for name in ("0123", "../.."):
        with pytest.raises(UnknownStudy):
            read_answers(study.study.key, RatingsSettings(study=name), Store(tmp_path))


def test_rating_only(tmp_path: Path) -> None:
    study = small_study(Store(tmp_path), CLIPS)
    file = answers_file(study, "Anna", [answer(study, "freesound-1", 4, option="A")])
    ratings = read_ratings(study.study.key, [("a.json", file)])
    assert reasons(ratings) == {"nothing_to_compare": 1}
    measures = set(score_study(ratings, FEW).column("measure").to_pylist())
    assert measures == {"mean_score", "score_share", "mean_score_by_source", "alpha"}


def test_no_answers_at_all_still_give_a_table_and_a_figure(study: WrittenStudy) -> None:
    scores = score_study(read_ratings(study.study.key, [("x.json", json.dumps(1).encode())]), FEW)
    assert {row["value"] for row in scores.to_pylist()} == {None}
    assert "no answers" in scores_table(scores)
    assert len(plot_scores(scores).axes) == 3
