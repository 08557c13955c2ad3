"""The measures against the figures of the original tools, and against cases computed by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.paths import ORACLES
from wavcaps_assets.caption_metrics.bleu import bleu
from wavcaps_assets.caption_metrics.cider import cider_d
from wavcaps_assets.caption_metrics.meteor import meteor
from wavcaps_assets.caption_metrics.rouge import rouge_l
from wavcaps_assets.caption_metrics.scores import score
from wavcaps_assets.caption_metrics.stems import stem
from wavcaps_assets.caption_metrics.tokens import tokens


@pytest.fixture(scope="module")
def oracle() -> dict[str, Any]:
    """Figures of pycocoevalcap and aac-metrics on ten captions with five references each."""
    return dict(json.loads((ORACLES / "captioning_metrics.json").read_text()))


def test_tokens_are_those_of_the_original_tokenizer(oracle: dict[str, Any]) -> None:
    assert [" ".join(tokens(text)) for text in oracle["candidates"]] == oracle["tok_candidates"]
    ours = [[" ".join(tokens(text)) for text in those] for those in oracle["references"]]
    assert ours == oracle["tok_references"]
    probes = {text: wanted for text, _, wanted in oracle["extra"]}
    assert {text: " ".join(tokens(text)) for text in probes} == probes


@pytest.mark.slow
def test_figures_are_those_of_the_original_tools(oracle: dict[str, Any]) -> None:
    scores = score(oracle["candidates"], oracle["references"])
    theirs = oracle["aac"]
    for name in ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider_d"):
        assert getattr(scores, name) == pytest.approx(theirs[name], abs=1e-9), name


def test_figures_of_each_caption_are_those_of_the_original_tools(oracle: dict[str, Any]) -> None:
    candidates = [tokens(text) for text in oracle["candidates"]]
    references = [[tokens(text) for text in those] for those in oracle["references"]]
    assert cider_d(candidates, references) == pytest.approx(oracle["aac"]["cider_d_per"], abs=1e-9)
    pairs = list(zip(candidates, references, strict=True))
    assert [rouge_l(*pair) for pair in pairs] == pytest.approx(oracle["aac"]["rouge_l_per"], abs=1e-9)
    per_caption = [bleu([one], [those]) for one, those in pairs]
    for order in range(4):
        ours = [scores[order] for scores in per_caption]
        assert ours == pytest.approx(oracle["coco"]["bleu_per"][order], abs=1e-9)


def test_bleu_by_hand() -> None:
    # Two of three words, one of two pairs, and two words short of five.
    scores = bleu([["a", "dog", "sings"]], [[["a", "dog", "barks", "at", "night"]]])
    assert scores[0] == pytest.approx(2 / 3 * 2.718281828459045 ** (1 - 5 / 3))
    assert scores[1] == pytest.approx((2 / 3 * 1 / 2) ** 0.5 * 2.718281828459045 ** (1 - 5 / 3))


@pytest.mark.parametrize(
    ("candidate", "reference", "expected"),
    [
        # One chunk of four words: 1 - 0.5 (1/4)^3.
        ("a dog is barking", "a dog is barking", 1 - 0.5 / 64),
        # Equal by stem only; P = R = 1, one chunk of two.
        ("dog barks", "dog barking", 1 - 0.5 / 8),
        # Both words, in another order: two chunks of two.
        ("barks dog", "dog barks", 0.5),
        # P = 1, R = 1/2: 10 P R / (R + 9 P) = 5 / 9.5, one chunk of two.
        ("a dog", "a dog barks loudly", 5 / 9.5 * (1 - 0.5 / 8)),
        ("rain", "a dog barks", 0.0),
        ("", "a dog barks", 0.0),
        # The second "the" goes with the second: one chunk, where a greedy match breaks in two.
        ("the dog", "the cat and the dog", 10 * 1 * 0.4 / (0.4 + 9) * (1 - 0.5 / 8)),
    ],
)
def test_meteor_by_hand(candidate: str, reference: str, expected: float) -> None:
    assert meteor(candidate.split(), [reference.split()]) == pytest.approx(expected)


def test_meteor_takes_the_best_reference() -> None:
    assert meteor(["rain", "falls"], [["a", "dog"], ["rain", "falls"]]) == pytest.approx(1 - 0.5 / 8)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        # From Porter's paper, a case or two of each step.
        *[("caresses", "caress"), ("ponies", "poni"), ("cats", "cat"), ("feed", "feed"), ("agreed", "agre")],
        *[("plastered", "plaster"), ("bled", "bled"), ("motoring", "motor"), ("sing", "sing")],
        *[
            ("hopping", "hop"),
            ("falling", "fall"),
            ("hissing", "hiss"),
            ("filing", "file"),
            ("happy", "happi"),
        ],
        *[("relational", "relat"), ("conditional", "condit"), ("triplicate", "triplic")],
        *[("electrical", "electr"), ("adjustment", "adjust"), ("adoption", "adopt"), ("rate", "rate")],
        *[("cease", "ceas"), ("controll", "control"), ("roll", "roll"), ("sky", "sky"), ("is", "is")],
    ],
)
def test_stems_are_porter_s(word: str, expected: str) -> None:
    assert stem(word) == expected


def test_a_missing_caption_counts_as_an_empty_one() -> None:
    references = [["A dog is barking."], ["Rain falls."]]
    whole, half = (
        score(["A dog is barking.", "Rain falls."], references),
        score(["A dog is barking.", None], references),
    )
    assert whole.rouge_l == 1.0
    assert half.rouge_l == pytest.approx(0.5)
    assert half.meteor < whole.meteor and half.bleu_1 < whole.bleu_1


def test_nothing_to_compare_is_said() -> None:
    with pytest.raises(ValueError, match="no captions"):
        score([], [])
    with pytest.raises(ValueError, match="2 captions"):
        score(["a", "b"], [["a"]])
    with pytest.raises(ValueError, match="at least one reference"):
        score(["a"], [[]])
