"""The labelled events of the published clips as rows."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from typing import Any

import pyarrow as pa
import pytest

from tests.support.paths import DATA
from tests.support.rows import manifest_row
from wavcaps_assets.checks.tables import check_only_published
from wavcaps_assets.publishing.strong_labels import frequent_labels, label_rows
from wavcaps_assets.tables import MANIFEST

EXCERPTS = DATA / "audioset" / "strong_excerpts"


def event(start: float, end: float, label: str) -> dict[str, Any]:
    return {"onset_s": start, "offset_s": end, "label": label}


def published(*rows: dict[str, Any]) -> pa.Table:
    return MANIFEST.from_rows(rows)


def test_every_event_of_a_published_clip_is_a_row() -> None:
    table = published(
        manifest_row(
            "b",
            events=[event(0.5, 1.0, "Bark"), event(0.5, 9.75, "Rain"), event(0.5, 1.0, "Bark")],
            event_mids=["/m/05tny_", "/m/06mb1", "/m/05tny_"],
        ),
        manifest_row("c"),
        # An older version crawled it: its MIDs are not known.
        manifest_row("a", events=[event(0.0, 10.0, "Wind")]),
    )
    rows = label_rows(table)
    assert [tuple(row.values()) for row in rows.to_pylist()] == [
        ("a", 0, 0.0, 10.0, "Wind", None),
        ("b", 0, 0.5, 1.0, "Bark", "/m/05tny_"),
        ("b", 1, 0.5, 9.75, "Rain", "/m/06mb1"),
        ("b", 2, 0.5, 1.0, "Bark", "/m/05tny_"),
    ]
    assert frequent_labels(rows, most=2) == {"Bark": 2, "Rain": 1}


def test_a_set_without_events_has_no_rows() -> None:
    assert label_rows(published(manifest_row("a"))).num_rows == 0
    assert label_rows(MANIFEST.empty()).num_rows == 0


def test_rows_of_other_clips_are_reported() -> None:
    rows = label_rows(published(manifest_row("a", events=[event(0.0, 1.0, "Bark")])))
    assert check_only_published(rows, published(manifest_row("a"))).passed
    outcome = check_only_published(rows, published(manifest_row("b")))
    assert not outcome.passed and "such as a" in outcome.description


@pytest.mark.skipif(not EXCERPTS.is_dir(), reason=f"no excerpts of the real labels at {EXCERPTS}")
def test_the_published_excerpts_come_back_event_by_event() -> None:
    expected: defaultdict[str, Counter[tuple[float, float, str]]] = defaultdict(Counter)
    for path in EXCERPTS.glob("*_strong.tsv"):
        with path.open(encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                span = float(row["start_time_seconds"]), float(row["end_time_seconds"])
                expected[row["segment_id"]][(*span, row["label"])] += 1
    rows = label_rows(
        published(
            *(
                manifest_row(
                    clip_id,
                    events=[event(*one) for one in sorted(found.elements())],
                    event_mids=[one[2] for one in sorted(found.elements())],
                )
                for clip_id, found in expected.items()
            )
        )
    )
    read: defaultdict[str, Counter[tuple[float, float, str]]] = defaultdict(Counter)
    for one in rows.to_pylist():
        assert one["mid"] == one["label"]
        read[one["clip_id"]][one["start_s"], one["end_s"], one["mid"]] += 1
    assert read == expected
    assert rows.num_rows == 9_525
