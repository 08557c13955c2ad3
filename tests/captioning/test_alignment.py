"""Whether captions are under their own texts: small lists, and simulated shifts of real ones."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator

import pytest

from tests.support.paths import DATA
from wavcaps_assets.captioning.alignment import align, content_stems
from wavcaps_assets.captioning.parsing import parse
from wavcaps_assets.captioning.prompts import Form, load_prompt
from wavcaps_assets.captioning.requests import request_of
from wavcaps_assets.captioning.settings import CaptioningSettings
from wavcaps_assets.llm.records import Answer

TEXTS = [
    "dog in a yard",
    "church bell, noon",
    "rain on a roof",
    "car engine",
    "children laughing",
    "door creak",
]
CAPTIONS = [
    "A dog is barking.",
    "A bell is ringing.",
    "Rain is falling on a roof.",
    "An engine is starting.",
    "Children are laughing.",
    "A door is creaking.",
]
RELEASED = DATA / "wavcaps" / "sb_final.json"
CLOTHO = DATA / "clotho" / "test.csv"
SIZE = 20


def test_words_that_say_nothing_are_left_out_and_others_are_cut_to_their_start() -> None:
    assert content_stems("The sound of croaking frogs, recorded in 2019") == {"croa", "frog"}


def test_a_list_in_its_order_is_left_alone() -> None:
    found = align(TEXTS, CAPTIONS)
    assert (found.problem, found.astray, found.grounded) == ("", frozenset(), frozenset(range(6)))


@pytest.mark.parametrize(
    "captions",
    [
        [*CAPTIONS[1:], CAPTIONS[0]],
        [CAPTIONS[-1], *CAPTIONS[:-1]],
        [*CAPTIONS[:3], "A car is near.", *CAPTIONS[3:5]],
        [
            *CAPTIONS[:2],
            f"{CAPTIONS[2][:-1]} and an engine is starting.",
            *CAPTIONS[4:],
            "A door is closing.",
        ],
        CAPTIONS[::-1],
        [
            "Visit our shop.",
            "Buy more here.",
            "Visit our shop.",
            "Download it.",
            "Buy more here.",
            "Visit us.",
        ],
    ],
    ids=["forwards", "backwards", "split", "merged", "reversed", "adverts"],
)
def test_a_list_out_of_its_order_is_not_believed(captions: list[str]) -> None:
    assert align(TEXTS, captions).problem


def test_an_advert_that_shares_a_word_with_some_texts_is_no_caption() -> None:
    texts = [f"{text}, great for games" if place % 2 else text for place, text in enumerate(TEXTS)]
    assert align(texts, ["Visit our shop for great audio."] * 6).problem
    # Clips of one kind have one caption.
    assert not align([f"dog barking {text}" for text in TEXTS], ["A dog is barking."] * 5 + [None]).problem


def test_two_that_changed_places_are_named() -> None:
    swapped = [CAPTIONS[3], *CAPTIONS[1:3], CAPTIONS[0], *CAPTIONS[4:]]
    assert align(TEXTS, swapped).astray == {0, 3}


def test_captions_without_a_word_of_any_text_are_no_sign_of_a_shift() -> None:
    assert align(TEXTS, ["A hound is howling.", *CAPTIONS[1:]]).astray == frozenset()
    assert not align(TEXTS, [None, *CAPTIONS[1:4], None, None]).problem


def test_a_list_with_gaps_is_used_where_the_words_confirm_it() -> None:
    prompt = load_prompt("paper", "freesound", Form.NUMBERED_LIST)
    said = [*CAPTIONS[:4], "Kids are giggling.", CAPTIONS[5]]
    answer = "\n".join(f"{index}. {caption}" for index, caption in enumerate(said, 1) if index != 3)
    found = parse(Answer(answer, "stop"), TEXTS, prompt)
    assert [one.caption is not None for one in found] == [True, True, False, True, False, True]


def real_lists() -> Iterator[list[tuple[str, str]]]:
    """Texts with captions of the released set (by ChatGPT), and of Clotho (two people on one clip)."""
    rows = json.loads(RELEASED.read_text("utf-8"))["data"]
    # The first half of the released captions was read to choose the thresholds.
    pairs = [(row["description"], row["caption"]) for row in rows[len(rows) // 2 :]]
    with CLOTHO.open(encoding="utf-8", newline="") as file:
        people = [(row["caption_1"], row["caption_2"]) for row in csv.DictReader(file)]
    for held_back in (pairs, people):
        yield from (held_back[at : at + SIZE] for at in range(0, len(held_back) - SIZE + 1, SIZE))


@pytest.mark.skipif(
    not (RELEASED.is_file() and CLOTHO.is_file()),
    reason="needs ../shared/data/wavcaps and ../shared/data/clotho",
)
def test_every_shift_of_real_lists_is_noticed_and_hardly_any_list_in_order_is() -> None:
    chance = random.Random(1)
    alarms = []
    for pairs in real_lists():
        texts, captions = map(list, zip(*pairs, strict=True))
        by = chance.choice((1, -1, 2))
        assert align(texts, captions[by:] + captions[:by]).problem
        assert align(texts, captions[::-1]).problem
        alarms.append(bool(align(texts, captions).problem))
    # 22 lists by ChatGPT, 52 by people.
    assert sum(alarms[:22]) == 0
    assert sum(alarms[22:]) <= 0.1 * len(alarms[22:])


@pytest.mark.parametrize("form", [Form.NUMBERED_LIST, Form.STRUCTURED])
def test_a_model_that_repeats_the_beginnings_of_texts_shows_its_place(form: Form) -> None:
    prompt = load_prompt("paper", "freesound", form, echo=True)
    said = [
        "dog in a yard",
        "church bell noon",
        "church bell noon",
        "car engine",
        "children laughing",
        "the door",
    ]
    entries = list(zip(range(1, 7), said, CAPTIONS, strict=True))
    if form is Form.STRUCTURED:
        items = [{"index": index, "text": text, "caption": caption} for index, text, caption in entries]
        answer = json.dumps({"captions": items})
        assert '"text": "Thunder rolling in over"' in prompt.messages(TEXTS)[2]["content"]
    else:
        answer = "\n".join(f"{index}. {text} | {caption}" for index, text, caption in entries)
        assert prompt.messages(TEXTS)[2]["content"].startswith("1. Thunder rolling in over | Thunder rolls")
    found = parse(Answer(answer, "stop"), TEXTS, prompt)
    assert [one.caption for one in found] == [*CAPTIONS[:2], None, *CAPTIONS[3:5], None]
    assert found[2].problem == "the answer repeats 'church bell noon', which is not the beginning of the text"


def test_without_the_setting_no_request_changes() -> None:
    settings = CaptioningSettings(echo=True)
    prompt = load_prompt("paper", "freesound", settings.form, settings.echo)
    plain = load_prompt("paper", "freesound", settings.form)
    assert not CaptioningSettings().echo
    assert prompt.version != plain.version
    assert prompt.instruction == plain.instruction
    echoing = request_of(prompt, settings, "m", TEXTS)
    assert (
        echoing.parameters["max_tokens"]
        > request_of(plain, CaptioningSettings(), "m", TEXTS).parameters["max_tokens"]
    )
    # A single text is not repeated.
    assert load_prompt("paper", "freesound", Form.SINGLE, echo=True) == load_prompt(
        "paper", "freesound", Form.SINGLE
    )


def test_texts_that_are_nearly_the_same_may_have_the_same_caption() -> None:
    prompt = load_prompt("paper", "freesound", Form.NUMBERED_LIST)
    for size in (2, 3, SIZE):
        texts = [f"Door creaks, take {take}" for take in range(size)]
        answer = "\n".join(f"{index}. A door is creaking." for index in range(1, size + 1))
        assert [one.caption for one in parse(Answer(answer, "stop"), texts, prompt)] == [
            "A door is creaking."
        ] * size
        advert = answer.replace("A door is creaking.", "Visit our shop for great audio.")
        assert not any(one.caption for one in parse(Answer(advert, "stop"), texts, prompt))


def test_a_caption_that_a_model_repeats_from_some_place_on_is_asked_for_again() -> None:
    """As SmolLM2 answered a list of 20 of the BBC's texts: six captions, and one for all others."""
    texts = [*TEXTS, "harbour", "public bar", "stream", "steam whistle", "conveyor belt", "rock falls"]
    found = align(texts, [*CAPTIONS, *["A crowd is murmuring."] * 6])
    assert (found.problem, found.astray) == ("", frozenset(range(6, 12)))
    fitting = align(texts[:6] + ["crowd"] * 6, [*CAPTIONS, *["A crowd is murmuring."] * 6])
    assert not fitting.astray
