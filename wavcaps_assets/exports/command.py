"""The command `wavcaps export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import ValidationError

from wavcaps_assets.clock import utc_now
from wavcaps_assets.exports.export import export as make_export
from wavcaps_assets.exports.exported_set import CURRENT, open_set
from wavcaps_assets.exports.format import ExportFormat, FormatSettings
from wavcaps_assets.exports.formats import all_formats
from wavcaps_assets.settings import Settings
from wavcaps_assets.show.progress import progress_bar
from wavcaps_assets.slices.uses import USES
from wavcaps_assets.store.storage import StoreError, open_store


@click.command()
@click.argument("name", metavar="[FORMAT]", required=False)
@click.option("--version", default=CURRENT, show_default=True, help="The version, such as v3 or v3-1a2b3c4d.")
@click.option(
    "--slice",
    "use",
    type=click.Choice(list(USES)),
    help="Only the clips that may be used for this purpose (docs/slices.md).",
)
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    help="A new or empty folder; without it, exports/<version>/<format> of the store.",
)
@click.option(
    "--set",
    "chosen",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the format. May be repeated.",
)
def export(name: str | None, version: str, use: str | None, to: Path | None, chosen: tuple[str, ...]) -> None:
    """Export a published version of the set. Without FORMAT, list the formats and their settings.

    An export that was stopped is completed by the same command. The store is the one that WAVCAPS_STORE
    names.
    """
    formats = all_formats()
    if name is None:
        click.echo("\n\n".join(_about(one) for one in formats.values()))
        return
    if name not in formats:
        raise click.UsageError(f"there is no format {name!r}: the formats are {', '.join(formats)}")
    fmt = formats[name]
    settings = _settings(fmt, chosen)
    machine = Settings()
    store = open_store(machine.store, machine.s3.endpoint_url or None, machine.s3.region or None)
    try:
        exported = open_set(store, version, use or "")
        with progress_bar(f"exporting {exported.name}", exported.table.num_rows) as progress:
            done = make_export(exported, fmt, settings, utc_now(), to, progress)
    except StoreError as error:
        raise click.ClickException(str(error)) from error
    about = done.description
    size = (
        f"{about.clips:,} clips of {about.version} in {len(about.files):,} files, {about.bytes / 1e6:,.1f} MB"
    )
    click.echo(f"{size}: {done.place}" + ("" if done.new else " (it was there before)"))
    for reason, number in about.reasons.items():
        click.echo(f"  {number:,} clips are left out: {reason} (named in export.json)")
    for what, number in about.notes.items():
        click.echo(f"  {what}: {number:,}")


def _settings(fmt: ExportFormat[Any], chosen: tuple[str, ...]) -> FormatSettings:
    values: dict[str, Any] = {}
    for one in chosen:
        name, equals, text = one.partition("=")
        if not equals:
            raise click.UsageError(f"--set {one}: write NAME=VALUE")
        try:
            values[name] = yaml.safe_load(text) if text else ""
        except yaml.YAMLError as error:
            raise click.UsageError(f"--set {one}: {text!r} is not a value") from error
    try:
        return fmt.settings.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        known = ", ".join(fmt.settings.model_fields) or "none"
        raise click.UsageError(f"{faults}. The settings of {fmt.name} are: {known}") from error


def _about(fmt: ExportFormat[Any]) -> str:
    lines = [f"{fmt.name}: {fmt.description}"]
    for name, field in fmt.settings.model_fields.items():
        lines.append(f"    {name}={field.default!r}: {field.description}")
    return "\n".join(lines)
