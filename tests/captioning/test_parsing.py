from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.paths import SHARED
from wavcaps_assets.captioning.alignment import content_stems
from wavcaps_assets.captioning.parsing import (
    parse,
    parse_numbered,
    parse_single,
    parse_structured,
)
from wavcaps_assets.captioning.prompts import Form, load_prompt
from wavcaps_assets.llm.records import Answer
from wavcaps_assets.llm.replies import NoCompletion, read_completion
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
        f"1. {DOG}\n2. {CAT}\nIt sounds happy.",
        f"Index 1: {DOG}\nIndex 2: {CAT}",
        f"1.\n{DOG}\n2.\n{CAT}",
        f"**1.**\n\n{DOG}\n\n**2.**\n\n{CAT}",
        f"1 - {DOG}\n2 - {CAT}",
        f"\uff11\uff0e{DOG}\n\uff12\uff0e{CAT}",
        f"| Index | Caption |\n|---|---|\n| 1 | {DOG} |\n| 2 | {CAT} |",
        f"| 1 | a dog, loud | {DOG} |\n| 2 | cat | {CAT} |",
        f'{{"1": "{DOG}", "2": "{CAT}"}}',
        f'Here it is:\n```json\n[{{"index": 1, "caption": "{DOG}"}}, {{"id": "2", "text": "{CAT}"}}]\n```',
        f'{{"index": 1, "caption": "{DOG}"}}\n{{"index": 2, "caption": "{CAT}"}}',
        f'{{"captions": {{"1": {{"caption": "{DOG}"}}, "2": {{"caption": "{CAT}"}}}}}}',
        f"1. {DOG}\n2. {CAT}\n\n3 captions were not needed.",
    ],
)
def test_lists_that_are_understood(answer: str) -> None:
    assert [parsed.caption for parsed in parse_numbered(answer, 2)] == [DOG, CAT]


@pytest.mark.parametrize(
    ("answer", "captions", "problem"),
    [
        (f"1. {DOG}", [None, None], "no line has index 2"),
        (f"1. {DOG}\n2. {CAT}\n2. {DOG}", [None, None], "2 lines have index 2"),
        (f"1. {DOG}\n2. A cat\nis meowing.", [DOG, None], "index 2 has several lines"),
        (f"1. {DOG}\n2. A cat is", [DOG, None], "index 2 is cut off"),
        (f'["{DOG}", "{CAT}"]', [None, None], "no line has index 1"),
        ("[" * 100_000, [None, None], "no line has index 1"),
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


LIST = f"1. {DOG}\n2. {CAT}"


@pytest.mark.parametrize(
    "answer",
    [
        f"① {DOG}\n② {CAT}",
        f"⒈{DOG}\n⒉{CAT}",
        f"1\ufe0f\u20e3 {DOG}\n2\ufe0f\u20e3 {CAT}",
        f"<think>\n1. dog\n2. cat\n</think>\n{LIST}",
        f"1. dog and so on</think>\n\n{LIST}",
        f"<|channel|>analysis<|message|>1. dog<|end|><|channel|>final<|message|>{LIST}<|return|>",
        f"<|im_start|>assistant\n{LIST}<|im_end|>\n<|im_start|>user\n3. More, please.",
        f"{LIST}</s>",
        f"{LIST}<|eot_id|>I hope this helps.",
        f"1. {DOG}<|im_end|>\n2. {CAT}<end_of_turn>",
    ],
)
def test_what_is_not_the_answer_is_left_out(answer: str) -> None:
    prompt = load_prompt("paper", "freesound", Form.NUMBERED_LIST)
    assert [one.caption for one in parse(Answer(answer, "stop"), ["dog", "cat"], prompt)] == [DOG, CAT]


def test_reasoning_that_does_not_end_is_no_answer() -> None:
    prompt = load_prompt("paper", "freesound", Form.NUMBERED_LIST)
    (parsed,) = parse(Answer(f"<think>\n1. {DOG}", "length"), ["dog"], prompt)
    assert (parsed.caption, parsed.problem) == (None, "the answer is reasoning only")


@pytest.mark.parametrize("answer", [f"1. {DOG}", DOG, f"Here is the caption:\n\n{DOG}", f'{{"1": "{DOG}"}}'])
def test_a_list_of_one_text_may_have_no_index(answer: str) -> None:
    prompt = load_prompt("paper", "freesound", Form.NUMBERED_LIST)
    assert [one.caption for one in parse(Answer(answer, "stop"), ["dog"], prompt)] == [DOG]


CASES = sorted((SHARED / "cases" / "answers").glob("*.json"))


@pytest.mark.skipif(not CASES, reason="needs the answers of ../shared/cases/answers")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_answers_of_real_models_faults(case: Path) -> None:
    given = json.loads(case.read_text("utf-8"))
    prompt = load_prompt("paper", "freesound", Form.NUMBERED_LIST)
    if "message" in given:
        message = given["message"]
        choice = {"message": message, "finish_reason": given["finish_reason"]}
        body = message if "error" in message else {"choices": [choice]}
        # What is no answer is not read, and the request is sent again.
        assert given["right"] == "ask again"
        with pytest.raises(NoCompletion):
            read_completion(json.dumps(body).encode(), 1.0)
        return
    found = parse(Answer(given["answer"], given["finish_reason"]), given["texts"], prompt)
    right = {} if given["right"] == "ask again" else given["right"]
    first, _, last = next((key for key, value in right.items() if value == "as listed"), "0-0").partition("-")
    expected = set(range(int(first), int(last) + 1)) - {0}
    kept = {index: one.caption for index, one in enumerate(found, 1) if one.caption is not None}
    assert set(kept) == expected
    for index, caption in kept.items():
        # The captions of these cases share a word with their own texts only.
        assert content_stems(caption) & content_stems(given["texts"][index - 1])
