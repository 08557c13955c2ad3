"""The command `wavcaps import`: a published set becomes sources of this pipeline."""

from __future__ import annotations

import csv
from pathlib import Path

import click

from wavcaps_assets.importing.importing import CannotImport, SetTables, forget, import_from
from wavcaps_assets.importing.reading import UnusableSet
from wavcaps_assets.importing.settings import ImportSettings
from wavcaps_assets.importing.summary import missing_audio, printable, summary
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources.imported import DamagedImport
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
        chosen = ImportSettings(
            path=str(path),
            audio=str(audio or ""),
            source=source or "",
            rename=_renames(renames),
            replace=replace,
        )
        built, _ = import_from(chosen, tables, settings.state, dry_run=dry_run)
        if missing is not None:
            _write_missing(missing, built)
    except (UnusableSet, CannotImport, DamagedImport, StoreError, OSError) as error:
        raise click.ClickException(printable(str(error))) from error
    click.echo(summary(built))
    if silent := [name for name, table in built.tables.items() if built.without_audio(name) == len(table)]:
        click.echo(
            f"No clip of {', '.join(silent)} has audio here, and clips without audio are not published: say "
            "where it is with --audio FOLDER",
            err=True,
        )
    click.echo("Nothing was written." if dry_run else _next_steps(built))


def _next_steps(built: SetTables) -> str:
    crawls = ", ".join(f"crawl_{name}" for name in built.tables)
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
        renames[old] = new
    return renames


def _write_missing(path: Path, built: SetTables) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("clip_id", "why"))
        writer.writerows(missing_audio(built))
