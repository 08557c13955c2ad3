"""The commands `wavcaps backup` and `wavcaps restore`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from wavcaps_assets.backup.archive import Archive
from wavcaps_assets.backup.backup import back_up
from wavcaps_assets.backup.kinds import Kind
from wavcaps_assets.backup.layout import BackupError, InstanceKind
from wavcaps_assets.backup.restore import Target
from wavcaps_assets.backup.restore import restore as write_back
from wavcaps_assets.settings import Settings
from wavcaps_assets.store.storage import Store, StoreError, open_store

DEFAULT_HOME = Path(__file__).parents[2] / "dagster_home"


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--with",
    "included",
    multiple=True,
    type=click.Choice([kind.value for kind in Kind]),
    help="Include these large files, too. May be repeated.",
)
def backup(file: Path, included: tuple[str, ...]) -> None:
    """Write the logs and tables of the store, the instance, and the request quotas to FILE, a .tar.zst.

    Runs may be at work. Audio, checkpoints and exports are left out unless they are asked for. Keys and
    tokens are never in a backup. The store is that of WAVCAPS_STORE, the instance that of DAGSTER_HOME.
    """
    settings, store, home = _here()
    if home != DEFAULT_HOME and not home.is_dir():
        raise click.ClickException(f"there is no folder {home}: set DAGSTER_HOME to that of the instance")
    try:
        done = back_up(file.absolute(), store, settings.state, home, [Kind(one) for one in included])
    except (BackupError, OSError) as error:
        raise click.ClickException(str(error)) from error
    size = file.stat().st_size
    click.echo(f"{done.files}, compressed to {size / 1e6:,.1f} MB: {file}")
    click.echo(f"  store: {done.about.store}")
    click.echo(f"  instance: {done.about.instance}, of {done.about.home}")
    if done.about.instance is InstanceKind.NONE:
        click.echo(f"  {home} has no runs. If the instance is elsewhere, set DAGSTER_HOME.", err=True)
    for kind, left in sorted(done.left_out.items()):
        click.echo(f"  left out: {kind}: {left} (include them with --with {kind})")
    if done.state_left_out:
        click.echo(f"  left out of {settings.state}: {', '.join(done.state_left_out)} (tokens and caches)")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--store-only", is_flag=True, help="Restore the store, and neither the instance nor the quotas."
)
def restore(file: Path, store_only: bool) -> None:
    """Restore FILE, a backup, into an empty store and an empty instance.

    The store is that of WAVCAPS_STORE, a folder or a bucket, the instance that of DAGSTER_HOME. Start nothing
    else meanwhile. A restore that was stopped is completed by the same command.
    """
    settings, store, home = _here()
    try:
        archive = Archive(file)
        about = archive.about
        click.echo(f"{file} is complete: made {about.made:%Y-%m-%d %H:%M} UTC of {about.store}")
        target = Target(store) if store_only else Target(store, settings.state, home)
        done = write_back(archive, target)
    except (BackupError, OSError) as error:
        raise click.ClickException(str(error)) from error
    places = [store.describe_root(), *([] if store_only else [str(home)])]
    click.echo(f"{done.files:,} files are restored to {' and '.join(places)}")
    for run in done.ended_runs:
        click.echo(f"  the run {run} was in progress, and has ended: start its job again")
    for kind, left in sorted(archive.complete.left_out.items()):
        click.echo(f"  not in the backup: {kind}: {left}")
    if Kind.AUDIO in archive.complete.left_out:
        click.echo("  Copy the audio to its place in the store. Otherwise the next crawls fetch it again.")


def _here() -> tuple[Settings, Store, Path]:
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(DEFAULT_HOME))).absolute()
    os.environ["DAGSTER_HOME"] = str(home)
    settings = Settings()
    try:
        store = open_store(settings.store, settings.s3.endpoint_url or None, settings.s3.region or None)
    except StoreError as error:
        raise click.ClickException(str(error)) from error
    return settings, store, home
