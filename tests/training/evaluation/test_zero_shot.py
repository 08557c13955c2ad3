"""Zero-shot classification: cases that were computed by hand, ties, and intervals over recordings."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from tests.support.paths import DATA
from wavcaps_assets.benchmark_sets.classes import classes_named
from wavcaps_assets.show.matrices import confusion_figure
from wavcaps_assets.show.plots import as_svg
from wavcaps_training.evaluation.prompts import protocols_for
from wavcaps_training.evaluation.ranking import BrokenEmbeddings
from wavcaps_training.evaluation.zero_shot import (
    Answers,
    Confusion,
    accuracies,
    answers_of,
    confusion_matrix,
    most_confused,
)
from wavcaps_training.models.text import clean_caption
from wavcaps_training.settings.training import PAPER, PRETRAINED_DEMO, RELEASED, Padding

CLASSES = ("cat", "cow", "dog")
IDS = [f"clip-{number}" for number in range(6)]
# Of the classes 0, 0, 1, 1, 1, 2; answered 0, 2, 1, 1, 0, 2.
SIMILAR = np.array([[3, 1, 2], [1, 0, 2], [0, 5, 4], [0, 1, -1], [9, 8, 7], [0.1, 0.2, 0.3]])
TRUTH = np.array([0, 0, 1, 1, 1, 2])


def answers(similar: np.ndarray = SIMILAR, truth: np.ndarray = TRUTH) -> Answers:
    return answers_of(similar, np.eye(3), truth, IDS, CLASSES)


def test_answers_confusions_and_accuracies_by_hand() -> None:
    found = answers()
    assert found.answered.tolist() == [0, 2, 1, 1, 0, 2]
    matrix = confusion_matrix(found, 3)
    assert matrix.tolist() == [[1, 0, 1], [1, 2, 0], [0, 0, 1]]
    assert most_confused(matrix, 5) == [Confusion(0, 2, 1, 0.5), Confusion(1, 0, 1, 1 / 3)]
    assert most_confused(matrix, 1) == [Confusion(0, 2, 1, 0.5)]
    # Folds 1 and 2 have 4 of 5 and 0 of 1.
    rows = list(accuracies(found, [1, 1, 1, 1, 2, 1], np.array(IDS), CLASSES))
    assert [(row.scope, row.group, row.metric, row.value, row.clips) for row in rows] == [
        ("overall", "", "accuracy", pytest.approx(100 * 4 / 6), 6),
        ("overall", "", "mean of folds", pytest.approx(40.0), 6),
        ("fold", "1", "accuracy", pytest.approx(80.0), 5),
        ("fold", "2", "accuracy", 0.0, 1),
        ("class", "cat", "accuracy", 50.0, 2),
        ("class", "cow", "accuracy", pytest.approx(100 * 2 / 3), 3),
        ("class", "dog", "accuracy", 100.0, 1),
    ]
    assert rows[-1].interval is None


def test_ties_count_against_the_model_in_any_order_of_the_classes() -> None:
    nothing = np.zeros((6, 3))
    found = answers(nothing)
    assert (found.correct.sum(), found.ties) == (0, 6)
    # The own class ties with the one before it, and with the one after it.
    one = answers(np.array([[1.0, 1, 0], [1, 1, 0]]), np.array([0, 1]))
    assert (one.answered.tolist(), one.ties) == ([1, 0], 2)
    # Rounding decides nothing: a text encoder with equal vectors for all classes scores 0, not chance.
    generator = np.random.default_rng(0)
    same = np.full((500, 3), 0.5, np.float32) + 1e-7 * generator.standard_normal((500, 3), np.float32)
    rounded = answers_of(same, np.eye(3, dtype=np.float32), np.arange(500) % 3, ["clip"] * 500, CLASSES)
    assert (rounded.correct.sum(), rounded.ties) == (0, 500)
    # Two other classes tie: no matter.
    other = answers(np.array([[2.0, 1, 1], [0, 1, 1]]), np.array([0, 0]))
    assert (other.answered.tolist(), other.ties) == ([0, 1], 0)


def test_the_order_of_clips_and_classes_does_not_matter() -> None:
    generator = np.random.default_rng(3)
    sounds, names = generator.normal(size=(5000, 8)), generator.normal(size=(7, 8))
    truth = generator.integers(0, 7, 5000)
    classes, ids = [f"class {number}" for number in range(7)], [str(number) for number in range(5000)]
    found = answers_of(sounds, names, truth, ids, classes)
    assert found.answered.tolist() == (sounds @ names.T).argmax(axis=1).tolist()
    order, renamed = generator.permutation(5000), generator.permutation(7)
    other = answers_of(sounds[order], names[renamed], np.argsort(renamed)[truth[order]], ids, classes)
    assert other.correct.tolist() == found.correct[order].tolist()


def test_broken_embeddings_name_their_clip_or_class() -> None:
    broken = SIMILAR.copy()
    broken[4, 1] = np.nan
    with pytest.raises(BrokenEmbeddings, match=r"1 of 6 clips are not finite: clip-4\."):
        answers(broken)
    names = np.eye(3)
    names[2, 0] = np.inf
    with pytest.raises(BrokenEmbeddings, match="class names are not finite: dog"):
        answers_of(SIMILAR, names, TRUTH, IDS, CLASSES)


def test_clips_without_folds_have_no_mean_of_folds() -> None:
    rows = list(accuracies(answers(), [None] * 6, np.array(IDS), CLASSES))
    assert {row.scope for row in rows} == {"overall", "class"}
    assert {row.metric for row in rows} == {"accuracy"}


def test_intervals_are_over_recordings() -> None:
    """40 recordings of 10 clips each, which are right or wrong together: as uncertain as 40 clips."""
    right = np.arange(40) % 4 != 0
    truth = np.zeros(400, np.int64)
    together = Answers(truth, np.where(np.repeat(right, 10), 0, 1), 0)
    one_each = Answers(truth[:40], np.where(right, 0, 1), 0)
    recordings = np.repeat(np.arange(40), 10)
    grouped = next(accuracies(together, [None] * 400, recordings, CLASSES))
    alone = next(accuracies(together, [None] * 400, np.arange(400), CLASSES))
    small = next(accuracies(one_each, [None] * 40, np.arange(40), CLASSES))
    assert (grouped.value, grouped.clips, grouped.recordings) == (75.0, 400, 40)
    assert grouped.interval == small.interval
    widths = [row.interval[1] - row.interval[0] for row in (grouped, alone) if row.interval]
    # The standard error of a share: sqrt(0.75 * 0.25 / n), times 3.92.
    assert widths == pytest.approx([26.8, 8.5], rel=0.15)


def test_the_interval_of_the_mean_of_folds_is_that_of_resampled_folds() -> None:
    """Compared with the plain way: draw clips again, and average the accuracies of the folds."""
    generator = np.random.default_rng(0)
    folds = np.repeat([1, 2, 3], (300, 150, 50))
    hits = generator.random(500) < np.repeat([0.9, 0.6, 0.3], (300, 150, 50))
    found = Answers(np.zeros(500, np.int64), np.where(hits, 0, 1), 0)
    row = next(
        row
        for row in accuracies(found, folds.tolist(), np.arange(500), CLASSES)
        if row.metric == "mean of folds"
    )
    drawn = []
    for _ in range(2000):
        places = generator.integers(0, 500, 500)
        drawn.append(np.mean([100 * hits[places][folds[places] == fold].mean() for fold in (1, 2, 3)]))
    assert row.value == pytest.approx(np.mean([100 * hits[folds == fold].mean() for fold in (1, 2, 3)]))
    assert row.interval == pytest.approx(np.percentile(drawn, (2.5, 97.5)), abs=1)


def test_protocols_are_those_of_paper_and_released_code() -> None:
    texts = {
        (benchmark, protocol.name.value): protocol.texts(["pigeon, dove cooing"])[0]
        for benchmark in ("esc50", "urbansound8k", "vggsound", "a set of your own")
        for protocol in protocols_for(benchmark)
    }
    plain, prompted = "pigeon, dove cooing", "pigeon, dove cooing can be heard"
    assert texts == {
        ("esc50", "paper"): plain,
        ("esc50", "released"): prompted,
        ("esc50", "prompt"): prompted,
        ("urbansound8k", "paper"): plain,
        ("urbansound8k", "released"): plain,
        ("urbansound8k", "prompt"): prompted,
        ("vggsound", "paper"): plain,
        ("vggsound", "released"): prompted,
        ("vggsound", "prompt"): prompted,
        ("a set of your own", "paper"): plain,
        ("a set of your own", "prompt"): prompted,
    }
    # The released code cleans VGGSound's names as it cleans captions, and so does our text encoder.
    assert clean_caption(prompted) == "pigeon dove cooing can be heard"


def test_a_class_name_with_braces_is_text() -> None:
    (_, released, _) = protocols_for("esc50")
    assert released.texts(["{0} {name} {}"]) == ["{0} {name} {} can be heard"]


def test_protocols_read_clips_from_their_start_and_the_released_one_pads_with_zeros() -> None:
    paper, released, _ = protocols_for("urbansound8k")
    assert paper.settings(RELEASED).clip.padding is Padding.BATCH
    assert released.settings(RELEASED).clip.padding is Padding.ZEROS
    assert paper.settings(PAPER).clip == released.settings(PAPER).clip
    assert released.settings(PAPER).clip.evaluation_position == 0
    assert paper.settings(PRETRAINED_DEMO).clip == released.settings(PRETRAINED_DEMO).clip
    assert "without a prompt" in paper.sentence(PAPER)
    (_, prompted, _) = protocols_for("esc50")
    assert "as '<class> can be heard'" in prompted.sentence(PAPER)


@pytest.mark.slow
@pytest.mark.parametrize("count", [10, 50, 309])
def test_figures_of_few_and_many_classes(count: int) -> None:
    generator = np.random.default_rng(count)
    truth = generator.integers(0, count, 20 * count)
    guessed = np.where(generator.random(len(truth)) < 0.6, truth, generator.integers(0, count, len(truth)))
    matrix = confusion_matrix(Answers(truth, guessed, 0), count)
    svg = as_svg(confusion_figure(matrix, [f"class number {number}" for number in range(count)]), "confusion")
    assert svg.count(">class number ") == (2 * count if count <= 60 else 0)
    assert len(svg) < 700_000


def test_names_in_a_figure_are_text() -> None:
    """A name that would be a broken formula, one with markup, and a very long one."""
    names = ["$\\frac{", "<b>dog</b>", "x" * 1000]
    svg = as_svg(confusion_figure(np.eye(3, dtype=np.int64), names), "confusion")
    assert "&lt;b&gt;dog&lt;/b&gt;" in svg
    assert "<b>" not in svg
    assert "x" * 40 not in svg


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "vggsound").exists(), reason="VGGSound's list is not here (shared/data)")
def test_the_real_size_of_vggsound() -> None:
    """Its real test list with answers by a known rule: every tenth clip gets the next class."""
    with (DATA / "vggsound" / "test.csv").open() as file:
        rows = list(csv.reader(file))
    every = {label for _, label in rows}
    # A fifth of it, with all classes: the intervals of all of it take seconds.
    rows = rows[::5]
    assert len(every) == len({label for _, label in rows}) == 309
    classes = classes_named([label for _, label in rows], "test.csv")
    truth = np.array([number or 0 for number in classes.numbers([label for _, label in rows])])
    wrong = np.arange(len(rows)) % 10 == 0
    found = Answers(truth, np.where(wrong, (truth + 1) % 309, truth), 0)
    videos = np.array([file[:11] for file, _ in rows])
    scored = list(accuracies(found, [None] * len(rows), videos, classes.names))
    assert scored[0].value == pytest.approx(100 * (1 - 309 / 3_090))
    assert (scored[0].clips, scored[0].recordings) == (3_090, len({file[:11] for file, _ in rows}))
    assert len(scored) == 1 + 309
    assert sum(row.clips for row in scored[1:]) == 3_090
    assert int(np.trace(confusion_matrix(found, 309))) == 3_090 - 309
    assert json.dumps(classes.names[:1]) == '["air conditioning noise"]'
