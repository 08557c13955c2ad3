"""The rows of a DuckDB file, as the export `duckdb_file` writes it: those of its table `manifest`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wavcaps_assets.checks.manifest_formats import BATCH, Row, UnusableManifest

DUCKDB = ".duckdb"
TABLE = "manifest"


def duckdb_rows(file: Path, wanted: frozenset[str]) -> Iterator[Row]:
    """The rows, with the wanted columns.

    Raises:
        UnusableManifest: it is no DuckDB file, or has no table `manifest`.
    """
    import duckdb

    try:
        # A file from outside must not be able to read others, by a view.
        config: dict[str, str | bool | int | float | list[str]] = {"enable_external_access": False}
        with duckdb.connect(str(file), read_only=True, config=config) as database:
            table = database.table(TABLE)
            chosen = ", ".join(f'"{name}"' for name in table.columns if name in wanted)
            for batch in table.project(chosen).to_arrow_reader(BATCH):
                yield from batch.to_pylist()
    except duckdb.Error as error:
        raise UnusableManifest(f"{file} cannot be read as an export in DuckDB: {error}") from error
