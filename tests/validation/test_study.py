"""Which clips are drawn, under which names, and what the page says of them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.validation.studies import HOSTILE, small_study
from wavcaps_assets.store.storage import Store
from wavcaps_assets.validation.second_captions import BadSecondCaptions, read_second_captions
from wavcaps_assets.validation.study import NoClipFits
from wavcaps_assets.validation.study_files import WrittenStudy, read_key

MANY = {f"freesound-{number}": f"Sound {number}." for number in range(12)} | {
    f"soundbible-{number}": f"Noise {number}." for number in range(3)
}


class Scripts(HTMLParser):
    """The scripts of a page, as a browser's parser delimits them, and the other elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.elements: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1] == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)


def drawn(study: WrittenStudy) -> list[str]:
    return list(study.study.key.column("clip_id").to_pylist())


def page_of(study: WrittenStudy, store: Store) -> str:
    return store.read_bytes(study.page).decode()


def test_the_same_seed_draws_the_same_and_another_another(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one, again, other = (small_study(store, MANY, clips=5, seed=seed) for seed in ("a", "a", "b"))
    assert (drawn(one), one.study.study_id) == (drawn(again), again.study.study_id)
    assert len(set(drawn(one))) == 5
    assert set(drawn(one)) != set(drawn(other))
    names = [set(study.study.key.column("item_id").to_pylist()) for study in (one, other)]
    assert names[0].isdisjoint(names[1])
    # The key of a study outlives the next draw.
    assert read_key(one.study.study_id, store).equals(one.study.key)


def test_as_many_of_each_source_while_there_are(tmp_path: Path) -> None:
    study = small_study(Store(tmp_path), MANY, clips=10, per_source=True)
    sources = [clip_id.partition("-")[0] for clip_id in drawn(study)]
    assert (sources.count("soundbible"), sources.count("freesound")) == (3, 7)


def test_what_is_not_drawn_is_counted_and_missing_audio_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path)
    second = dict.fromkeys(list(MANY)[:6], "another")
    study = small_study(store, MANY, second, clips=4, sources=["freesound"])
    assert study.study.excluded == {"of other sources": 3, "without a second caption": 6}
    assert set(drawn(study)) < set(second)


@pytest.mark.slow
def test_a_clip_without_audio_is_set_aside_and_the_next_one_drawn(tmp_path: Path) -> None:
    from tests.support.rows import manifest_row
    from tests.validation.studies import tone
    from wavcaps_assets.tables import MANIFEST
    from wavcaps_assets.validation.settings import StudySettings
    from wavcaps_assets.validation.study_files import write_study

    store = Store(tmp_path)
    rows = [manifest_row(f"freesound-{number}") for number in range(4)]
    for row in rows[:2]:
        tone(store, row["audio_path"], 440)
    store.write_bytes(rows[2]["audio_path"], b"no audio")
    study = write_study(MANIFEST.from_rows(rows), StudySettings(clips=4), store).study
    assert study.key.num_rows == 2
    assert set(study.unusable) == {"freesound-2", "freesound-3"}
    assert "cannot be read" in study.unusable["freesound-2"]
    assert "not in the store" in study.unusable["freesound-3"]


def test_nothing_to_draw_says_why(tmp_path: Path) -> None:
    with pytest.raises(NoClipFits, match="15 too long"):
        small_study(Store(tmp_path), MANY, longest_s=0.1)


def test_the_page_does_not_tell_whose_caption_is_whose(tmp_path: Path) -> None:
    store = Store(tmp_path)
    captions = {f"freesound-{number}": f"A machine wrote {number}." for number in range(40)}
    study = small_study(store, captions, {clip_id: f"people wrote {clip_id[10:]}" for clip_id in captions})
    page = page_of(study, store)
    shown = next(
        json.loads(text) for attributes, text in Scripts(page).scripts if attributes.get("id") == "study"
    )
    assert {name for item in shown["items"] for name in item} == {"id", "captions"}
    assert {name for item in shown["items"] for caption in item["captions"] for name in caption} == {
        "id",
        "text",
    }
    # Either kind stands first about as often: 40 throws of a coin, 4.4 standard deviations.
    ours = sum(item["captions"][0]["text"].startswith("A machine") for item in shown["items"])
    assert 6 < ours < 34
    without_credits = json.dumps(shown["items"]) + re.sub(r'"credits": \[.*?\]', "", page)
    for word in ("freesound", study.study.key.column("samples_sha256")[0].as_py(), "audio_path"):
        assert word not in without_credits
    assert shown["credits"] == sorted(shown["credits"])


def test_hostile_captions_stay_data(tmp_path: Path) -> None:
    store = Store(tmp_path)
    captions = {f"freesound-{number}": text for number, text in enumerate(HOSTILE)}
    study = small_study(store, captions)
    parsed = Scripts(page_of(study, store))
    kinds = [attributes.get("type") for attributes, _ in parsed.scripts]
    assert kinds == ["application/json", *["text/plain"] * 4, None]
    assert "img" not in parsed.elements
    shown = json.loads(parsed.scripts[0][1])
    assert {item["captions"][0]["text"] for item in shown["items"]} == set(HOSTILE)


def test_second_captions_are_read_from_csv_and_parquet(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_bytes(
        "second.csv", b'clip_id,caption\n007,"Rain, falling."\n007,"Rain, falling."\n8,\n9,"Two\nlines"\n'
    )
    found = read_second_captions("second.csv", store)
    assert found.by_clip == {"007": ("Rain, falling.",), "9": ("Two lines",)}
    assert found.empty == 1
    # As `caption_comparison` writes it.
    table = pa.table(
        {"clip_id": ["a", "a", "b"], "first_caption": ["x", "y", "z"], "second_caption": ["1", "2", None]}
    )
    pq.write_table(table, tmp_path / "second.parquet")
    found = read_second_captions(str(tmp_path / "second.parquet"), store)
    assert found.by_clip == {"a": ("1", "2")}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("s.csv", b"id,caption\n1,x\n", "needs the columns clip_id"),
        ("s.csv", b"", "cannot be read"),
        ("s.parquet", b"no parquet", "cannot be read"),
        ("s.csv", b"clip_id,caption\na,b,c\n", "cannot be read"),
        ("s.csv", b"clip_id,caption, caption\na,b,c\n", "the columns caption more than once"),
    ],
)
def test_a_bad_file_of_second_captions_is_told(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadSecondCaptions, match=said):
        read_second_captions(str(tmp_path / name), Store(tmp_path))


def test_a_second_caption_that_is_no_text_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "spaced.csv").write_bytes(b"clip_id, caption\n007, A dog barks.\n")
    assert read_second_captions("spaced.csv", Store(tmp_path)).by_clip == {"007": ("A dog barks.",)}
    pq.write_table(pa.table({"clip_id": [1, 2], "caption": [["A", "B"], None]}), tmp_path / "lists.parquet")
    found = read_second_captions("lists.parquet", Store(tmp_path))
    assert (found.by_clip, found.empty) == ({}, 2)
