"""Further captions in training manifests: of the kinds that a setting names, for train clips only."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.support.rows import manifest_row
from wavcaps_assets.publishing.splits import SplitSettings, split_by_recording
from wavcaps_assets.tables import MANIFEST, RECORDINGS, SPLIT_ASSIGNMENTS

CLIPS = 60
NOW = datetime(2026, 11, 28, tzinfo=UTC)


def published() -> pa.Table:
    """Clips of which every other one has a query and tags, and each third only tags."""

    def further(number: int) -> list[dict[str, str]] | None:
        made = {"model": "test", "prompt_version": "1"}
        tags = {**made, "kind": "tags", "text": f"tag {number}"}
        query = {**made, "kind": "query", "text": f"query {number}"}
        return [tags, query] if number % 2 == 0 else [tags] if number % 3 == 0 else None

    return MANIFEST.from_rows(
        manifest_row(
            f"freesound-{number:02}",
            "freesound",
            samples_sha256=f"samples {number}",
            other_captions=further(number),
        )
        for number in range(CLIPS)
    )


def split(kinds: list[str]) -> pa.Table:
    settings = SplitSettings(other_captions=kinds)
    none = RECORDINGS.empty(), settings, SPLIT_ASSIGNMENTS.empty()
    return split_by_recording(published(), *none, NOW).manifest


def test_no_further_caption_is_in_the_training_manifest_by_default() -> None:
    assert not any(split([])["other_captions"].to_pylist())


@pytest.mark.parametrize("kinds", [["query"], ["tags"], ["query", "tags"]])
def test_train_clips_get_the_kinds_that_are_named_and_no_others(kinds: list[str]) -> None:
    plain, found = split([]), split(kinds)
    # The split itself is the same.
    assert found.drop_columns(["other_captions"]).equals(plain.drop_columns(["other_captions"]))
    assert set(pc.unique(found["split"]).to_pylist()) == {"train", "validation", "test"}
    given = {
        row["clip_id"]: [one["text"] for one in row["other_captions"] or () if one["kind"] in kinds]
        for row in published().to_pylist()
    }
    for row in found.to_pylist():
        assert row["other_captions"] == (given[row["clip_id"]] if row["split"] == "train" else [])


def test_a_kind_that_was_not_made_is_named() -> None:
    with pytest.raises(ValueError, match=r"of the kind long; there are query, tags"):
        split(["tags", "long"])
