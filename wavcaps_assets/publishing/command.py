"""The commands `wavcaps versions` and `wavcaps diff`."""

from __future__ import annotations

from pathlib import Path

import click
import pyarrow.csv
import pyarrow.parquet as pq

from wavcaps_assets.publishing.changelog import changelog
from wavcaps_assets.publishing.compare_versions import compare_versions
from wavcaps_assets.publishing.version_diff import counts_of
from wavcaps_assets.settings import Settings
from wavcaps_assets.store.storage import Store, StoreError, open_store
from wavcaps_assets.tables.set_versions import SetVersion, SetVersions


@click.command()
def versions() -> None:
    """List the published versions of the set, the newest first.

    The store is the one that WAVCAPS_STORE names.
    """
    try:
        store = _store()
        found = SetVersions(store).all()
    except StoreError as error:
        raise click.ClickException(str(error)) from error
    if not found:
        click.echo(f"No version has been published yet in {store.describe_root()}: materialize wavcaps.")
        return
    click.echo(f"{'version':<16} {'published (UTC)':<16} {'clips':>9}  what changed")
    for version in reversed(found):
        when = f"{version.created:%Y-%m-%d %H:%M}"
        click.echo(f"{version.name:<16} {when:<16} {version.clips:>9,}  {_summary(version)}")


@click.command()
@click.argument("before", required=False)
@click.argument("after", required=False, default="latest")
@click.option(
    "--table",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write all changes to this file too, .csv or .parquet.",
)
def diff(before: str | None, after: str, table: Path | None) -> None:
    """Show what changed between two versions of the set: counts, and examples side by side.

    BEFORE and AFTER are versions, such as v3 or v3-1a2b3c4d. Without them, the newest version is compared
    with the one before it. The output is Markdown.
    """
    if table is not None and table.suffix not in (".csv", ".parquet"):
        raise click.UsageError(f"--table {table}: the file must end with .csv or .parquet")
    try:
        known = SetVersions(_store())
        second = known.find(after)
        if before is None and second.previous is None:
            raise click.ClickException(
                f"{second.name} is the first version: there is none to compare it with"
            )
        if before is None and second.previous not in known.names():
            # What a version changed is stored with it, and stays when the one before it is removed.
            title, changes = f"{second.previous} (removed since) → {second.name}", known.changes(second)
        else:
            first = known.find(before or second.previous or second.name)
            title, changes = f"{first.name} → {second.name}", compare_versions(known, first, second)
            title += f" ({first.clips:,} → {second.clips:,} clips)"
    except StoreError as error:
        raise click.ClickException(str(error)) from error
    if table is not None:
        try:
            (pyarrow.csv.write_csv if table.suffix == ".csv" else pq.write_table)(changes, table)
        except OSError as error:
            raise click.ClickException(f"cannot write {table}: {error}") from error
    page = changelog(title, changes, counts_of(changes), counts_of(changes, "why"))
    click.echo(page, nl=False)


def _summary(version: SetVersion) -> str:
    if version.previous is None:
        return "the first version"
    counts = (f"{number:,} {kind.replace('_', ' ')}" for kind, number in version.changes.items() if number)
    return ", ".join(counts)


def _store() -> Store:
    settings = Settings()
    return open_store(settings.store, settings.s3.endpoint_url or None, settings.s3.region or None)
