"""Further captions: kinds, their rules, what is paid for once, and what a failure leaves as it was."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.llm.scripted_model import Access, Endpoint, asked, scripted
from wavcaps_assets.captioning.further import AskSession, Further, further_captions, given_captions, tags_of
from wavcaps_assets.captioning.kinds import known_kinds
from wavcaps_assets.captioning.prompts import Form, PromptError, load_prompt
from wavcaps_assets.captioning.settings import CaptioningChoice, CaptioningSettings
from wavcaps_assets.llm.session import Session
from wavcaps_assets.llm.tokens import most_tokens
from wavcaps_assets.rules.settings import RULE_PRESETS
from wavcaps_assets.tables import FILTERED_CLIPS, OTHER_CAPTIONS
from wavcaps_assets.tables.imported import IMPORTED_CLIPS

TEXTS = ("dog barking in a yard", "kettle whistling on a stove", "rain on a tin roof")
SAID = {
    "short": ("Dog barking.", "Kettle whistling.", "Rain on a roof."),
    "query": ("dog barking in yard", "kettle whistle", "rain on tin roof"),
}


def clips(*texts: str, labelled: bool = False) -> pa.Table:
    events = [
        {"onset_s": 0.0, "offset_s": 1.0, "label": "Bark"},
        {"onset_s": 2.0, "offset_s": 3.0, "label": "Doorbell"},
    ]
    return FILTERED_CLIPS.from_rows(
        {
            "clip_id": f"freesound-{number}",
            "source": "freesound",
            "title": None,
            "description": text,
            "tags": ["Dog", "dog", "field-recording"] if number == 1 else [],
            "events": events if number == 2 and labelled else [],
            "duration_s": 10.0,
        }
        for number, text in enumerate(texts, 1)
    )


def sessions(model: Access | None, folder: Path) -> AskSession:
    def opened(settings: CaptioningSettings) -> AbstractContextManager[Session]:
        assert model is not None, "no model is needed"
        return model.session(folder, settings.limits, label="freesound")

    return opened


def run(
    kinds: Sequence[str],
    model: Access | None,
    folder: Path,
    before: pa.Table | None = None,
    table: pa.Table | None = None,
) -> Further:
    some = clips(*TEXTS) if table is None else table
    return further_captions(
        some, "freesound", kinds, lambda _: sessions(model, folder), CaptioningChoice(), before=before
    )


def by_clip(found: Further, kind: str) -> dict[str, str]:
    rows = found.table.to_pylist()
    return {row["clip_id"][-1]: row["caption"] for row in rows if row["kind"] == kind}


def kind_of(body: dict[str, Any]) -> str:
    """The kind whose instruction a request has."""
    instruction = body["messages"][0]["content"]
    return next(
        kind
        for kind in ("short", "long", "query")
        if load_prompt(kind, "freesound", Form.NUMBERED_LIST).instruction == instruction
    )


@contextmanager
def answering(said: Mapping[str, Sequence[str]] = SAID) -> Iterator[Endpoint]:
    """A model that says what is written down for each text."""

    def answer(body: dict[str, Any]) -> str | int:
        kind = kind_of(body)
        if kind not in said:
            return 401
        texts = [json.loads(line.partition(". ")[2]) for line in asked(body).splitlines()]
        return "\n".join(f"{n}. {said[kind][TEXTS.index(text)]}" for n, text in enumerate(texts, 1))

    with scripted(answer) as endpoint:
        yield endpoint


def test_the_kinds_are_the_prompts_that_say_so_and_those_without_a_model() -> None:
    assert known_kinds() == ["tags", "short", "long", "query", "temporal"]


def test_tags_and_temporal_need_no_model(tmp_path: Path) -> None:
    found = run(["temporal", "tags"], None, tmp_path, table=clips(*TEXTS, labelled=True))
    assert by_clip(found, "tags") == {"1": "Dog, field-recording", "2": "Bark, Doorbell"}
    assert by_clip(found, "temporal") == {"2": "A dog is barking, then a doorbell is ringing."}
    assert set(found.table["model"].to_pylist()) == {"template"}
    assert found.table["answer_id"].null_count == len(found.table)


@pytest.mark.parametrize(
    ("tags", "labels", "text"),
    [
        ([], [], ""),
        (["2019", "!!"], [], ""),
        (["a,b", "\x00c\n", "A,B"], [], "a,b; c"),
        ([], ["Bark", "Bark", "Male speech, man speaking"], "Bark; Male speech, man speaking"),
        ([f"tag {number}" for number in range(99)], [], ", ".join(f"tag {number}" for number in range(30))),
    ],
)
def test_tags_are_one_line_of_different_ones(tags: list[str], labels: list[str], text: str) -> None:
    events = [{"onset_s": 0.0, "offset_s": 1.0, "label": label} for label in labels]
    assert tags_of({"tags": tags, "events": events}) == text


def test_each_kind_is_asked_by_its_own_prompt_and_paid_for_once(tmp_path: Path) -> None:
    with answering() as endpoint:
        found = run(["query", "short"], endpoint.model(), tmp_path)
        assert Counter(map(kind_of, endpoint.requests)) == {"query": 1, "short": 1}
        again = run(["query", "short"], endpoint.model(), tmp_path)
        assert len(endpoint.requests) == 2
    assert by_clip(found, "short") == dict(zip("123", SAID["short"], strict=True))
    # A query has no capital and no full stop.
    assert by_clip(found, "query") == dict(zip("123", SAID["query"], strict=True))
    assert again.table.equals(found.table) and found.made == {"query": 3, "short": 3}
    for row in found.table.to_pylist():
        assert row["prompt_version"] == load_prompt(row["kind"], "freesound", Form.NUMBERED_LIST).version
        assert row["answer_id"] and row["number"] == 1


def test_the_rules_judge_each_kind_by_its_limits(tmp_path: Path) -> None:
    long = "A dog is barking in a yard behind a house, and after a while another dog answers from far away."
    said = {
        "short": ("Dog barking in a yard with far too many words.", "Failure.", "rain recorded on roof"),
        "long": (f"{long} Then it stops.", "A kettle whistles.", f"Rain on a tin roof, {long.lower()}"),
    }
    with answering(said) as endpoint:
        found = run(["short", "long"], endpoint.model(), tmp_path)
    assert by_clip(found, "short") == {}
    assert by_clip(found, "long").keys() == {"1", "3"}
    assert found.rejected == {
        ("short", "too_long"): 1,
        ("short", "llm_failure"): 1,
        ("short", "banned_words"): 1,
        ("long", "too_short"): 1,
    }
    # They are not sentences of the main caption's length.
    assert RULE_PRESETS["paper"].max_words < len(by_clip(found, "long")["1"].split())


def test_a_kind_that_fails_keeps_what_it_had_and_stops_no_other(tmp_path: Path) -> None:
    with answering() as endpoint:
        before = run(["query", "short"], endpoint.model(), tmp_path / "first").table
    with answering({"short": SAID["short"]}) as endpoint:
        found = run(["query", "tags", "short"], endpoint.model(), tmp_path / "second", before)
        left = run(["query"], endpoint.model(), tmp_path / "second", before, clips(*TEXTS[:1]))
    assert by_clip(found, "query") == dict(zip("123", SAID["query"], strict=True))
    assert by_clip(found, "short") == dict(zip("123", SAID["short"], strict=True))
    assert len(by_clip(found, "tags")) == 1
    assert found.stopped.keys() == {"query"} and "401" in found.stopped["query"]
    # Of clips that are not there any more, nothing is kept.
    assert by_clip(left, "query") == {"1": SAID["query"][0]}


def test_a_used_up_budget_stops_a_kind_which_keeps_what_it_had(tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    # A dollar a token in, and two a token out; each answer costs 17.
    prices.write_text(
        'source = "this test"\nread = 2026-11-01\n[models.scripted]\ninput = 1000000\noutput = 2000000\n'
    )
    with answering() as endpoint:
        before = run(["short"], endpoint.model(), tmp_path / "first").table
        run(["query"], endpoint.model(), tmp_path / "first")
        most = max(most_tokens(one["messages"], one) + 2 * one["max_tokens"] for one in endpoint.requests)
        model = endpoint.model()
        # Room for the query, and then not for the most that the next answer could cost.
        limit = {"prices": prices, "budget_month_usd": float(most) + 1}
        limited = replace(model, settings=model.settings.model_copy(update=limit))
        found = run(["query", "tags", "short"], limited, tmp_path / "second", before)
        rest = run(["query", "tags", "short"], model, tmp_path / "second", before)
    assert found.stopped.keys() == {"short"}
    assert "WAVCAPS_LLM__BUDGET_MONTH_USD" in found.stopped["short"]
    assert by_clip(found, "query") == dict(zip("123", SAID["query"], strict=True))
    assert by_clip(found, "short") == dict(zip("123", SAID["short"], strict=True))
    # With more money, only what is missing is asked.
    assert not rest.stopped and len(endpoint.requests) == 4


def test_no_kind_is_the_default_and_an_unknown_one_is_an_error(tmp_path: Path) -> None:
    assert run([], None, tmp_path).table.equals(OTHER_CAPTIONS.empty())
    with pytest.raises(
        ValueError, match=r"no kind paper, poem .* there are tags, short, long, query, temporal"
    ):
        run(["tags", "paper", "poem"], None, tmp_path)


def test_one_more_kind_is_one_more_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "prompts"
    own.mkdir()
    monkeypatch.setenv("WAVCAPS_PROMPTS", str(own))
    (own / "shout.toml").write_text(
        """
        default_source = "freesound"
        [further]
        max_words = 3
        without_rules = ["no_verb", "capitals"]
        [instructions.loud]
        quotes = true
        text = "Shout."
        [sources.freesound]
        instruction = "loud"
        examples = []
        """
    )
    with scripted(lambda body: "1. DOG BARKING\n2. KETTLE WHISTLING\n3. RAIN RAIN ON A ROOF") as endpoint:
        found = run(["shout"], endpoint.model(), tmp_path / "store")
    assert by_clip(found, "shout") == {"1": "DOG BARKING.", "2": "KETTLE WHISTLING."}
    (own / "wrong.toml").write_text((own / "shout.toml").read_text().replace("max_words", "most_words"))
    with pytest.raises(PromptError, match="most_words"):
        run(["wrong"], None, tmp_path)


def test_captions_that_an_import_came_with_are_kept_beside_the_first() -> None:
    common = {"source": "clotho", "source_id": "1", "tags": [], "events": []}
    given = IMPORTED_CLIPS.from_rows(
        [
            {**common, "clip_id": "clotho-1", "captions": ["One.", "Two.", "Two.", "Three."], "model": None},
            {**common, "clip_id": "clotho-2", "captions": ["Only."], "model": "m", "prompt_version": "p"},
            {**common, "clip_id": "clotho-3", "captions": ["Left.", "Out."]},
        ]
    )
    here = pa.table({"clip_id": ["clotho-1", "clotho-2"]})
    rows = given_captions(here, given).to_pylist()
    assert [(row["clip_id"], row["kind"], row["number"], row["caption"]) for row in rows] == [
        ("clotho-1", "other", 1, "Two."),
        ("clotho-1", "other", 2, "Two."),
        ("clotho-1", "other", 3, "Three."),
    ]
