"""Recall at k, by the released code's numbers and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wavcaps_training.data import Clip
from wavcaps_training.evaluation import ranking
from wavcaps_training.evaluation.guessing import chance_median_rank, chance_recall
from wavcaps_training.evaluation.intervals import interval_of_mean, intervals, student_t_quantile
from wavcaps_training.evaluation.ranking import BrokenEmbeddings, DirectionScores, score_retrieval
from wavcaps_training.evaluation.retrieval import chance_rows
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
    similarity = np.array([[0.45, 0.05, 0.25, 0.15], [0.1, 0.4, 0.2, 0.3]])
    # The captions are the axes, so a clip's row is its similarity to them; the fifth number makes it a unit.
    rest = np.sqrt(1 - np.square(similarity).sum(axis=1, keepdims=True))
    scores = score_retrieval(np.hstack([similarity, rest]), np.eye(4, 5), np.array([1, 0, 0, 1]))
    # Clip 0 finds captions 1 and 2 at places 4 and 2, clip 1 finds 0 and 3 at places 4 and 2.
    assert scores.audio_to_text.ranks.tolist() == [1, 1]
    assert scores.audio_to_text.map10 == pytest.approx(100 * (1 / 2 + 2 / 4) / 2)
    assert (scores.audio_to_text.median_rank, scores.audio_to_text.mean_rank) == (2.0, 2.0)
    # Captions 0 and 1 prefer the wrong clip, captions 2 and 3 their own.
    assert scores.text_to_audio.ranks.tolist() == [1, 1, 0, 0]
    assert scores.text_to_audio.map10 == pytest.approx(100 * (1 / 2 + 1 / 2 + 1 + 1) / 4)


def sorted_scores(similarity: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ranks and average precision by sorting each query, wrong candidates first among ties."""
    order = np.lexsort((right, -np.round(similarity, 6)), axis=1)
    hits = np.take_along_axis(right, order, axis=1)
    first_ten = hits[:, :10]
    precision = np.cumsum(first_ten, axis=1) / np.arange(1, first_ten.shape[1] + 1)
    return hits.argmax(axis=1), (precision * first_ten).sum(axis=1) / right.sum(axis=1)


