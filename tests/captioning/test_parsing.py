from __future__ import annotations

import pytest

from wavcaps_assets.captioning.parsing import (
    parse,
    parse_numbered,
    parse_single,
    parse_structured,
)
from wavcaps_assets.captioning.prompts import Form, load_prompt
from wavcaps_assets.llm.records import Answer
from wavcaps_assets.rules.refusals import is_failure

DOG, CAT = "A dog is barking.", "A cat is meowing."


@pytest.mark.parametrize(
    "answer",
    [
        f"1. {DOG}\n2. {CAT}",
        f"2. {CAT}\n1. {DOG}",
        f"1) {DOG}\n2) {CAT}",
        f"1: {DOG}\n\n2: {CAT}",
        f"- 1. {DOG}\n- 2. {CAT}",
        f"**1.** {DOG}\n**2.** {CAT}",
        f"Sure! Here are the captions:\n1. {DOG}\n2. {CAT}\n\nI hope this helps!",
        f"\r\n 1. {DOG}\r\n 2. {CAT}\r\n",
        f"1 {DOG}\n2 {CAT}",
        f"(1) {DOG}\n(2) {CAT}",
        f"**1. {DOG}**\n**2. {CAT}**",
        f"### 1. {DOG}\n### 2. {CAT}",
        f"```text\n1. {DOG}\n2. {CAT}\n```",
    ],
)
def test_lists_that_are_understood(answer: str) -> None:
    assert [parsed.caption for parsed in parse_numbered(answer, 2)] == [DOG, CAT]


@pytest.mark.parametrize(
    ("answer", "captions", "problem"),
    [
        (f"1. {DOG}", [None, None], "no line has index 2"),
        (f"1. {DOG}\n2. {CAT}\n2. {DOG}", [None, None], "2 lines have index 2"),
        (f"1. {DOG}\n2. {CAT}\nIt sounds happy.", [DOG, None], "index 2 has several lines"),
        (f"1. {DOG}\n2.", [DOG, None], "nothing follows index 2"),
        (f"0. {DOG}\n1. {CAT}", [None, None], "the list of 1 to 2 contains index 0"),
        (f"1. {DOG}\n2. {CAT}\n3. {DOG}", [None, None], "the list of 1 to 2 contains index 3"),
        ("", [None, None], "no line has index 1"),
        (f"{DOG} {CAT}", [None, None], "no line has index 1"),
        (f"1. {DOG} 2. {CAT}", [None, None], "no line has index 2"),
    ],
)
def test_what_does_not_match_is_not_believed(answer: str, captions: list[str | None], problem: str) -> None:
    parsed = parse_numbered(answer, 2)
    assert [one.caption for one in parsed] == captions
    assert parsed[-1].problem == problem


@pytest.mark.parametrize(
    "answer", ["Failure.", "failure", ' "Failure." ', "**Failure.**", "Failure. No sound."]
)
def test_failure_is_understood(answer: str) -> None:
    assert is_failure(answer)


@pytest.mark.parametrize("answer", ["An engine failure is rattling.", "Failures are beeping.", DOG])
def test_captions_are_no_failure(answer: str) -> None:
    assert not is_failure(answer)


def test_a_single_answer_is_its_first_line() -> None:
    assert parse_single(f"\n {DOG} \nNote: this is a caption.").caption == DOG
    assert parse_single(" \n").problem == "the answer is empty"


def test_an_answer_that_is_one_refusal_says_so() -> None:
    prompt = load_prompt("paper", "freesound", Form.NUMBERED_LIST)
    refused = parse(Answer("This content violates our usage policies.", "stop"), ["dog", "cat"], prompt)
    assert [one.problem for one in refused] == [
        "the model refuses: 'This content violates our usage policies.'"
    ] * 2
    listed = parse(
        Answer(f"Sorry for the delay!\n1. {DOG}\n2. I can't help with that.", "stop"), ["dog", "cat"], prompt
    )
    assert [one.caption for one in listed] == [DOG, None]


def test_of_a_list_that_is_cut_off_the_whole_lines_count() -> None:
    cut = parse_numbered(f"1. {DOG}\n2. {CAT}\n3. A cow is", 4, cut_off=True)
    assert [parsed.caption for parsed in cut] == [DOG, CAT, None, None]
    assert cut[-1].problem == "the answer is cut off before index 4"
    gap = parse_numbered(f"1. {DOG}\n3. {CAT}\n4. A cow is", 4, cut_off=True)
    assert [parsed.caption for parsed in gap] == [None] * 4


def test_a_structured_answer_is_matched_by_its_index() -> None:
    backwards = f'{{"captions": [{{"index": 2, "caption": "{CAT}"}}, {{"index": 1, "caption": "{DOG}"}}]}}'
    for answer in (backwards, f"```json\n{backwards}\n```", f"Here it is: {backwards}"):
        assert [parsed.caption for parsed in parse_structured(answer, 2)] == [DOG, CAT]
    assert [parsed.caption for parsed in parse_structured(backwards, 3)] == [None] * 3
    assert [parsed.caption for parsed in parse_structured(backwards[:-2], 2)] == [None] * 2
