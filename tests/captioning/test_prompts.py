from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.paths import SHARED
from wavcaps_assets.captioning.kinds import kind_settings
from wavcaps_assets.captioning.presets import TEMPORAL_PROMPT
from wavcaps_assets.captioning.prompts import (
    Form,
    Prompt,
    PromptError,
    load_further,
    load_inputs,
    load_prompt,
    preset_names,
)
from wavcaps_assets.captioning.settings import CAPTIONING_PRESETS
from wavcaps_assets.demo.clips import Source
from wavcaps_assets.rules.judging import Candidate, judge
from wavcaps_assets.rules.settings import RULE_PRESETS

PAPER = SHARED / "paper.md"
SOURCES = [source.value for source in Source]
EVERY = [(preset, source) for preset in preset_names() for source in SOURCES]
# `temporal` is about events with times, which only AudioSet has.
FOR_ALL_SOURCES = [preset for preset in preset_names() if preset != TEMPORAL_PROMPT]
# Further captions are made of descriptions and of events; their sources have no prompts of their own.
FURTHER = [preset for preset in FOR_ALL_SOURCES if load_further(preset) is not None]
MAIN = [preset for preset in FOR_ALL_SOURCES if preset not in FURTHER]


@pytest.mark.skipif(not PAPER.is_file(), reason="needs the paper's text next to the checkout")
@pytest.mark.parametrize("source", SOURCES)
def test_the_paper_s_prompts_stand_in_table_i_word_for_word(source: str) -> None:
    table = next(
        line for line in PAPER.read_text(encoding="utf-8").splitlines() if "I will give you a list" in line
    )
    table += next(
        line for line in PAPER.read_text(encoding="utf-8").splitlines() if line.startswith("AudioSet SL\t")
    )
    instruction = load_prompt("paper", source, Form.NUMBERED_LIST).instruction
    assert instruction in table
    assert len(instruction.split()) > 50


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "source"), EVERY)
def test_the_examples_obey_the_rules_that_answers_must_obey(preset: str, source: str) -> None:
    examples = load_prompt(preset, source, Form.SINGLE).examples
    sentences = [example for example in examples if example.caption != "Failure."]
    rules = kind_settings(preset).rules if preset in FURTHER else RULE_PRESETS["paper"]
    judged = judge([Candidate(one.caption, one.text) for one in sentences], rules)
    assert [(one.caption, one.complaint) for one in judged if one.findings or one.repairs] == []


@pytest.mark.parametrize("preset", FURTHER)
def test_further_captions_have_examples_of_descriptions_and_of_events(preset: str) -> None:
    of = {source: load_prompt(preset, source, Form.SINGLE).version for source in SOURCES}
    described = {version for source, version in of.items() if source != Source.AUDIOSET.value}
    assert len(described) == 1
    assert of[Source.AUDIOSET.value] not in described


@pytest.mark.parametrize("preset", MAIN)
def test_each_source_has_examples_of_its_own(preset: str) -> None:
    versions = {load_prompt(preset, source, Form.SINGLE).version for source in SOURCES}
    assert len(versions) == len(SOURCES)


def test_the_version_changes_with_whatever_the_model_is_told() -> None:
    prompt = load_prompt("paper", "freesound", Form.NUMBERED_LIST)
    others = [
        load_prompt("paper", "freesound", Form.SINGLE),
        Prompt(prompt.form, prompt.instruction + " Please.", prompt.examples),
        Prompt(prompt.form, prompt.instruction, prompt.examples[1:]),
    ]
    assert len({prompt.version, *(other.version for other in others)}) == 4
    assert load_prompt("paper", "freesound", Form.NUMBERED_LIST).version == prompt.version