def test_counting_in_blocks_gives_what_sorting_gives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With many exact ties, an uneven number of captions, captions in no order, and memory-mapped files."""
    monkeypatch.setattr(ranking, "CLIPS_A_BLOCK", 7)
    monkeypatch.setattr(ranking, "CAPTIONS_A_BLOCK", 11)
    generator = np.random.default_rng(0)
    clip_of_caption = generator.permutation(np.repeat(np.arange(60), generator.integers(1, 6, 60)))
    # Few different vectors: most similarities are tied.
    directions = np.linalg.qr(generator.normal(size=(16, 16)))[0].astype(np.float32)
    audio = directions[generator.integers(0, 12, 60)]
    text = directions[generator.integers(4, 16, len(clip_of_caption))]
    text[::5] = unit(audio[clip_of_caption[::5]] + 0.3 * text[::5])
    for name, array in (("audio", audio), ("text", text)):
        np.save(tmp_path / name, array)
    mapped = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("audio", "text")}
    scores = score_retrieval(mapped["audio"], mapped["text"], clip_of_caption)
    similarity = audio.astype(np.float64) @ text.astype(np.float64).T
    right = np.arange(60)[:, None] == clip_of_caption[None, :]
    for found, (ranks, precision) in (
        (scores.audio_to_text, sorted_scores(similarity, right)),
        (scores.text_to_audio, sorted_scores(similarity.T, right.T)),
    ):
        np.testing.assert_array_equal(found.ranks, ranks)
        np.testing.assert_allclose(found.average_precision, precision, rtol=1e-12)


def unit(vectors: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("which", ["clip", "caption"])
def test_broken_embeddings_are_an_error_and_no_score(value: float, which: str) -> None:
    audio, text = np.eye(3), np.eye(3)
    (audio if which == "clip" else text)[1, 2] = value
    with pytest.raises(BrokenEmbeddings, match=f"embeddings of 1 {which}s hold NaN or infinity.* row 1"):
        score_retrieval(audio, text, np.arange(3))


def test_vectors_that_are_no_units_are_an_error() -> None:
    """Ties of large vectors could not be distinguished from rounding: a collapsed model once scored 100 %."""
    large = np.full((600, 4), 340.0, np.float16)
    with pytest.raises(BrokenEmbeddings, match="embeddings of 600 clips are not of length 1"):
        score_retrieval(large, large, np.arange(600))
    half = (np.ones((600, 4)) / 2).astype(np.float16)
    assert score_retrieval(half, half, np.arange(600)).recall_sum == 0


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(BrokenEmbeddings, match="there is no clip to score"):
        score_retrieval(np.empty((0, 4)), np.empty((0, 4)), np.empty(0, int))


def test_a_clip_without_a_caption_is_an_error() -> None:
    with pytest.raises(BrokenEmbeddings, match="1 clips have no caption, the first in row 2"):
        score_retrieval(np.eye(3), np.eye(3), np.array([0, 1, 1]))


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
    assert DirectionScores(np.array([0, 4, 9, 10]), np.zeros(4)).recall_at(5) == 50


def test_chance_is_what_random_orders_give() -> None:
    """For clips with one caption to four, both ways."""
    generator = np.random.default_rng(0)
    clips = [Clip(str(number), ("Rain.",) * (1 + number % 4), "", 1.0) for number in range(23)]
    captions = [len(clip.captions) for clip in clips]
    clip_of_caption = np.repeat(np.arange(23), captions)
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(400):
        audio, text = (unit(generator.normal(size=(count, 8))) for count in (23, sum(captions)))
        scores = score_retrieval(audio, text, clip_of_caption)
        for direction in ("text_to_audio", "audio_to_text"):
            of = getattr(scores, direction)
            for k in (1, 5, 10):
                found.setdefault((direction, f"R@{k}"), []).append(of.recall_at(k))
            found.setdefault((direction, "mAP@10"), []).append(of.map10)
            found.setdefault((direction, "median rank"), []).append(of.median_rank)
    expected = {(row["direction"], row["metric"]): row["value"] for row in chance_rows(clips)}
    assert expected.keys() == found.keys()
    for key, values in found.items():
        assert np.mean(values) == pytest.approx(expected[key], abs=1.0), key


def test_chance_by_hand() -> None:
    assert chance_recall(40, 10) == pytest.approx(25)
    # One query with two correct candidates among four: it misses at 2 in 1 of 6 cases.
    assert chance_recall(4, 2, [2]) == pytest.approx(100 * 5 / 6)
    assert chance_recall(5, 10) == 100
    assert chance_median_rank(87) == 44


def test_chance_rows_fit_the_table() -> None:
    clips = [Clip(str(number), ("Rain.",), "", 1.0) for number in range(40)]
    table = RETRIEVAL_SCORES.from_rows(chance_rows(clips))
    recall = [row["value"] for row in table.to_pylist() if row["metric"].startswith("R@")]
    assert sorted(set(recall)) == pytest.approx([2.5, 12.5, 25.0])


def test_intervals_contain_what_another_sample_gives() -> None:
    """Of 200 test sets from one population, the interval contains the population's score in about 95 %."""
    generator = np.random.default_rng(0)
    captions, clips = 5, 60
    covered: dict[str, int] = {}
    truth = {"R@10": 0.0, "mAP@10": 0.0}

    def ranks_of(count: int) -> np.ndarray:
        # The captions of a clip are alike: some clips are easy for all of theirs.
        easy = generator.random(count) < 0.4
        return np.where(np.repeat(easy, captions), 3, generator.integers(0, 100, count * captions))

    def scores_of(count: int) -> DirectionScores:
        ranks = ranks_of(count)
        return DirectionScores(ranks, np.where(ranks < 10, 1 / (ranks + 1), 0.0))

    whole = scores_of(200_000)
    truth = {"R@10": whole.recall_at(10), "mAP@10": whole.map10}
    for _ in range(200):
        found = intervals(scores_of(clips), np.repeat(np.arange(clips), captions), (10,))
        for name, value in truth.items():
            low, high = found[name]
            covered[name] = covered.get(name, 0) + (low <= value <= high)
    # Binomial: fewer than 180 of 200 has a probability of 0.3 % if 95 % are covered.
    assert all(count >= 180 for count in covered.values()), covered


