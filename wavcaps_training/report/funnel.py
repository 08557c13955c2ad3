"""What happened to every record that a source listed: published, dropped for a reason, or waiting."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.show.text import shown
from wavcaps_assets.sources.base import Source
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage
from wavcaps_training.report.data import DroppedClip, Funnel, Reason

# The steps in their order, and the names of what is left after each.
STEPS = {
    "raw_clips": "found",
    "audio": "audio stored",
    "filtered_clips": "passed stage 1",
    "llm_captions": "captioned",
    "captions": "passed stage 3",
    "manifest": "published",
}
DROPPED_BY = {
    "raw_clips": "crawl",
    "audio": "audio",
    "filtered_clips": "stage 1 (filter)",
    "llm_captions": "stage 2 (captions)",
    "captions": "stage 3 (rules)",
    "manifest": "manifest",
    "wavcaps": "the whole set",
}
CRAWLED = ("raw_clips", "audio")


def make_funnels(tables: TableStore, sources: Sequence[Source]) -> tuple[Funnel, ...]:
    """The funnel of each source that has been crawled."""
    funnels = []
    for source in sources:
        stages = {step: _read(tables, source.name, step) for step in STEPS}
        raw = stages["raw_clips"]
        if raw is not None:
            left_out = _left_out_of_the_set(tables, source.name)
            funnels.append(_funnel(source.title, raw, stages, left_out))
    return tuple(funnels)


def _read(tables: TableStore, source: str, step: str) -> Stage | None:
    if step in CRAWLED:
        stage = tables.read_stage([source, step])
        return stage if stage.kept.num_rows or stage.dropped.num_rows else None
    return tables.read_stage([step], [source]) if tables.exists([step], source) else None


def _left_out_of_the_set(tables: TableStore, source: str) -> pa.Table:
    """The clips of a source that have a manifest row and are not published, such as a sound's second clip."""
    dropped = tables.read_dropped(["wavcaps"])
    return dropped.filter(pc.equal(dropped.column("source"), source))


def _funnel(title: str, raw: Stage, stages: dict[str, Stage | None], left_out: pa.Table) -> Funnel:
    found = {*raw.kept.column("clip_id").to_pylist(), *raw.dropped.column("clip_id").to_pylist()}
    texts = {
        clip["clip_id"]: clip["description"] or clip["title"]
        for clip in raw.kept.select(["clip_id", "description", "title"]).to_pylist()
    }
    # A clip is counted at the first step that dropped it: stage 1 repeats the verdict of the audio step.
    judged: set[str] = set()
    reasons: list[Reason] = []
    dropped = {step: stage.dropped for step, stage in stages.items() if stage is not None}
    for step, rows in {**dropped, "wavcaps": left_out}.items():
        by_reason: dict[str, list[DroppedClip]] = {}
        for row in rows.sort_by("clip_id").to_pylist():
            if row["clip_id"] not in judged:
                judged.add(row["clip_id"])
                example = DroppedClip(row["clip_id"], shown(texts.get(row["clip_id"])), shown(row["detail"]))
                by_reason.setdefault(row["reason"], []).append(example)
        reasons += [
            Reason(DROPPED_BY[step], reason, len(clips), clips[0])
            for reason, clips in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
        ]
    manifest = stages["manifest"]
    published = set() if manifest is None else set(manifest.kept.column("clip_id").to_pylist())
    published -= set(left_out.column("clip_id").to_pylist())
    left = {step: None if stage is None else stage.kept.num_rows for step, stage in stages.items()}
    left["raw_clips"] = len(found)
    if manifest is not None:
        left["manifest"] = len(published)
    return Funnel(title, tuple(left.values()), tuple(reasons), len(found - judged - published))
