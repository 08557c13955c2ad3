"""Captions that belong to other clips, in tables: real ones that were shifted, and small ones."""

from __future__ import annotations

import csv
import json
import random
from functools import cache
from typing import Any

import pyarrow as pa
import pytest

from tests.support.paths import DATA
from wavcaps_assets.captioning.floor import rule_based
from wavcaps_assets.checks.alignment import misplaced
from wavcaps_assets.checks.caption_set import COLUMNS, caption_set
from wavcaps_assets.checks.drift import drift
from wavcaps_assets.checks.figures import Status
from wavcaps_assets.checks.quality import check_quality
from wavcaps_assets.checks.quality_settings import QualitySettings, Sample

RELEASED = DATA / "wavcaps" / "sb_final.json"
BBC = DATA / "bbc" / "BBCSoundEffects.csv"
CLOTHO = DATA / "clotho" / "val.csv"
CHECKED = ("most_frequent", "text_mismatch", "misplaced")
Rows = list[dict[str, Any]]


def row(number: int, caption: str, text: str, source: str = "soundbible") -> dict[str, Any]:
    return {"clip_id": f"{source}-{number}", "source": source, "caption": caption, "text": text}


def released() -> Rows:
    if not RELEASED.is_file():
        pytest.skip("needs ../shared/data/wavcaps/sb_final.json")
    rows = json.loads(RELEASED.read_text("utf-8"))["data"]
    return [row(int(one["id"]), one["caption"], one["description"]) for one in rows]


@cache
def bbc() -> Rows:
    if not BBC.is_file():
        pytest.skip("needs ../shared/data/bbc/BBCSoundEffects.csv")
    with BBC.open(encoding="utf-8", newline="") as file:
        texts = [one["description"] for one in csv.DictReader(file)][:300]
    ruled = rule_based.caption_texts([(text, None) for text in texts])
    captions = [(one.caption, text) for one, text in zip(ruled, texts, strict=True)]
    return [
        row(number, caption, text, "bbc_sound_effects")
        for number, (caption, text) in enumerate(captions)
        if caption
    ]


def people() -> Rows:
    if not CLOTHO.is_file():
        pytest.skip("needs ../shared/data/clotho/val.csv")
    with CLOTHO.open(encoding="utf-8", newline="") as file:
        return [row(n, one["caption_1"], one["caption_2"]) for n, one in enumerate(csv.DictReader(file))]


def shifted(rows: Rows, count: int | None = None, by: int = 1) -> Rows:
    """The rows, the first `count` of which have the captions of rows after them."""
    captions = [one["caption"] for one in rows[:count]]
    moved = captions[by:] + captions[:by]
    return [one | {"caption": moved[place]} if place < len(moved) else one for place, one in enumerate(rows)]


def shuffled(rows: Rows) -> Rows:
    return random.Random(1).sample(rows, len(rows))


def table(rows: Rows) -> pa.Table:
    return pa.Table.from_pylist(rows, COLUMNS)


def statuses(rows: Rows) -> dict[str, Status]:
    # Without the rules that need the parser.
    settings = QualitySettings(sample=Sample(size=1))
    results = check_quality(caption_set(table(rows)), settings)
    return {one.measure: one.status for one in results if one.measure in CHECKED}


@pytest.mark.slow
@pytest.mark.parametrize("read", [released, bbc])
@pytest.mark.parametrize(
    ("share", "by", "mixed"), [(1.0, 1, False), (1.0, -1, False), (0.6, 1, True), (0.05, 2, True)]
)
def test_shifted_captions_of_real_clips_fail(read: Any, share: float, by: int, mixed: bool) -> None:
    rows = read()
    count = int(len(rows) * share)
    spoiled = shifted(rows, count, by)
    found = misplaced(table(shuffled(spoiled) if mixed else spoiled))
    assert found.rows == pytest.approx(count, abs=12)
    assert "fits " in found.examples[0].detail and len(found.examples) == 5
    assert statuses(shuffled(spoiled) if mixed else spoiled)["misplaced"] is Status.FAILED


@pytest.mark.slow
@pytest.mark.parametrize("read", [released, bbc, people])
def test_real_captions_in_their_places_pass(read: Any) -> None:
    rows = read()
    assert misplaced(table(rows)).rows == misplaced(table(shuffled(rows))).rows == 0
    # People use other words than other people for the same sound.
    assert set(statuses(rows).values()) == {Status.PASSED}


def test_a_caption_that_every_fifth_clip_has_is_reported() -> None:
    rows = [row(n, f"A {'b' * (n + 1)} is ringing.", f"{'b' * (n + 1)} ringing") for n in range(100)]
    spoiled = [one | {"caption": "A dog is barking."} if n % 5 == 0 else one for n, one in enumerate(rows)]
    results = check_quality(caption_set(table(spoiled)), QualitySettings(sample=Sample(size=1)))
    found = next(one for one in results if one.measure == "most_frequent")
    assert found.figure is not None and found.figure.value == 0.19
    assert found.status is Status.WARNED
    assert found.figure.examples[0].caption == "a dog is barking"
    many = [one | {"clip_id": f"{one['clip_id']}-{turn}"} for turn in range(5) for one in spoiled]
    assert statuses(many)["most_frequent"] is Status.FAILED


def test_without_texts_nothing_is_misplaced() -> None:
    rows = [row(n, "A dog is barking.", "") | {"text": None} for n in range(4)]
    assert statuses(rows)["misplaced"] is Status.SKIPPED
    assert misplaced(table([])).rows == 0


ANIMALS = ("dog", "cat", "cow", "hen", "pig", "frog", "crow", "sheep", "horse", "goose")


@pytest.mark.parametrize("name", ["sb", "a file", "soundbible"])
@pytest.mark.parametrize("prefixed", [True, False])
def test_a_source_is_compared_with_itself_under_another_name(name: str, prefixed: bool) -> None:
    now = [row(n, f"A {animal} is calling.", animal) for n, animal in enumerate(ANIMALS)]
    now += [row(n, f"Two {animal}s are calling.", animal, "bbc") for n, animal in enumerate(ANIMALS)]
    before = [
        one | {"source": name, "clip_id": f"{name}-{n}" if prefixed else str(n)}
        for n, one in enumerate(shifted(now[:10]))
    ]
    found = drift(table(before + now[10:]), table(now))
    assert found["soundbible"]["moved"].value == 1.0
    assert found["all"]["moved"].value == 0.5


def test_another_source_is_no_other_name() -> None:
    now = [row(n, "A dog is barking.", "dog") for n in range(10)]
    before = [row(n, "A cat is meowing.", "cat", "bbc") for n in range(8, 30)]
    assert drift(table(before), table(now)) == {}
