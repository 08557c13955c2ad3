"""Stage 1, on hand-made cases of section III.B."""

from typing import Any

import pyarrow as pa

from tests.rows import audio_row, raw_row
from wavcaps_assets import schemas
from wavcaps_assets.checks.tables import check_nothing_lost
from wavcaps_assets.filtering import FilterSettings, filter_clips
from wavcaps_assets.stages import Stage, drop


def audio(rows: list[dict[str, Any]], dropped: list[dict[str, Any]] | None = None) -> Stage:
    return Stage(schemas.AUDIO.from_rows(rows), schemas.DROPPED.from_rows(dropped or []))


def raw(*rows: dict[str, Any]) -> pa.Table:
    return schemas.RAW_CLIPS.from_rows(rows)


def reasons(stage: Stage) -> dict[str, str]:
    return {row["clip_id"]: row["reason"] for row in stage.dropped.to_pylist()}


def test_exactly_one_second_is_long_enough() -> None:
    # The released set's shortest clip is exactly 1 s long.
    clips = raw(raw_row("a"), raw_row("b"))
    stage = filter_clips(
        clips, audio([audio_row("a", duration_s=1.0), audio_row("b", duration_s=0.999)]), FilterSettings()
    )
    assert stage.kept.column("clip_id").to_pylist() == ["a"]
    assert reasons(stage) == {"b": "too_short"}


def test_the_measured_duration_counts_where_there_is_one() -> None:
    clips = raw(raw_row("a", claimed_duration_s=30.0), raw_row("b", claimed_duration_s=0.5), raw_row("c"))
    stage = filter_clips(clips, audio([audio_row("a", duration_s=0.2)]), FilterSettings())
    assert reasons(stage) == {"a": "too_short", "b": "too_short"}
    assert stage.kept.to_pylist()[0]["duration_s"] is None


def test_a_description_may_be_shared_by_five_clips_and_not_by_six() -> None:
    five = [raw_row(f"five{i}", description="rain") for i in range(5)]
    six = [raw_row(f"six{i}", description="http://my.site") for i in range(6)]
    undescribed = [raw_row(f"none{i}", description=None) for i in range(7)]
    stage = filter_clips(raw(*five, *six, *undescribed), audio([]), FilterSettings())
    assert {clip for clip, reason in reasons(stage).items() if reason == "frequent_description"} == {
        f"six{i}" for i in range(6)
    }
    assert stage.kept.num_rows == 12


def test_only_freesounds_descriptions_are_counted() -> None:
    bbc = [raw_row(f"b{i}", source="bbc_sound_effects", description="Door") for i in range(20)]
    stage = filter_clips(raw(*bbc), audio([]), FilterSettings())
    assert stage.dropped.num_rows == 0


def test_a_clip_whose_audio_was_set_aside_keeps_that_reason() -> None:
    clips = raw(raw_row("a"), raw_row("b"))
    gone = drop("a", "freesound", "audio", "audio_gone", "404")
    stage = filter_clips(clips, audio([audio_row("b")], [gone]), FilterSettings())
    (row,) = stage.dropped.to_pylist()
    assert row == drop("a", "freesound", "filtered_clips", "audio_gone", "404")
    assert check_nothing_lost(clips, stage).passed


def test_hostile_texts_pass_through_unread() -> None:
    text = "'; drop table raw; -- \" {} %s"
    stage = filter_clips(raw(raw_row("a", description=text)), audio([]), FilterSettings())
    assert stage.kept.column("description").to_pylist() == [text]


def test_a_lost_clip_is_noticed() -> None:
    clips = raw(raw_row("a"), raw_row("b"))
    verdict = check_nothing_lost(clips, Stage(clips.slice(0, 1), schemas.DROPPED.empty()))
    assert not verdict.passed
    assert "1 clips lost, such as b" in verdict.description
