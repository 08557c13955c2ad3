"""What the published set shares with a benchmark: `overlaps/<benchmark>`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.benchmark_sets.benchmarks.benchmark import without_ids
from wavcaps_assets.benchmark_sets.evidence import NOBODY, compared, overlaps_by_id, overlaps_by_text
from wavcaps_assets.benchmark_sets.exclusion_lists import RELEASED, lists_of, read_listed
from wavcaps_assets.benchmark_sets.heard import AUDIO_OVERLAPS, EMBEDDING_OVERLAPS
from wavcaps_assets.benchmark_sets.overlap_report import evidence_table, without_own_ids
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import OVERLAPS

# What clips are compared by, of a manifest.
COLUMNS = ["clip_id", "source", "caption", "text", "title", "attribution", "page_url"]


@dataclass(frozen=True)
class SharedClips:
    """What a set shares with a benchmark.

    Attributes:
        overlaps: `tables.OVERLAPS`, by lists, ids and texts.
        report: as Markdown, with what was not compared.
    """

    overlaps: pa.Table
    report: str


def shared_clips(
    clips: pa.Table,
    benchmark_clips: pa.Table,
    benchmark: str,
    store: Store,
    ids_of: Mapping[str, str] = NOBODY,
) -> SharedClips:
    """Compares a set with a benchmark, by the released lists, by ids and by texts.

    Args:
        clips: `COLUMNS`.
        benchmark_clips: `tables.BENCHMARK_CLIPS` of one benchmark.
        benchmark: its name.
        store: the store that may have the released exclusion lists.
        ids_of: by source, the source whose ids its clips have, for sources that were imported.

    Raises:
        SetError: an exclusion list does not have the expected format.
    """
    there = [name for name in lists_of(benchmark) if store.exists(RELEASED[name].path)]
    listed = read_listed(store, there)
    listed = listed.filter(pc.equal(listed.column("benchmark"), benchmark))
    by = compared(clips, ids_of)
    overlaps = pa.concat_tables(
        [overlaps_by_id(by, benchmark_clips, listed), overlaps_by_text(clips, benchmark_clips)]
    )
    lines = [f"The released list {name} is not there." for name in lists_of(benchmark) if name not in there]
    if unknown := len(without_ids(benchmark_clips)):
        of = f"{unknown:,} of {len(benchmark_clips):,} clips of {benchmark}"
        lines.append(f"The FreeSound or YouTube ids of {of} are not known.")
    lines.append(without_own_ids(by))
    lines.append(
        f"Evidence by audio is in the tables {AUDIO_OVERLAPS}/{benchmark} and "
        f"{EMBEDDING_OVERLAPS}/{benchmark}, if it was looked for."
    )
    report = [evidence_table(overlaps), "**Not compared**", "\n".join(f"- {line}" for line in lines)]
    return SharedClips(OVERLAPS.check(overlaps), "\n\n".join(report))