def test_the_two_forms_of_a_conversation() -> None:
    listed = load_prompt("paper", "soundbible", Form.NUMBERED_LIST).messages(['say "hi"', "rain"])
    assert [message["role"] for message in listed] == ["system", "user", "assistant", "user"]
    assert listed[-1]["content"] == '1. "say \\"hi\\""\n2. "rain"'
    single = load_prompt("paper", "soundbible", Form.SINGLE)
    turns = single.messages(["rain"])
    assert [message["role"] for message in turns] == [
        "system",
        *["user", "assistant"] * len(single.examples),
        "user",
    ]
    assert turns[1]["content"] == json.dumps(single.examples[0].text)
    assert turns[-1]["content"] == '"rain"'
    with pytest.raises(ValueError, match="takes one text"):
        single.messages(["rain", "wind"])


def test_a_text_by_itself_is_quoted_unless_a_preset_says_otherwise() -> None:
    small = load_prompt("small", "freesound", Form.SINGLE)
    assert small.messages(["rain"])[-1]["content"] == "rain"
    quoted = replace(small, quotes_alone=True)
    assert quoted.messages(["rain"])[-1]["content"] == '"rain"'
    assert quoted.version != small.version
    listed = load_prompt("small", "freesound", Form.NUMBERED_LIST)
    assert listed.messages(["rain"])[-1]["content"] == '1. "rain"'
    assert listed.version == replace(listed, quotes_alone=True).version


def test_prompts_that_are_not_there() -> None:
    with pytest.raises(PromptError, match=r"there are: long, paper, query, short, small, temporal$"):
        load_prompt("../secret", "freesound", Form.SINGLE)


@pytest.mark.parametrize("preset", FOR_ALL_SOURCES)
def test_a_source_of_one_s_own_is_captioned_as_descriptions_are(preset: str) -> None:
    own = load_prompt(preset, "my_own", Form.SINGLE)
    assert own == load_prompt(preset, "freesound", Form.SINGLE)
    assert own.quotes


def test_every_captioning_preset_has_its_prompts() -> None:
    for settings in CAPTIONING_PRESETS.values():
        for source in SOURCES:
            assert load_prompt(settings.prompt, source, settings.form).instruction


OWN_PRESET = """
default_source = "any"
[instructions.plain]
quotes = true
text = "Say what sounds."
[sources.any]
instruction = "plain"
examples = [["Dog", "A dog is barking."]]
"""


def test_a_file_in_one_s_own_folder_is_a_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text(OWN_PRESET)
    monkeypatch.setenv("WAVCAPS_PROMPTS", str(tmp_path))
    assert preset_names() == ["long", "mine", "paper", "query", "short", "small", "temporal"]
    prompt = load_prompt("mine", "freesound", Form.SINGLE)
    assert prompt.messages(["rain"])[0]["content"] == "Say what sounds."
    assert load_prompt("paper", "freesound", Form.SINGLE).instruction != prompt.instruction


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("mine", "sources = 3", r"mine\.toml .*must look like"),
        ("mine", OWN_PRESET.replace("text", "words"), "lacks 'text'"),
        ("mine", "not [ toml", r"mine\.toml"),
        ("paper", OWN_PRESET, "packaged preset"),
    ],
)
def test_a_preset_that_is_none_is_said_plainly(
    name: str, content: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{name}.toml").write_text(content)
    monkeypatch.setenv("WAVCAPS_PROMPTS", str(tmp_path))
    with pytest.raises(PromptError, match=said):
        load_prompt(name, "freesound", Form.SINGLE)


@pytest.mark.parametrize("given", ['"tags"', '["tags", "author"]', "[1]"])
def test_fields_that_no_clip_has_are_said_plainly(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.toml").write_text(OWN_PRESET + f"added = {given}\n")
    monkeypatch.setenv("WAVCAPS_PROMPTS", str(tmp_path))
    with pytest.raises(
        PromptError,
        match=r"mine\.toml has added = .*: it must be a list of events, timed_events, description",
    ):
        load_inputs("mine", "freesound")


def test_a_folder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVCAPS_PROMPTS", str(tmp_path / "missing"))
    with pytest.raises(PromptError, match="WAVCAPS_PROMPTS"):
        preset_names()
