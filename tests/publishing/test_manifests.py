"""Every caption is in the manifest, or is dropped from it with a reason."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.rows import audio_row, raw_row
from wavcaps_assets.checks.tables import check_nothing_lost
from wavcaps_assets.publishing.manifests import make_manifest
from wavcaps_assets.store.migration import SCHEMA_VERSION
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import AUDIO, CAPTIONS, LLM_CAPTIONS, MANIFEST, OTHER_CAPTIONS, RAW_CLIPS
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_assets.tables.set_versions import content_hash
from wavcaps_assets.tables.stage import Stage

CLIPS = ("published", "gone", "gone without audio", "asked again", "waiting")


def caption_row(clip: str) -> dict[str, object]:
    common = {"clip_id": clip, "source": "freesound", "text": "dog", "caption": "A dog barks."}
    return {**common, "repairs": [], "verdict": "accept", "findings": []}


def answer_row(clip: str) -> dict[str, object]:
    common = {"clip_id": clip, "source": "freesound", "text": "dog", "caption": "A dog barks."}
    return {**common, "model": "test", "prompt_version": "1", "attempts": 1}


@pytest.fixture
def stage() -> Stage:
    """The tables of five clips, some of which were materialized again since the captions were."""
    return make_manifest(
        CAPTIONS.from_rows(map(caption_row, CLIPS)),
        LLM_CAPTIONS.from_rows(answer_row(clip) for clip in CLIPS if clip != "asked again"),
        RAW_CLIPS.from_rows(raw_row(clip) for clip in CLIPS if not clip.startswith("gone")),
        AUDIO.from_rows(audio_row(clip) for clip in CLIPS if clip not in ("waiting", "gone without audio")),
    )


def test_a_caption_whose_clip_left_between_two_stages_is_dropped_with_a_reason(stage: Stage) -> None:
    assert stage.kept["clip_id"].to_pylist() == ["published"]
    assert {row["clip_id"]: row["reason"] for row in stage.dropped.to_pylist()} == {
        "gone": "not_listed",
        "gone without audio": "not_listed",
        "asked again": "no_llm_caption",
        "waiting": "no_audio_yet",
    }


def test_the_counts_add_up_and_the_check_sees_when_they_do_not(stage: Stage) -> None:
    captions = CAPTIONS.from_rows(map(caption_row, CLIPS))
    verdict = check_nothing_lost(captions, stage)
    assert verdict.passed
    assert verdict.numbers == {"in": 5, "kept": 1, "dropped": 4}
    for kept, dropped, problem in (
        (stage.kept, stage.dropped.slice(1), "1 clips lost, such as asked again"),
        (stage.kept.slice(1), stage.dropped, "1 clips lost, such as published"),
        (stage.kept.take([0, 0]), stage.dropped, "1 clips kept or dropped more than once, such as published"),
        (stage.kept, stage.dropped.take([0, 1, 2, 3, 3]), "more than once, such as waiting"),
    ):
        verdict = check_nothing_lost(captions, Stage(kept, dropped))
        assert not verdict.passed and problem in verdict.description
    assert (
        "1 clips not in the input, such as gone"
        in check_nothing_lost(captions.filter([clip != "gone" for clip in CLIPS]), stage).description
    )


def other_row(clip: str, kind: str, caption: str) -> dict[str, object]:
    row = {"clip_id": clip, "source": "freesound", "kind": kind, "caption": caption, "model": "test"}
    return {**row, "number": 1, "prompt_version": f"{kind}-1", "repairs": []}


def test_further_captions_come_with_their_clip_in_the_order_of_their_kinds() -> None:
    """ "tags", "short", "long", "query", "temporal"; of a clip that is not published, none."""
    clips = ["one", "none", "waiting"]
    stage = make_manifest(
        CAPTIONS.from_rows(map(caption_row, clips)),
        LLM_CAPTIONS.from_rows(map(answer_row, clips)),
        RAW_CLIPS.from_rows(map(raw_row, clips)),
        AUDIO.from_rows(map(audio_row, clips[:2])),
        OTHER_CAPTIONS.from_rows(
            [
                other_row("one", "query", 'dog, "barking"'),
                other_row("one", "short", "Dog.\n"),
                other_row("one", "tags", "dog, animal"),
                other_row("waiting", "short", "Lost."),
            ]
        ),
    )
    published = {row["clip_id"]: row["other_captions"] for row in stage.kept.to_pylist()}
    assert published["none"] is None and [*published] == ["none", "one"]
    assert published["one"] == [
        {"text": text, "kind": kind, "model": "test", "prompt_version": f"{kind}-1"}
        for kind, text in (("tags", "dog, animal"), ("short", "Dog.\n"), ("query", 'dog, "barking"'))
    ]
    assert {row["caption"] for row in stage.kept.to_pylist()} == {"A dog barks."}


def test_a_set_from_before_further_captions_is_read_without_any_and_is_the_same_version(
    stage: Stage, tmp_path: Path
) -> None:
    tables = TableStore(Store(tmp_path))
    tables.write(["wavcaps"], None, stage.kept)
    (path,) = tmp_path.rglob("*.parquet")
    old = stage.kept.drop_columns(["other_captions"]).replace_schema_metadata({SCHEMA_VERSION: "4"})
    pq.write_table(old, path)
    read = tables.read(["wavcaps"], [WHOLE])
    assert read["other_captions"].to_pylist() == [None] and read.drop_columns(["other_captions"]).equals(
        old.cast(pa.schema([field for field in MANIFEST.arrow if field.name != "other_captions"]))
    )
    assert content_hash(read) == content_hash(stage.kept)
