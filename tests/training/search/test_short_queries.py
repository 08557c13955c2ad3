"""Short queries: the rule, and scores that were computed by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from wavcaps_assets.tables.columns import FURTHER_CAPTIONS
from wavcaps_training.evaluation.short_queries import queries_of, score_queries, two_words


@pytest.mark.parametrize(
    ("caption", "query"),
    [
        ("A dog barks loudly in the distance.", "dog barks"),
        ("The sound of heavy rain falling on a tin roof", "heavy rain"),
        ("Someone is speaking while 2 cars pass by.", "speaking cars"),
        ("Birds, birds and more birds!", "birds"),
        ("It is.", ""),
        ("", ""),
        ("<b>Thunder</b> & lightning", "thunder lightning"),
    ],
)
def test_two_words_are_the_first_content_words(caption: str, query: str) -> None:
    assert two_words(caption) == query


def clips() -> pa.Table:
    tag = {"text": "dog, wind", "kind": "tags", "model": "m", "prompt_version": "1"}
    later = {"text": "first a dog, then wind", "kind": "temporal", "model": "m", "prompt_version": "1"}
    captions = ["A dog barks in the wind.", "A dog barks.", "It is.", "Loud rain falls."]
    further = pa.array([[tag, later], None, [], None], FURTHER_CAPTIONS)
    return pa.table({"caption": captions, "other_captions": further})


def test_each_kind_has_its_queries_and_says_how_many_fit_another_clip() -> None:
    whole, short, tags = queries_of(clips())
    assert (whole.kind, short.kind, tags.kind) == ("caption", "two_words", "tags")
    assert short.texts == ["dog barks", "dog barks", "loud rain"]
    assert short.clips.tolist() == [0, 1, 3]
    # Both dogs fit each other; all words of the second caption are in the first.
    assert (short.shared, whole.shared, tags.shared) == (2, 1, 0)


def test_scores_are_those_that_were_computed_by_hand() -> None:
    _, short, _ = queries_of(clips())
    sounds = np.eye(4, dtype=np.float32)
    # Of the three queries: the clip is first; it is behind one clip; it ties with another, which counts as
    # behind it.
    texts = np.array([[0.9, 0.1, 0, 0], [0.8, 0.6, 0, 0], [0, 0.7, 0, 0.7]], np.float32)
    rows = {row["metric"]: row for row in score_queries(short, texts, sounds, ["a", "a", "b", "c"])}
    assert rows["R@1"]["value"] == pytest.approx(100 / 3)
    assert rows["R@5"]["value"] == 100
    assert rows["mAP@10"]["value"] == pytest.approx(100 * (1 + 1 / 2 + 1 / 2) / 3)
    assert rows["median rank"]["value"] == 2
    # One of four clips.
    assert rows["R@1"]["chance"] == 25
    assert rows["R@1"]["low"] <= rows["R@1"]["value"] <= rows["R@1"]["high"]
    assert (rows["R@1"]["queries"], rows["R@1"]["clips"], rows["R@1"]["words"]) == (3, 4, 2)
