from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from wavcaps_assets.captioning import refining
from wavcaps_assets.captioning.refining import refine_captions
from wavcaps_assets.captioning.rule_counts import as_markdown
from wavcaps_assets.captioning.second_questions import Rejected, SecondAnswer
from wavcaps_assets.rules.settings import RULE_PRESETS, RuleSettings
from wavcaps_assets.tables import LLM_CAPTIONS

PAPER = RULE_PRESETS["paper"]


def table(*captions: str, by_model: bool = True, **columns: Any) -> pa.Table:
    return LLM_CAPTIONS.from_rows(
        {
            "clip_id": f"freesound-{number}",
            "source": "freesound",
            "text": "raw",
            "caption": caption,
            "model": "m" if by_model else "template",
            "prompt_version": "v",
            "answer_id": f"{number:064x}" if by_model else None,
            "attempts": 1,
            **columns,
        }
        for number, caption in enumerate(captions)
    )


def test_each_caption_is_published_repaired_or_dropped_with_its_rule() -> None:
    repaired = ["article", "capital", "full_stop"]
    outcome = refine_captions(
        table("A dog is barking.", "a owl is hooting", "A dog can be heard. [1]"), PAPER
    )
    stage = outcome.stage
    assert [
        (row["clip_id"], row["caption"], row["repairs"], row["verdict"], row["first_caption"])
        for row in stage.kept.to_pylist()
    ] == [
        ("freesound-0", "A dog is barking.", [], "accept", None),
        (
            "freesound-1",
            "An owl is hooting.",
            ["article", "capital", "full_stop"],
            "repair",
            "a owl is hooting",
        ),
    ]
    assert [one["rule"] for one in stage.kept["findings"][1].as_py()] == repaired
    (dropped,) = stage.dropped.to_pylist()
    assert (dropped["clip_id"], dropped["reason"]) == ("freesound-2", "several_sentences")
    assert "banned_words (heard)" in dropped["detail"] and "bracketed_number ([1])" in dropped["detail"]


def test_no_captions() -> None:
    outcome = refine_captions(LLM_CAPTIONS.empty(), PAPER)
    assert (outcome.stage.kept.num_rows, outcome.stage.dropped.num_rows) == (0, 0)
    assert as_markdown(outcome.by_rule) == "*no rule complained*"


class Model:
    """Answers second questions from a list for each turn."""

    def __init__(self, *turns: Sequence[str | None]) -> None:
        self.turns = turns
        self.had: list[list[Rejected]] = []

    def __call__(self, rejected: Sequence[Rejected], turn: int) -> list[SecondAnswer]:
        self.had.append(list(rejected))
        return [
            SecondAnswer(None, None, "no line has index 1")
            if said is None
            else SecondAnswer(said, f"key{turn}")
            for said in self.turns[turn]
        ]


def test_a_second_answer_is_judged_as_the_first_was() -> None:
    model = Model(["A dog is barking.", "A dog is heard.", "Failure.", None])
    heard = [f"A {animal} is heard." for animal in ("dog", "cat", "cow", "pig")]
    captions = table(*heard, "A hen is clucking.")
    outcome = refine_captions(captions, PAPER, model)
    (rejected,) = model.had
    assert [one.caption for one in rejected] == heard
    assert {finding.rule for one in rejected for finding in one.findings} == {"banned_words"}
    first, untouched = outcome.stage.kept.to_pylist()
    assert (
        first["caption"],
        first["first_caption"],
        first["verdict"],
        first["second_answer_id"],
    ) == (
        "A dog is barking.",
        "A dog is heard.",
        "ask_again",
        "key0",
    )
    assert first["findings"] == [
        {"judgement": 0, "rule": "banned_words", "verdict": "ask_again", "detail": "heard"}
    ]
    assert (untouched["verdict"], untouched["second_answer_id"]) == ("accept", None)
    reasons = {row["clip_id"]: row["reason"] for row in outcome.stage.dropped.to_pylist()}
    assert reasons == {"freesound-1": "banned_words", "freesound-2": "failure", "freesound-3": "banned_words"}
    assert "no line has index 1" in outcome.stage.dropped["detail"][2].as_py()
    assert outcome.asked_again == 4
    (count,) = outcome.by_rule
    assert (count.rule, count.rewritten, count.dropped) == ("banned_words", 1, 3)


def test_questions_are_bounded_and_say_what_is_wrong_now() -> None:
    twice = PAPER.model_copy(update={"second_questions": 2})
    model = Model(["A dog barks 3 times."], ["A dog is barking."])
    outcome = refine_captions(table("A dog is heard."), twice, model)
    assert [[finding.rule for one in had for finding in one.findings] for had in model.had] == [
        ["banned_words"],
        ["digits"],
    ]
    (row,) = outcome.stage.kept.to_pylist()
    assert [(one["judgement"], one["rule"]) for one in row["findings"]] == [
        (0, "banned_words"),
        (1, "digits"),
    ]
    assert row["second_answer_id"] == "key1"
    once = Model(["A dog barks 3 times."])
    (dropped,) = refine_captions(table("A dog is heard."), PAPER, once).stage.dropped.to_pylist()
    assert (dropped["reason"], len(once.had)) == ("digits", 1)
    assert "asked because of banned_words (heard)" in dropped["detail"]


