"""What a person chooses in the launchpad: real runs of the assets, against a scripted model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.llm.scripted_model import KEY, MODEL, Endpoint, asked, scripted
from wavcaps_assets.captioning.presets import captioned_with, choose_settings
from wavcaps_assets.captioning.prompts import Form, load_prompt, prompt_files
from wavcaps_assets.captioning.settings import (
    CAPTIONING_PRESETS,
    CaptioningChoice,
    CaptioningSettings,
    Method,
)
from wavcaps_assets.captioning.texts import TEXT_FROM, ClipField
from wavcaps_assets.defs.captioning import captioning_assets
from wavcaps_assets.defs.captions import caption_assets
from wavcaps_assets.defs.filtering import filtering_assets
from wavcaps_assets.defs.wiring import resources
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import DROPPED, FILTERED_CLIPS, LLM_CAPTIONS
from wavcaps_assets.tables.asset_tables import OtherVersion, TableStore
from wavcaps_assets.tables.stage import Stage

SOURCE = "freesound"
MINE = """
default_source = "any"
[instructions.plain]
quotes = true
text = "Say what sounds. {}"
[sources.any]
instruction = "plain"
text_from = ["description", "title"]
added = ["tags"]
examples = [["Dog (tags: dog, bark)", "A dog is barking."]]
"""
ANIMALS = ("dog", "cat", "cow")


def script(body: dict[str, Any]) -> str:
    """Captions with a fault, in the form that is asked for; second questions get good ones."""
    lines = asked(body).splitlines()
    texts = [json.loads(line.partition(". ")[2]) for line in lines]
    if isinstance(texts[0], dict):
        said = [one["caption"].replace("heard", "calling") for one in texts]
    else:
        said = [f"A {text.split()[0]} is heard." for text in texts]
    if "response_format" in body:
        return json.dumps(
            {"captions": [{"index": index, "caption": caption} for index, caption in enumerate(said, 1)]}
        )
    return "\n".join(f"{index}. {caption}" for index, caption in enumerate(said, 1))


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    for name in ("mine", "other"):
        (prompts / f"{name}.toml").write_text(MINE.format(name))
    (prompts / "second").mkdir()
    packaged = prompt_files("second")["paper"].read_text(encoding="utf-8")
    ours = packaged.replace("I will give you", "Write it better. I will give you", 1)
    (prompts / "second" / "ours.toml").write_text(ours, encoding="utf-8")
    with scripted(script) as endpoint:
        monkeypatch.setenv("WAVCAPS_PROMPTS", str(prompts))
        monkeypatch.setenv("WAVCAPS_STORE", str(tmp_path / "store"))
        monkeypatch.setenv("WAVCAPS_LLM__BASE_URL", f"{endpoint.root}/v1")
        monkeypatch.setenv("WAVCAPS_LLM__MODEL", MODEL)
        monkeypatch.setenv("WAVCAPS_LLM__API_KEY", KEY)
        yield endpoint


def materialize(asset: str, **config: Any) -> dg.ExecuteInProcessResult:
    settings = Settings()
    sources = all_sources(settings)
    tables = TableStore(Store(settings.store_folder))
    if not tables.exists(["filtered_clips"], SOURCE):
        clips = [
            {
                "clip_id": f"{SOURCE}-{animal}",
                "source": SOURCE,
                "title": None,
                "description": f"{animal} in the yard",
                "tags": [animal, "field-recording"],
                "events": [],
            }
            for animal in ANIMALS
        ]
        clips_table = FILTERED_CLIPS.from_rows(clips)
        tables.write(["filtered_clips"], SOURCE, Stage(clips_table, DROPPED.empty()))
    return dg.materialize(
        [
            *filtering_assets(sources),
            *captioning_assets(sources, embedded_model=True),
            *caption_assets(sources),
        ],
        selection=[asset],
        partition_key=None if asset == "llm_costs" else SOURCE,
        resources=resources(settings),
        run_config={"ops": {asset: {"config": config}}} if config else None,
    )


def test_a_prompt_of_one_s_own_and_how_it_is_put_are_chosen_in_the_launchpad(endpoint: Endpoint) -> None:
    done = materialize(
        "llm_captions",
        prompt="mine",
        form="structured",
        batch_size=2,
        concurrency=1,
        temperature=0.7,
        max_tokens=50,
        requests_per_minute=600,
        tokens_per_minute=100_000,
    )
    assert [len(asked(body).splitlines()) for body in endpoint.requests] == [2, 1]
    body = endpoint.requests[0]
    assert body["messages"][0]["content"] == "Say what sounds. mine"
    assert asked(body).splitlines()[0] == '1. "dog in the yard (tags: dog, field-recording)"'
    assert (body["temperature"], body["max_tokens"], "response_format" in body) == (0.7, 100, True)
    (made,) = done.asset_materializations_for_node("llm_captions")
    settings = made.metadata["settings"].value
    assert isinstance(settings, dict)
    assert (settings["requests_per_minute"], settings["tokens_per_minute"]) == (600, 100_000)
    rows = TableStore(Store(Settings().store_folder)).read(["llm_captions"], [SOURCE]).to_pylist()
    assert {row["prompt_version"] for row in rows} == {load_prompt("mine", SOURCE, Form.STRUCTURED).version}


@pytest.mark.slow
def test_the_prompt_of_the_settings_is_that_of_runs_that_choose_none(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_PROMPT", "mine")
    materialize("llm_captions")
    materialize("llm_captions", prompt="other")
    materialize("llm_captions", concurrency=2)
    # The third asks nothing that the first has not asked.
    assert [body["messages"][0]["content"] for body in endpoint.requests] == [
        "Say what sounds. mine",
        "Say what sounds. other",
    ]
    materialize("llm_captions", method="rules")
    settings = captioned_with(TableStore(Store(Settings().store_folder)), SOURCE)
    assert settings is not None and settings.method is Method.RULES


@pytest.mark.slow
def test_stage_3_asks_as_stage_2_did(endpoint: Endpoint) -> None:
    materialize(
        "llm_captions",
        prompt="mine",
        second_prompt="ours",
        form="structured",
        batch_size=2,
        concurrency=1,
        max_tokens=50,
    )
    endpoint.requests.clear()
    materialize("captions")
    assert [len(asked(body).splitlines()) for body in endpoint.requests] == [2, 1]
    assert all("response_format" in body for body in endpoint.requests)
    assert endpoint.requests[0]["max_tokens"] == 100
    assert endpoint.requests[0]["messages"][0]["content"].startswith("Write it better.")
    rows = TableStore(Store(Settings().store_folder)).read(["captions"], [SOURCE]).to_pylist()
    assert [row["caption"] for row in rows] == [f"A {animal} is calling." for animal in ANIMALS]


@pytest.mark.slow
def test_after_rules_no_model_is_asked_in_either_stage(endpoint: Endpoint) -> None:
    materialize("llm_captions", method="rules")
    materialize("captions", preset="strict", second_questions=3)
    assert endpoint.requests == []
    settings = captioned_with(TableStore(Store(Settings().store_folder)), SOURCE)
    assert settings is not None and settings.method is Method.RULES


@pytest.mark.slow
def test_two_prompts_of_one_s_own_are_compared_or_two_models(endpoint: Endpoint) -> None:
    done = materialize("caption_comparison", clips=3, first={"prompt": "mine"}, second={"prompt": "other"})
    said = [body["messages"][0]["content"] for body in endpoint.requests]
    assert said == ["Say what sounds. mine", "Say what sounds. other"]
    (made,) = done.asset_materializations_for_node("caption_comparison")
    versions = [load_prompt(name, SOURCE, Form.NUMBERED_LIST).version for name in ("mine", "other")]
    assert all(version in str(made.metadata["comparison"].value) for version in versions)
    settings = made.metadata["second: settings"].value
    assert isinstance(settings, dict) and settings["prompt"] == "other"
    assert made.metadata["first: requests made"] == made.metadata["second: requests made"]
    endpoint.requests.clear()
    materialize("caption_comparison", second={"model": "a-larger-one"})
    assert [body["model"] for body in endpoint.requests] == [MODEL, "a-larger-one"]


@pytest.mark.slow
def test_models_of_two_families_are_compared(endpoint: Endpoint) -> None:
    materialize("caption_comparison", second={"model": "a-thinker", "family": "openai_reasoning"})
    one, other = endpoint.requests
    assert (one["model"], "max_tokens" in one, "temperature" in one) == (MODEL, True, True)
    assert (other["model"], "max_tokens" in other, "temperature" in other) == ("a-thinker", False, False)
    assert "max_completion_tokens" in other
    with pytest.raises(ValueError, match="there is no family 'gpt9'"):
        materialize("caption_comparison", second={"model": "a-thinker", "family": "gpt9"})


@pytest.mark.slow
def test_the_costs_are_shown_by_prompt_version(endpoint: Endpoint) -> None:
    materialize("caption_comparison", first={"prompt": "mine"}, second={"prompt": "other"})
    (made,) = materialize("llm_costs").asset_materializations_for_node("llm_costs")
    assert "cost by prompt version and model" in made.metadata
    rows = TableStore(Store(Settings().store_folder)).read(["llm_costs"]).to_pylist()
    assert len({row["prompt_version"] for row in rows}) == 2


@pytest.mark.slow
def test_where_nothing_is_chosen_a_model_is_compared_with_the_floor(endpoint: Endpoint) -> None:
    materialize("caption_comparison")
    assert [body["model"] for body in endpoint.requests] == [MODEL]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"method": "magic"}, "no method 'magic'; there are model, template, rules"),
        ({"preset": "huge"}, "no captioning preset 'huge'"),
        (
            {"prompt": "nobody's"},
            'there is no prompt preset "nobody\'s"; there are: long, mine, other, paper',
        ),
        ({"form": "poem"}, "form: Input should be 'numbered_list', 'structured' or 'single'"),
        ({"batch_size": 0}, "batch_size: Input should be greater than or equal to 1"),
        ({"added": ["author"]}, "added.0: Input should be 'events'"),
        ({"preset": "small", "added": ["tags"]}, "first_sentence_only would cut off what is added"),
    ],
)
@pytest.mark.usefixtures("endpoint")
def test_a_choice_that_is_none_is_said_plainly(choice: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as raised:
        choose_settings(SOURCE, False, CaptioningChoice(**choice))
    assert said in str(raised.value)


def test_nothing_chosen_is_the_preset_and_the_paper_s_fields() -> None:
    assert choose_settings(SOURCE, embedded_model=False) == CAPTIONING_PRESETS["paper"]
    assert choose_settings(SOURCE, embedded_model=True) == CAPTIONING_PRESETS["small"]
    assert choose_settings("audioset_sl", embedded_model=True).method is Method.TEMPLATE
    assert CAPTIONING_PRESETS["paper"].text_from == TEXT_FROM
    assert CAPTIONING_PRESETS["paper"].added == ()


@pytest.mark.usefixtures("endpoint")
def test_a_prompt_s_file_says_what_it_is_written_for_and_the_launchpad_has_the_last_word() -> None:
    by_file = choose_settings(SOURCE, False, CaptioningChoice(prompt="mine"))
    assert (by_file.text_from, by_file.added) == (
        (ClipField.DESCRIPTION, ClipField.TITLE),
        (ClipField.TAGS,),
    )
    chosen = choose_settings(SOURCE, False, CaptioningChoice(prompt="mine", text_from=["title"], added=[]))
    assert (chosen.text_from, chosen.added) == ((ClipField.TITLE,), ())
    assert choose_settings(SOURCE, False, CaptioningChoice(prompt="mine", method="rules")).added == ()


def test_temporal_order_is_audioset_s_only() -> None:
    wanted = CaptioningChoice(temporal=True)
    by_model = choose_settings("audioset_sl", False, wanted)
    assert (by_model.method, by_model.prompt) == (Method.MODEL, "temporal")
    by_template = choose_settings("audioset_sl", True, wanted)
    assert by_template.method is Method.TEMPLATE
    assert by_model.text_from == by_template.text_from == (ClipField.TIMED_EVENTS,)
    # Its prompt implies it. Another prompt gets the times too.
    assert choose_settings("audioset_sl", False, CaptioningChoice(prompt="temporal")).temporal
    other = choose_settings("audioset_sl", True, CaptioningChoice(prompt="small", temporal=True))
    assert (other.method, other.prompt, other.text_from) == (Method.MODEL, "small", by_model.text_from)
    # One configuration for all sources: the others are captioned as without it.
    assert choose_settings(SOURCE, False, wanted) == CAPTIONING_PRESETS["paper"]
    with pytest.raises(ValueError, match="'freesound' has no labelled sound events"):
        choose_settings(SOURCE, False, CaptioningChoice(prompt="temporal"))


def test_settings_without_temporal_order_are_stored_as_before() -> None:
    """The stored settings are a part of the data version of a table."""
    stored = json.loads(choose_settings("audioset_sl", False).stored)
    assert not {"temporal", "max_events", "least_overlap"} & stored.keys()
    temporal = choose_settings("audioset_sl", False, CaptioningChoice(temporal=True, max_events=3))
    assert CaptioningSettings.model_validate_json(temporal.stored) == temporal


def test_settings_that_this_version_does_not_know_are_said_plainly(tmp_path: Path) -> None:
    tables = TableStore(Store(tmp_path))
    assert captioned_with(tables, SOURCE) is None
    stage = Stage(LLM_CAPTIONS.empty(), DROPPED.empty(), settings='{"form": "poem"}')
    tables.write(["llm_captions"], SOURCE, stage)
    with pytest.raises(OtherVersion, match=r"form: .*materialize it again"):
        captioned_with(tables, SOURCE)
