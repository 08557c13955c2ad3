"""How answers in the ledger are read again, and shown, as the run read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.provenance.test_provenance import PROMPT, TEXTS, fill
from tests.support.rows import manifest_row
from wavcaps_assets.captioning.presets import choose_settings
from wavcaps_assets.captioning.settings import CaptioningChoice
from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.llm.records import Answer, Request
from wavcaps_assets.provenance.trace import trace
from wavcaps_assets.rules.settings import RULE_PRESETS
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import DROPPED, FILTERED_CLIPS, LLM_CAPTIONS, MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage, drop
from wavcaps_training.report.stories import read_stories


@pytest.mark.parametrize(
    ("version", "parameters", "text", "finish_reason", "said"),
    [
        # What the prompt's form, the finish reason and the words themselves forbid to believe.
        (PROMPT.version, {}, "1. A dog is barking.\n2. A pack is", "stop", "A dog is barking."),
        (PROMPT.version, {}, "1. A dog is bar", "length", None),
        (PROMPT.version, {}, "A dog is barking.", "stop", None),
        (PROMPT.version, {}, "1. A dog is barking.\n2. A cat.\n3. A cow.", "stop", None),
        (PROMPT.version, {}, "1. I cannot help with that.\n2. Failure.", "stop", None),
        (PROMPT.version, {}, "1. A dog is barking.\n2. A pack.", "content_filter", None),
        # Of a prompt that is gone, the request still tells the form.
        ("gone", {}, "1. A dog is barking.\n2. A pack is rattling.", "stop", "A dog is barking."),
        ("gone", {}, "A dog is barking.", "stop", None),
        (
            "gone",
            {"response_format": {}},
            '{"captions": [{"index": 1, "caption": "A dog."}, {"index": 2, "caption": "B."}]}',
            "stop",
            "A dog.",
        ),
        ("gone", {"response_format": {}}, "1. A dog is barking.\n2. A pack is rattling.", "stop", None),
    ],
)
def test_an_answer_is_read_as_the_run_read_it(
    version: str, parameters: dict[str, Any], text: str, finish_reason: str, said: str | None, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    fill(store)
    asked = Request(version, "a-third-model", parameters, list(TEXTS.values()), 7)
    with ResponseLedger(store, ANSWERS) as ledger:
        ledger.record(asked, Answer(text, finish_reason), "freesound")
        found = trace(TableStore(store), ledger, "freesound-1")
    (attempt,) = (one for one in found.attempts if one.key == asked.key)
    assert attempt.caption == said
    assert (attempt.verdict == "unreadable") == (said is None)
    assert attempt.complaint or said


def test_a_text_that_was_asked_about_by_itself_is_its_first_line(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fill(store)
    asked = Request("gone", "a-third-model", {"stop": ["\n"]}, [TEXTS["freesound-1"]], 7)
    with ResponseLedger(store, ANSWERS) as ledger:
        ledger.record(asked, Answer("A dog is barking.", "stop"), "freesound")
        found = trace(TableStore(store), ledger, "freesound-1")
    assert "A dog is barking." in [one.caption for one in found.attempts if one.key == asked.key]


def test_the_questions_of_a_stage_2_that_was_set_otherwise_are_found(tmp_path: Path) -> None:
    """They hold a title and tags, cut short, and were judged by rules of their own."""
    store = Store(tmp_path)
    fill(store)
    tables = TableStore(store)
    choice = CaptioningChoice(added=["tags"], max_text_chars=36)
    settings = choose_settings("freesound", False, choice).model_copy(
        update={"rules": RULE_PRESETS["strict"]}
    )
    clips = tables.read(["filtered_clips"], ["freesound"]).to_pylist()
    tagged = FILTERED_CLIPS.from_rows({**clip, "tags": ["dog", "yard"]} for clip in clips)
    tables.write(["filtered_clips"], "freesound", Stage(tagged, DROPPED.empty()))
    failed = drop("freesound-1", "freesound", "llm_captions", "unusable_answer", "")
    stage = Stage(LLM_CAPTIONS.empty(), DROPPED.from_rows([failed]), settings=settings.model_dump_json())
    tables.write(["llm_captions"], "freesound", stage)
    asked = Request(PROMPT.version, "some-model", {}, ["Dog barking in a (tags: dog, yard)"], 0)
    with ResponseLedger(store, ANSWERS) as ledger:
        ledger.record(asked, Answer("1. A cat is meowing.", "stop"), "freesound")
        found = trace(tables, ledger, "freesound-1")
    (attempt,) = (one for one in found.attempts if one.key == asked.key)
    assert (attempt.caption, attempt.rules) == ("A cat is meowing.", "(of stage 2, with its settings)")
    assert "ungrounded" in attempt.complaint


def test_the_report_tells_what_each_answer_took(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fill(store)
    wavcaps = MANIFEST.from_rows([manifest_row("freesound-1", caption="A dog is barking.")])
    (story,) = read_stories(TableStore(store), all_sources(Settings()), wavcaps)
    asked = [dict(chapter.facts) for chapter in story.chapters if chapter.title == "Request to the model"]
    shown = [
        (
            facts["finish reason"],
            facts["tokens of the whole request"],
            facts["cost of the whole request (USD)"],
        )
        for facts in sorted(asked, key=lambda facts: facts["texts in the request"])
    ]
    assert shown == [
        ("stop", "150 in, 8 out", "0.000100"),
        ("stop", "200 in, 12 out", "not known"),
    ]
