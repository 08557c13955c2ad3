"""Recall at k, by the released code's numbers and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wavcaps_training.evaluation.retrieval import (
    DirectionScores,
    chance_recall,
    chance_rows,
    score_direction,
    score_retrieval,
)
from wavcaps_training.tables import RETRIEVAL_SCORES


@pytest.mark.parametrize("direction", ["t2a", "a2t"])
def test_scores_of_the_released_code(oracles: Path, direction: str) -> None:
    expected = np.load(oracles / "retrieval_metrics.npz")
    captions_per_clip = 5
    clip_of_caption = np.arange(len(expected["captions"])) // captions_per_clip
    scores = score_retrieval(expected["audio"], expected["captions"], clip_of_caption)
    found = scores.text_to_audio if direction == "t2a" else scores.audio_to_text
    np.testing.assert_array_equal(found.ranks, expected[f"{direction}_ranks"])
    figures = [*(found.recall_at(k) for k in (1, 5, 10, 50)), found.median_rank, found.mean_rank, found.map10]
    np.testing.assert_allclose(figures, expected[direction], atol=1e-9, rtol=0)


def test_ranks_and_average_precision_by_hand() -> None:
    similarity = np.array([[0.9, 0.1, 0.5, 0.3], [0.2, 0.8, 0.4, 0.6]])
    right = np.array([[False, True, True, False], [False, True, True, False]])
    scores = score_direction(similarity, right)
    assert scores.ranks.tolist() == [1, 0]
    # Right candidates at positions 2 and 4, then at 1 and 3.
    assert scores.map10 == pytest.approx(100 * np.mean([(1 / 2 + 2 / 4) / 2, (1 / 1 + 2 / 3) / 2]))
    assert (scores.median_rank, scores.mean_rank) == (1.0, 1.5)


def test_a_model_that_tells_nothing_apart_scores_nothing() -> None:
    same = np.ones((20, 4)) / 2
    scores = score_retrieval(same, same, np.arange(20))
    assert [scores.mean_recall_at(k) for k in (1, 5, 10)] == [0, 0, 0]


def test_clips_that_share_a_caption_compete() -> None:
    audio = np.eye(3)
    shared = np.array([[1.0, 0, 0], [1.0, 0, 0], [0, 0, 1.0]])
    assert score_retrieval(audio, shared, np.arange(3)).audio_to_text.ranks.tolist() == [1, 2, 0]


def test_recall_sum_is_over_both_directions_and_every_k() -> None:
    perfect = score_retrieval(np.eye(12), np.eye(12), np.arange(12))
    assert perfect.recall_sum == 600
    assert DirectionScores(ranks=np.array([0, 4, 9, 10]), map10=0).recall_at(5) == 50


def test_chance_is_what_random_orders_give() -> None:
    generator = np.random.default_rng(0)
    n, trials = 23, 400
    ranks = np.concatenate(
        [score_direction(generator.random((n, n)), np.eye(n, dtype=bool)).ranks for _ in range(trials)]
    )
    for k in (1, 5, 10, 50):
        found = 100 * np.mean(ranks < k)
        assert found == pytest.approx(chance_recall(n, k), abs=1.5)


def test_chance_rows_fit_the_table() -> None:
    table = RETRIEVAL_SCORES.from_rows(chance_rows(40))
    assert table.num_rows == 6
    assert sorted(set(table["value"].to_pylist())) == [2.5, 12.5, 25.0]
