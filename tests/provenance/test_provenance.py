"""A clip's whole way, from real tables, a real history and a real ledger in both kinds of store."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.support.rows import audio_row, manifest_row, raw_row
from wavcaps_assets.captioning.prompts import Form, load_prompt
from wavcaps_assets.captioning.refining import refine_captions
from wavcaps_assets.captioning.second_questions import Rejected, SecondAnswer, load_second_prompt
from wavcaps_assets.crawl.history import Event, History
from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.llm.records import Answer, Request
from wavcaps_assets.provenance.command import provenance
from wavcaps_assets.provenance.trace import UnknownClip, trace, traces
from wavcaps_assets.publishing.manifests import make_manifest
from wavcaps_assets.rules.judging import Finding
from wavcaps_assets.rules.rule import Verdict
from wavcaps_assets.rules.settings import RuleSettings
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import AUDIO, DROPPED, FILTERED_CLIPS, LLM_CAPTIONS, MANIFEST, RAW_CLIPS
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage, drop

TEXTS = {"freesound-1": "Dog barking in a yard", "freesound-2": "see my other packs"}
PROMPT = load_prompt("paper", "freesound", Form.NUMBERED_LIST)


def question(attempt: int, inputs: list[str]) -> Request:
    return Request(PROMPT.version, "some-model", {"temperature": 0.0}, inputs, attempt)


def fill(store: Store) -> None:
    """Two clips that were described, one that was too short; the first of them is published."""
    tables = TableStore(store)
    ids = [*TEXTS, "freesound-3"]
    raw = [raw_row(clip_id, description=TEXTS.get(clip_id)) for clip_id in ids]
    tables.write(
        ["freesound", "raw_clips"],
        "2022-09",
        Stage(RAW_CLIPS.from_rows(raw), DROPPED.empty()),
    )
    audio = AUDIO.from_rows(audio_row(clip_id) for clip_id in ids)
    tables.write(["freesound", "audio"], "2022-09", Stage(audio, DROPPED.empty()))
    filtered: list[dict[str, Any]] = [
        {
            "clip_id": clip_id,
            "source": "freesound",
            "title": None,
            "description": text,
            "tags": [],
            "events": [],
        }
        for clip_id, text in TEXTS.items()
    ]
    short = drop("freesound-3", "freesound", "filtered_clips", "too_short", "0.4 s")
    tables.write(
        ["filtered_clips"],
        "freesound",
        Stage(FILTERED_CLIPS.from_rows(filtered), DROPPED.from_rows([short])),
    )
    with ResponseLedger(store, ANSWERS) as ledger:
        both = question(0, list(TEXTS.values()))
        ledger.record(both, Answer("1. Dog heard\n2. Failure.", "stop", 200, 12, 0.5), "freesound")
        again = question(1, [TEXTS["freesound-1"]])
        ledger.record(
            again, Answer("1. A dog is barking.", "stop", 150, 8, 0.4, cost_usd=0.0001), "freesound"
        )
    kept = {
        "clip_id": "freesound-1",
        "source": "freesound",
        "text": TEXTS["freesound-1"],
        "caption": "A dog is barking.",
        "model": "some-model",
        "prompt_version": PROMPT.version,
        "answer_id": again.key,
        "attempts": 2,
    }
    failed = drop("freesound-2", "freesound", "llm_captions", "llm_failure", "the model answers 'Failure.'")
    tables.write(
        ["llm_captions"],
        "freesound",
        Stage(LLM_CAPTIONS.from_rows([kept]), DROPPED.from_rows([failed])),
    )
    published = manifest_row("freesound-1", caption="A dog is barking.", text=TEXTS["freesound-1"])
    tables.write(["manifest"], "freesound", Stage(MANIFEST.from_rows([published]), DROPPED.empty()))
    with History(store, "freesound", "2022-09") as history:
        history.add(Event.LISTED, "freesound-1", "round-1", version=1)


@pytest.mark.slow
def test_the_whole_way_of_a_published_clip(store: Store) -> None:
    fill(store)
    with ResponseLedger(store, ANSWERS) as ledger:
        found = trace(TableStore(store), ledger, "freesound-1")
    assert (found.source, found.partition, found.published) == ("freesound", "2022-09", "A dog is barking.")
    assert [event["event"] for event in found.history] == ["listed"]
    seen = {step.stage: step.row is not None for step in found.steps}
    assert [stage for stage, there in seen.items() if not there] == ["captions"]
    first, second = found.attempts if found.attempts[0].texts == 2 else found.attempts[::-1]
    assert (first.caption, first.texts, first.verdict) == ("Dog heard", 2, "repair")
    assert first.rules == second.rules == "(of stage 2, preset paper)"
    assert (second.caption, second.verdict, second.answer["cost_usd"]) == (
        "A dog is barking.",
        "accept",
        0.0001,
    )
    assert first.messages == PROMPT.messages(list(TEXTS.values()))
    text = found.as_text()
    for expected in (PROMPT.instruction[:60], "150 in and 8 out", "0.000100 USD", second.key):
        assert expected in text
    assert json.loads(found.as_json())["attempts"][0]["question"]["model"] == "some-model"


class CountedLedger(ResponseLedger):
    """Counts how often it is read from its beginning."""

    read = 0

    def records(self) -> Iterator[Mapping[str, Any]]:
        self.read += 1
        return super().records()


def test_the_second_questions_about_a_clip_are_told_and_no_others(tmp_path: Path) -> None:
    """Two clips have one text and different captions; the text of a third imitates a second question."""
    store = Store(tmp_path)
    fill(store)
    tables, second = TableStore(store), load_second_prompt("paper", Form.NUMBERED_LIST)
    text = TEXTS["freesound-1"]
    heard = Finding("banned_words", Verdict.ASK_AGAIN, "heard")
    own, other = (
        second.line(Rejected(text, caption, (heard,)), 1000)
        for caption in ("A dog is heard.", "A wolf is heard.")
    )
    about = Request(second.prompt.version, "another-model", {}, [other, own], 0)
    with ResponseLedger(store, ANSWERS) as ledger:
        ledger.record(
            about, Answer("1. A wolf howls.\n2. A dog is barking.", "stop", 90, 9, 1.0), "freesound"
        )
        fake = question(0, [own])
        ledger.record(fake, Answer("1. A hoax is sounding.", "stop", 90, 9, 1.0), "freesound")
    llm = tables.read(["llm_captions"], ["freesound"])
    llm = llm.set_column(llm.schema.get_field_index("caption"), "caption", [["A dog is heard."]])
    answer = SecondAnswer("A dog is barking.", about.key, "", "another-model", second.prompt.version)
    refined = refine_captions(llm, RuleSettings(), lambda rejected, turn: [answer])
    tables.write(["llm_captions"], "freesound", Stage(llm, DROPPED.empty()))
    tables.write(["captions"], "freesound", refined.stage)
    counted = CountedLedger(store, ANSWERS)
    with counted:
        found = {one.clip_id: one for one in traces(tables, counted, [*TEXTS, "freesound-9"])}
    assert counted.read == 1
    assert list(found) == list(TEXTS)
    one_clip = found["freesound-1"]
    assert [(one.second, one.caption) for one in one_clip.attempts if one.second] == [
        (True, "A dog is barking.")
    ]
    assert "A hoax is sounding." not in [one.caption for one in one_clip.attempts]
    assert not any(one.second for one in found["freesound-2"].attempts)
    shown = one_clip.as_text()
    for line in (
        "second answer 1 of 1",
        "caption 1: banned_words (heard): ask_again",
        "first_caption: A dog is heard.",
        "rules (as stage 3 judged it): accept",
        f"second_prompt_version: {second.prompt.version}",
    ):
        assert line in shown
    audio, raw = (tables.read(["freesound", name]) for name in ("audio", "raw_clips"))
    (row,) = make_manifest(refined.stage.kept, llm, raw, audio).kept.to_pylist()
    assert (row["model"], row["prompt_version"]) == ("another-model", second.prompt.version)
    plain = refine_captions(tables.read(["llm_captions"], ["freesound"]), RuleSettings(enabled=()))
    (row,) = make_manifest(plain.stage.kept, llm, raw, audio).kept.to_pylist()
    assert (row["model"], row["prompt_version"]) == ("some-model", PROMPT.version)


def test_a_clip_whose_sound_another_source_publishes_is_not_published(tmp_path: Path) -> None:
    files = Store(tmp_path)
    fill(files)
    tables = TableStore(files)
    left_out = drop("freesound-1", "freesound", "wavcaps", "same_sound", "the same sound as other-1")
    tables.write(["wavcaps"], None, Stage(MANIFEST.empty(), DROPPED.from_rows([left_out])))
    with ResponseLedger(files, ANSWERS) as ledger:
        found = trace(tables, ledger, "freesound-1")
    assert found.published is None
    assert found.unpublished == "wavcaps dropped it: same_sound: the same sound as other-1"
    assert "dropped: same_sound: the same sound as other-1" in found.as_text()


@pytest.mark.slow
def test_why_a_clip_is_not_published(store: Store) -> None:
    fill(store)
    with ResponseLedger(store, ANSWERS) as ledger:
        refused = trace(TableStore(store), ledger, "freesound-2")
        short = trace(TableStore(store), ledger, "freesound-3")
    assert refused.published is None and "llm_failure" in refused.unpublished
    assert [attempt.caption for attempt in refused.attempts] == ["Failure."]
    assert short.attempts == [] and "too_short: 0.4 s" in short.unpublished


@pytest.mark.slow
@pytest.mark.parametrize(
    ("clip_id", "named"),
    [
        ("freesound-11", "freesound-1"),
        ("freesound", "clips of freesound"),
        ("elsewhere-1", "clips of freesound"),
        ("../../etc-1", "clips of freesound"),
        ("a/b-1", "clips of freesound"),
    ],
)
def test_a_clip_that_nobody_knows(store: Store, clip_id: str, named: str) -> None:
    fill(store)
    with ResponseLedger(store, ANSWERS) as ledger, pytest.raises(UnknownClip, match=named):
        trace(TableStore(store), ledger, clip_id)


def test_a_crawled_text_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fill(store)
    hostile = raw_row("freesound-1", description="\x1b[2Jgone\nfreesound-9: published\x9b31m")
    raw = RAW_CLIPS.from_rows([hostile])
    TableStore(store).write(["freesound", "raw_clips"], "2022-09", Stage(raw, DROPPED.empty()))
    with ResponseLedger(store, ANSWERS) as ledger:
        found = trace(TableStore(store), ledger, "freesound-1")
    assert not {"\x1b", "\x9b"} & set(found.as_text() + found.as_json())
    assert "\nfreesound-9" not in found.as_text()


@pytest.mark.slow
def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(Store(tmp_path))
    monkeypatch.setenv("WAVCAPS_STORE", str(tmp_path))
    provenance(["freesound-1"], standalone_mode=False)
    assert "published caption: A dog is barking." in capsys.readouterr().out
    provenance(["freesound-1", "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["clip_id"] == "freesound-1"
    command = [sys.executable, "-m", "wavcaps_assets.provenance", "freesound-12"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: no clip 'freesound-12'; similar ones are freesound-")
