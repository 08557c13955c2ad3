"""The command `wavcaps slice`."""

from __future__ import annotations

from pathlib import Path

import click
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from pydantic import ValidationError

from wavcaps_assets.settings import Settings
from wavcaps_assets.slices.attributions import CSV, TEXT, attributions_csv, attributions_text
from wavcaps_assets.slices.counts import clips_by_class, clips_by_reason
from wavcaps_assets.slices.select import make_slice
from wavcaps_assets.slices.settings import SliceSettings
from wavcaps_assets.slices.uses import USES
from wavcaps_assets.store.storage import StoreError, open_store
from wavcaps_assets.tables.asset_tables import with_set_version
from wavcaps_assets.tables.set_versions import SetVersions


@click.command("slice")
@click.option("--use", type=click.Choice(list(USES)), required=True, help="What the clips are used for.")
@click.option("--version", "wanted", default="latest", help="The version of the set, such as v3.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write the slice here too.")
@click.option("--source", "sources", multiple=True, help="Only clips of this source. Repeatable.")
@click.option(
    "--cleared-source", multiple=True, help="A source whose rights you have cleared yourself. Repeatable."
)
@click.option(
    "--cleared-class", multiple=True, help="A class of licences that you have cleared yourself. Repeatable."
)
@click.option("--not-generative", is_flag=True, help="No generative model is trained on it.")
@click.option("--released-openly", is_flag=True, help="The model will be free for everybody.")
@click.option("--shortest", type=float, default=0.0, help="Shortest duration (s).")
@click.option("--longest", type=float, help="Longest duration (s).")
@click.option("--no-synthetic", is_flag=True, help="Leave out sounds that their tags call AI-made.")
@click.option("--no-explicit", is_flag=True, help="Leave out sounds that their site marks as explicit.")
def slice_set(
    use: str,
    wanted: str,
    out: Path | None,
    sources: tuple[str, ...],
    cleared_source: tuple[str, ...],
    cleared_class: tuple[str, ...],
    **filters: bool | float | None,
) -> None:
    """Show which clips of a version may be used for a purpose, and why the others may not.

    With --out, the folder gets the slice (slice.parquet), the other clips with the reasons (dropped.csv),
    and the credit lines (attributions.csv, ATTRIBUTIONS.txt). The rules are in docs/slices.md. They are no
    legal advice.
    """
    try:
        settings = SliceSettings(
            generative=not filters["not_generative"],
            released_openly=bool(filters["released_openly"]),
            sources=list(sources),
            cleared_sources=list(cleared_source),
            cleared_licence_classes=list(cleared_class),
            shortest_s=filters["shortest"] or 0.0,
            longest_s=filters["longest"],
            synthetic=not filters["no_synthetic"],
            explicit=not filters["no_explicit"],
        )
    except ValidationError as error:
        raise click.UsageError("; ".join(one["msg"] for one in error.errors())) from error
    own = Settings()
    try:
        store = open_store(own.store, own.s3.endpoint_url or None, own.s3.region or None)
        versions = SetVersions(store)
        version = versions.find(wanted)
        stage = make_slice(with_set_version(versions.read(version), version.name), USES[use], settings)
    except StoreError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{len(stage.kept):,} of {version.clips:,} clips of {version.name} are for {USES[use].title}.")
    for title, number in clips_by_class(stage.kept).items():
        click.echo(f"{number:>9,}  {title}")
    if len(stage.dropped):
        click.echo("Left out:")
        for reason, number in clips_by_reason(stage.dropped).items():
            click.echo(f"{number:>9,}  {reason}")
    if out is not None:
        _write(out, stage.kept, stage.dropped, f"Attributions: slice {use} of {version.name}")
        click.echo(f"\nwritten to {out}")


def _write(folder: Path, kept: pa.Table, dropped: pa.Table, title: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(kept, folder / "slice.parquet")
        pyarrow.csv.write_csv(dropped, folder / "dropped.csv")
        (folder / CSV).write_bytes(attributions_csv(kept))
        (folder / TEXT).write_bytes(attributions_text(kept, title))
    except OSError as error:
        raise click.ClickException(f"cannot write to {folder}: {error}") from error
