"""What changed between two versions of the set, of 403,050 rows each, and how a version is published.

Of every hundred clips, three have another caption, one another licence, one is gone and one is new. Each side
is a process of its own: our diff of two Parquet files, as `wavcaps diff` does it, and pandas, which merges
the two files and compares columns. Both must find the same changes.

The limits of ours: 10 s and 1.5 GB. Publishing (the hash, the diff, the files) is printed, without a limit.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.own_process import in_own_process
from benchmarks.result import own_peak_mb, report
from benchmarks.whole_set import manifest
from wavcaps_assets.publishing.publish_version import publish_version
from wavcaps_assets.publishing.version_diff import counts_of, diff
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import DROPPED
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage

LIMIT_S, LIMIT_MB = 10.0, 1_500.0
BEFORE, AFTER = "before.parquet", "after.parquet"
Counts: TypeAlias = dict[str, int]


def write(folder: Path) -> None:
    """Two versions of almost the same clips."""
    whole = manifest()
    place = pa.array([number % 100 for number in range(len(whole))])
    before, after = (whole.filter(pc.not_equal(place, missing)) for missing in (0, 1))
    place = place.filter(pc.not_equal(place, 1))
    for name, changed in (("caption", (2, 3, 4)), ("licence_id", (5,))):
        there = pc.is_in(place, value_set=pa.array(changed, place.type))
        other = pc.binary_join_element_wise(after.column(name), "changed", " ")
        column = pc.if_else(there, other, after.column(name))
        after = after.set_column(after.column_names.index(name), after.schema.field(name), column)
    for name, table in ((BEFORE, before), (AFTER, after)):
        pq.write_table(table, folder / name, compression="zstd")


def ours(folder: Path) -> Counts:
    return {
        kind: number for kind, number in counts_of(diff(folder / BEFORE, folder / AFTER)).items() if number
    }


def pandas(folder: Path) -> Counts:
    """As a person compares two manifests: an outer merge, and each column that matters."""
    import pandas as pd

    columns = ["clip_id", "caption", "licence_id", "samples_sha256", "title", "text"]
    one, other = (pd.read_parquet(folder / name, columns=columns) for name in (BEFORE, AFTER))
    merged = one.merge(other, on="clip_id", how="outer", suffixes=("_before", "_after"), indicator=True)
    both = merged[merged["_merge"] == "both"]
    return {
        "added": int((merged["_merge"] == "right_only").sum()),
        "removed": int((merged["_merge"] == "left_only").sum()),
        "recaptioned": int((both["caption_before"] != both["caption_after"]).sum()),
        "relicensed": int((both["licence_id_before"] != both["licence_id_after"]).sum()),
    }


def publishing(folder: Path) -> Counts:
    """Both versions are published, one after the other."""
    tables, now = TableStore(Store(folder / "store")), datetime(2026, 11, 28, tzinfo=UTC)
    for name in (BEFORE, AFTER):
        stage = Stage(pq.read_table(folder / name), DROPPED.empty())
        found = publish_version(tables, stage, list(stage.kept["source"].unique().to_pylist()), "run", now)
    return {kind: number for kind, number in found.version.changes.items() if number}


def run(side: Callable[[Path], Counts], folder: Path) -> tuple[float, float, Counts]:
    started = time.perf_counter()
    counts = side(folder)
    return time.perf_counter() - started, own_peak_mb(), counts


def measured(side: Callable[[Path], Counts], folder: Path) -> tuple[float, float, Counts]:
    """Seconds, MB and what it found, in a process of its own."""
    seconds, peak_mb, counts = in_own_process(run, side, folder)
    print(f"{side.__name__}: {seconds:.2f} s, {peak_mb:.0f} MB, {counts}")  # noqa: T201
    return seconds, peak_mb, counts


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Not in this process: what it holds at its largest would count as its children's.
        in_own_process(write, folder)
        seconds, peak_mb, counts = measured(ours, folder)
        other_seconds, _, other_counts = measured(pandas, folder)
        _, _, published = measured(publishing, folder)
    assert counts == other_counts == published, "ours and pandas differ"
    report("version_diff", seconds, "s", "pandas", other_seconds, peak_mb)
    if seconds > LIMIT_S or peak_mb > LIMIT_MB:
        sys.exit(f"the limits: {LIMIT_S:.0f} s, {LIMIT_MB:.0f} MB")


if __name__ == "__main__":
    main()
