"""How fast the whole set is written, and how fast one looks something up in it: 403,050 rows.

Ours writes as the asset `wavcaps` does: checked against the schema, atomically, to the disk. The filter reads
the captions of one source from the file. Both are compared with pandas, with the same compression and filter.

The limits: 5 s to write, 0.5 s to filter.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pyarrow.parquet as pq

from benchmarks.own_process import in_own_process
from benchmarks.result import own_peak_mb, report
from benchmarks.whole_set import SOURCES, manifest
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore

LIMIT_S, FILTER_LIMIT_S = 5.0, 0.5
ROUNDS = 3
ROWS, SOURCE = "rows.parquet", "soundbible"
COLUMNS = ["clip_id", "source", "caption"]
Side: TypeAlias = Callable[[Path], tuple[Callable[[], None], Callable[[], int]]]


def write_rows(folder: Path) -> None:
    pq.write_table(manifest(), folder / ROWS)


def ours(folder: Path) -> tuple[Callable[[], None], Callable[[], int]]:
    tables, table = TableStore(Store(folder)), pq.read_table(folder / ROWS)

    def write() -> None:
        tables.write(["wavcaps"], None, MANIFEST.check(table))

    def find() -> int:
        import duckdb

        with tables.store.reading("tables/wavcaps/all.parquet") as path, duckdb.connect() as database:
            rows = database.read_parquet(str(path)).filter(f"source = '{SOURCE}'")
            return rows.select("clip_id, source, caption").to_arrow_table().num_rows

    return write, find


def pandas(folder: Path) -> tuple[Callable[[], None], Callable[[], int]]:
    import pandas as pd

    frame, path = pd.read_parquet(folder / ROWS), folder / "pandas.parquet"

    def find() -> int:
        return len(pd.read_parquet(path, columns=COLUMNS, filters=[("source", "==", SOURCE)]))

    return lambda: frame.to_parquet(path, compression="zstd"), find


def run(side: Side, folder: Path) -> tuple[float, float, float, int]:
    write, find = side(folder)
    times, rows = [], 0
    for action in (write, find):
        best = float("inf")
        for _ in range(ROUNDS):
            started = time.perf_counter()
            rows = action() or 0
            best = min(best, time.perf_counter() - started)
        times.append(best)
    return times[0], times[1], own_peak_mb(), rows


def measured(side: Side, folder: Path) -> tuple[float, float, float]:
    """Seconds to write and to filter, and MB, in a process of its own."""
    writing, finding, peak_mb, rows = in_own_process(run, side, folder)
    assert rows == SOURCES[SOURCE]
    print(f"{side.__name__}: {writing:.2f} s, filter {finding:.3f} s, {peak_mb:.0f} MB")  # noqa: T201
    return writing, finding, peak_mb


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_own_process(write_rows, folder)
        writing, finding, peak_mb = measured(ours, folder)
        other_writing, other_finding, _ = measured(pandas, folder)
    report("manifest_filter", finding, "s", "pandas", other_finding, peak_mb)
    report("manifest_write", writing, "s", "pandas", other_writing, peak_mb)
    if writing > LIMIT_S or finding > FILTER_LIMIT_S:
        sys.exit(f"the limits: {LIMIT_S} s to write, {FILTER_LIMIT_S} s to filter")


if __name__ == "__main__":
    main()