@pytest.mark.slow
def test_intervals_over_few_recordings_contain_what_other_recordings_give() -> None:
    """14 recordings, whose clips are found or missed together. An interval over clips is too narrow."""
    generator = np.random.default_rng(1)
    recordings, each, population = 14, 6, 40.0
    of_clip = np.repeat(np.arange(recordings), each)
    covered = {"recordings": 0, "clips": 0}
    for _ in range(100):
        chance_of = generator.beta(0.8, 1.2, recordings)
        found = generator.random(recordings * each) < np.repeat(chance_of, each)
        scores = DirectionScores(np.where(found, 0, 50), found.astype(float))
        for what, groups in (("recordings", of_clip), ("clips", np.arange(len(of_clip)))):
            low, high = intervals(scores, groups, (1,))["R@1"]
            covered[what] += low <= population <= high
    assert covered["recordings"] >= 89, covered
    assert covered["clips"] < 80, covered


@pytest.mark.parametrize("degrees", [1, 2, 13, 86, 1000])
def test_quantiles_of_students_t_are_those_of_scipy(degrees: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert student_t_quantile(0.975, degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-4)


def test_one_recording_has_no_interval() -> None:
    together = np.zeros(20, int)
    assert intervals(DirectionScores(np.arange(20), np.zeros(20)), together, (1,)) == {}
    assert interval_of_mean(np.zeros((2, 20)), together) is None


def test_the_same_test_set_has_the_same_interval() -> None:
    scores = DirectionScores(np.arange(20), np.zeros(20))
    assert intervals(scores, np.arange(20), (1, 5)) == intervals(scores, np.arange(20), (1, 5))
    certain = intervals(DirectionScores(np.zeros(20, int), np.ones(20)), np.arange(20), (1,))
    assert certain["median rank"] == (1, 1)


@pytest.mark.parametrize("recordings", [2, 14, 100])
def test_a_score_of_0_or_100_percent_is_not_certain(recordings: int) -> None:
    """Every resample is like the test set. The interval is the exact one of SciPy, over recordings."""
    stats = pytest.importorskip("scipy.stats")
    exact = [stats.binomtest(hits, recordings).proportion_ci(method="exact") for hits in (0, recordings)]
    none, every = [(100 * one.low, 100 * one.high) for one in exact]
    groups = np.repeat(np.arange(recordings), 3)
    for rank, precision, expected in ((0, 1.0, every), (50, 0.0, none)):
        scores = DirectionScores(np.full(len(groups), rank), np.full(len(groups), precision))
        found = intervals(scores, groups, (1,))
        assert found["R@1"] == pytest.approx(expected) and found["mAP@10"] == pytest.approx(expected)
        hits = np.full((3, len(groups)), 100.0 * precision)
        assert interval_of_mean(hits, groups) == pytest.approx(expected)


def test_the_interval_of_a_mean_draws_clips_and_seeds() -> None:
    every = np.arange(400)
    # Seeds that agree: the interval is that of one proportion, about 50 +- 4.9 (1.96 * sqrt(0.25 / 400)).
    half = np.where(every % 2 == 0, 100.0, 0.0)
    assert interval_of_mean(np.stack([half, half]), every) == pytest.approx((45.1, 54.9), abs=0.6)
    # One seed that finds everything and one that finds nothing: the seeds are all there is to draw.
    assert interval_of_mean(np.stack([half * 0 + 100, half * 0]), every) == (0.0, 100.0)
