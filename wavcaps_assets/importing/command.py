"""The command `wavcaps import`: a published set becomes sources of this pipeline."""

from __future__ import annotations

import csv
from pathlib import Path

import click

from wavcaps_assets.checks.render import CONTROL, REPLACED
from wavcaps_assets.importing.importing import (
    CannotImport,
    SetTables,
    build_tables,
    forget,
    missing_audio,
    require_names,
    write_import,
)
from wavcaps_assets.importing.reading import UnusableSet, find_set, source_name
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources.imported import DamagedImport, ImportedSet
from wavcaps_assets.store.storage import StoreError, open_store
from wavcaps_assets.tables.asset_tables import TableStore

EXISTING = click.Path(exists=True, path_type=Path)


@click.command("import")
@click.argument("path", type=EXISTING, required=False)
@click.option("--audio", type=EXISTING, help="The folder of the audio, if it is not that of the set.")
@click.option("--source", help="The source of clips whose rows and files do not name one, such as laion.")
@click.option(
    "--rename",
    "renames",
    multiple=True,
    metavar="OLD=NEW",
    help="Import a source under another name, next to the crawled one. Each sound is then published once.",
)
@click.option("--replace", is_flag=True, help="Take the place of sources imported from another folder.")
@click.option(
    "--missing",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the clips without audio, and why, to this CSV file.",
)
@click.option("--dry-run", is_flag=True, help="Only say what the set has.")
@click.option("--forget", "forgotten", multiple=True, metavar="SOURCE", help="Undo the import of a source.")
def import_set(
    path: Path | None,
    audio: Path | None,
    source: str | None,
    renames: tuple[str, ...],
    replace: bool,
    missing: Path | None,
    dry_run: bool,
    forgotten: tuple[str, ...],
) -> None:
    """Import a set: its clips become sources, and keep their captions.

    PATH is the folder of the released WavCaps (json_files/ and Zip_files/), of WebDataset tars, of Parquet
    files of Hugging Face datasets, of an export of this project, or one list: Parquet, JSON, JSON Lines or
    CSV.

    Nothing is copied now. The jobs crawl_SOURCE read the audio out of its archives, where the set is.

    \b
    Examples:
      wavcaps import /data/WavCaps
      wavcaps import /data/laion --source laion --dry-run
      wavcaps import --forget laion
    """
    if (path is None) == (not forgotten):
        raise click.UsageError("give the PATH of a set, or --forget a source")
    settings = Settings()
    try:
        tables = TableStore(
            open_store(settings.store, settings.s3.endpoint_url or None, settings.s3.region or None)
        )
        if path is None:
            forget(list(forgotten), settings.state, tables)
            click.echo(f"forgotten: {', '.join(forgotten)}. Reload the code location in the web UI.")
            return
        names = _renames(renames)
        files = find_set(path, audio, source)
        built = build_tables(files, names)
        require_names(
            built, files, tables, settings.state, frozenset(built.tables) if replace else frozenset()
        )
        if missing is not None:
            _write_missing(missing, built)
        imported = {} if dry_run else write_import(built, files, settings.state, names)
    except (UnusableSet, CannotImport, DamagedImport, StoreError, OSError) as error:
        raise click.ClickException(printable(str(error))) from error
    click.echo(summary(built))
    click.echo("Nothing was written." if dry_run else _next_steps(imported))


def summary(built: SetTables) -> str:
    """What a set has, as lines for the terminal."""
    lines = [f"{'source':<24} {'clips':>9} {'with audio':>11} {'missing':>9} {'repeated':>9}"]
    for name, table in built.tables.items():
        without = built.without_audio(name)
        lines.append(
            f"{name:<24} {table.num_rows:>9,} {table.num_rows - without:>11,} {without:>9,} "
            f"{built.repeated[name]:>9,}"
        )
    for problem, count in built.notes.problems.items():
        such = ", ".join(built.notes.examples.get(problem, ()))
        lines.append(printable(f"{count:,} {problem}" + (f": {such}" if such else "")))
    if built.notes.unused_audio:
        lines.append(f"{built.notes.unused_audio:,} audio files have no row, and are not read")
    return "\n".join(lines)


def printable(text: str) -> str:
    """A text from outside, without characters that a terminal would obey."""
    return CONTROL.sub(REPLACED, text).encode("utf-8", "backslashreplace").decode()


def _next_steps(imported: dict[str, ImportedSet]) -> str:
    crawls = ", ".join(f"crawl_{name}" for name in imported)
    return (
        "Imported. Next: `wavcaps run --until publish`, or reload the code location in the web UI and run "
        f"{crawls}, then caption_source and publish. The captions are published as they came; "
        "WAVCAPS_IMPORTED__AS_GIVEN=no, or a method in the launchpad, writes new ones."
    )


def _renames(given: tuple[str, ...]) -> dict[str, str]:
    renames: dict[str, str] = {}
    for one in given:
        old, sign, new = one.partition("=")
        if not (old and sign and new):
            raise click.UsageError(f"--rename {one}: write OLD=NEW, such as freesound=released_freesound")
        if old in renames or new in renames.values():
            raise click.UsageError(f"--rename {one}: a name occurs twice")
        renames[old] = source_name(new)
    return renames


def _write_missing(path: Path, built: SetTables) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("clip_id", "why"))
        writer.writerows(missing_audio(built))
