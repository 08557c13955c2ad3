"""Table III: each source before and after processing, with the paper's figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.analysis.paper_figures import NOTHING, TABLE_III, WHOLE_SET
from wavcaps_assets.analysis.words import Lexicon, texts_of
from wavcaps_assets.tables.analysis import SET_STATISTICS


@dataclass
class Totals:
    """Sums over clips. Clips without a duration or without words are counted separately."""

    clips: int = 0
    seconds: float = 0.0
    words: int = 0
    without_duration: int = 0
    without_words: int = 0

    def add(self, other: Totals) -> None:
        self.clips += other.clips
        self.seconds += other.seconds
        self.words += other.words
        self.without_duration += other.without_duration
        self.without_words += other.without_words

    def row(self) -> dict[str, Any]:
        timed, worded = self.clips - self.without_duration, self.clips - self.without_words
        return {
            "clips": self.clips,
            "hours": self.seconds / 3600 if timed else None,
            "mean_duration_s": self.seconds / timed if timed else None,
            "mean_words": self.words / worded if worded else None,
            "without_duration": self.without_duration,
            "without_words": self.without_words,
        }


def add_up(clips: pa.Table, duration: str, text: str) -> Totals:
    """Totals of a table of clips.

    Args:
        duration: its column of durations (s).
        text: its column of texts.
    """
    seconds = clips.column(duration).to_numpy().astype(float)
    known = np.isfinite(seconds) & (seconds >= 0)
    # A lexicon for each table, so that not all words of all descriptions are in memory.
    lengths = Lexicon().read(texts_of(clips.column(text))).lengths
    return Totals(
        clips=clips.num_rows,
        seconds=math.fsum(seconds[known]),
        words=int(lengths.sum()),
        without_duration=int((~known).sum()),
        without_words=int((lengths == 0).sum()),
    )


def with_measured_durations(raw: pa.Table, audio: pa.Table) -> pa.Table:
    """Raw clips with the measured duration where the source claims none.

    Args:
        raw: with the columns `clip_id` and `claimed_duration_s` of `tables.RAW_CLIPS`.
        audio: with the columns `clip_id` and `duration_s` of `tables.AUDIO`.

    Returns:
        `raw` in any order; a clip that has neither duration keeps null.
    """
    joined = raw.join(audio.select(["clip_id", "duration_s"]), "clip_id")
    durations = pc.coalesce(joined.column("claimed_duration_s"), joined.column("duration_s"))
    return joined.set_column(
        joined.schema.get_field_index("claimed_duration_s"), "claimed_duration_s", durations
    ).drop_columns("duration_s")


def set_statistics(raw_by_source: Mapping[str, Iterable[pa.Table]], wavcaps: pa.Table) -> pa.Table:
    """Table III for this run, with the paper's figures.

    Args:
        raw_by_source: for each crawled source, by its name, tables with the columns
            `claimed_duration_s` and `description` of `tables.RAW_CLIPS`, read one at a time.
        wavcaps: with the columns `source`, `duration_s` and `caption` of `tables.MANIFEST`.

    Returns:
        `tables.analysis.SET_STATISTICS`; a source of the paper that was not crawled has its figures only.
    """
    before: dict[str, Totals] = {}
    for source, tables in raw_by_source.items():
        totals = before[source] = Totals()
        for table in tables:
            totals.add(add_up(table, "claimed_duration_s", "description"))
    after = {
        source: add_up(wavcaps.filter(pc.equal(wavcaps.column("source"), source)), "duration_s", "caption")
        for source in {*before, *pc.unique(wavcaps.column("source")).to_pylist()}
    }
    for stage in (before, after):
        if stage:
            stage[WHOLE_SET] = _together(stage.values())
    paper = {row.source: row for row in TABLE_III}
    others = sorted(after.keys() - paper.keys())
    rows = []
    for source in [*(name for name in paper if name != WHOLE_SET), *others, WHOLE_SET]:
        figures = paper.get(source)
        for stage_name, totals_of, theirs in (
            ("before", before, figures.before if figures else NOTHING),
            ("after", after, figures.after if figures else NOTHING),
        ):
            rows.append(
                {
                    "source": source,
                    "stage": stage_name,
                    **(totals_of[source].row() if source in totals_of else {}),
                    "paper_clips": theirs.clips,
                    "paper_hours": theirs.hours,
                    "paper_mean_duration_s": theirs.mean_duration_s,
                    "paper_mean_words": theirs.mean_words,
                }
            )
    return SET_STATISTICS.from_rows(rows)


def _together(totals: Iterable[Totals]) -> Totals:
    whole = Totals()
    for part in list(totals):
        whole.add(part)
    return whole