def test_what_no_model_wrote_is_never_asked_about() -> None:
    model = Model()
    outcome = refine_captions(table("A dog is heard.", by_model=False), PAPER, model)
    assert (model.had, outcome.stage.dropped.num_rows) == ([], 1)
    none = PAPER.model_copy(update={"second_questions": 0})
    assert refine_captions(table("A dog is heard."), none, model).asked_again == 0


def test_a_noted_complaint_does_not_keep_a_caption_back() -> None:
    noted = RuleSettings(verdicts={"banned_words": "accept"})
    outcome = refine_captions(table("A dog is heard."), noted, Model())
    (row,) = outcome.stage.kept.to_pylist()
    assert (row["verdict"], [one["verdict"] for one in row["findings"]]) == ("accept", ["accept"])
    assert [count.accepted for count in outcome.by_rule] == [1]


def test_an_echo_of_the_prompt_is_found_by_the_prompt_that_was_sent() -> None:
    shown = {"v": ("A kettle whistles on a stove.",)}
    leaked, earned = "A kettle whistles on a stove.", "A dog is barking."
    outcome = refine_captions(table(leaked, earned), PAPER, None, shown)
    assert outcome.stage.dropped["reason"].to_pylist() == ["echo"]


def test_a_second_answer_is_held_to_the_second_prompt_too() -> None:
    shown = {"v": ("A kettle whistles on a stove.",), "w": ("A cow is mooing in a stable.",)}

    def ask(rejected: Sequence[Rejected], turn: int) -> list[SecondAnswer]:
        said = (
            "A kettle whistles on a stove.",
            "A cow is mooing in a stable.",
            "A hen is clucking in a yard.",
        )
        return [SecondAnswer(caption, "key", "", "m", "w") for caption in said]

    heard = (f"A {animal} is heard." for animal in ("dog", "cat", "hen"))
    stage = refine_captions(table(*heard), PAPER, ask, shown).stage
    assert stage.dropped["reason"].to_pylist() == ["echo", "echo"]
    assert stage.kept["caption"].to_pylist() == ["A hen is clucking in a yard."]


def test_the_table_of_rules_is_harmless_markdown() -> None:
    hostile = "A <img src=x> | `dog` is [barking](http://example.com)."
    lines = as_markdown(refine_captions(table(hostile), PAPER).by_rule).splitlines()
    assert len(lines) >= 3
    assert all("<img" not in line and "[barking](" not in line for line in lines)


def test_words_of_time_are_compared_with_the_labels() -> None:
    events = [
        {"onset_s": 0.0, "offset_s": 2.0, "label": "Bark"},
        {"onset_s": 3.0, "offset_s": 5.0, "label": "Cough"},
    ]
    asked: list[Rejected] = []

    def ask(rejected: Sequence[Rejected], turn: int) -> list[SecondAnswer]:
        asked.extend(rejected)
        return [SecondAnswer("A dog barks, then someone coughs.", "a" * 64) for _ in rejected]

    captions = table("Someone coughs, then a dog barks.", events=events)
    in_order = RuleSettings(enabled=("event_order",), verdicts={"event_order": "ask_again"})
    (row,) = refine_captions(captions, in_order, ask).stage.kept.to_pylist()
    assert row["caption"] == "A dog barks, then someone coughs."
    (complaint,) = asked[0].findings
    assert "Cough (3.0 to 5.0 s), Bark (0.0 to 2.0 s)" in complaint.detail
    # Tables of older versions have no events.
    (row,) = refine_captions(table("Someone coughs, then a dog barks."), in_order).stage.kept.to_pylist()
    assert row["findings"] == []


def test_captions_read_in_small_parts_give_the_same_tables_and_examples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faulty = ["A dog is heard.", "A dog barks 3 times.", "A dog is heard. [1]"]
    captions = table(*faulty, "a owl is hooting", *faulty, "A dog is barking.")
    twice = PAPER.model_copy(update={"second_questions": 2})

    def ask(rejected: Sequence[Rejected], turn: int) -> list[SecondAnswer]:
        answers = ["A dog is barking loudly.", "A dog is heard.", None]
        texts = [answers[(number + turn) % len(answers)] for number in range(len(rejected))]
        return [SecondAnswer(text, text and f"key{turn}", "" if text else "none") for text in texts]

    whole = refine_captions(captions, twice, ask)
    monkeypatch.setattr(refining, "ROWS", 3)
    assert refine_captions(captions, twice, ask) == whole
    reached = {row["clip_id"] for rows in (whole.stage.kept, whole.stage.dropped) for row in rows.to_pylist()}
    assert len(reached) == len(captions) and whole.asked_again > len(faulty)
