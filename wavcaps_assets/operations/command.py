"""`wavcaps status`: the state of every source tonight."""

from __future__ import annotations

import click
import dagster as dg
from pydantic import ValidationError

from wavcaps_assets.definitions import build
from wavcaps_assets.defs.resources import store_of
from wavcaps_assets.defs.status import status_of
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.status.table import HEADS, NONE, SHARED, lines
from wavcaps_assets.store.storage import StoreError


@click.command()
def status() -> None:
    """Print the state of each source: fresh or behind, paused, blocked, and what is left of budget and disk.

    DAGSTER_HOME is the folder of the instance.
    """
    try:
        settings = Settings()
        sources = all_sources(settings)
        graph = build(settings).get_repository_def().asset_graph
        with dg.DagsterInstance.get() as instance:
            table, room = status_of(instance, graph, store_of(settings).tables(), sources, settings)
    except (ValidationError, ValueError, StoreError, dg.DagsterError) as error:
        raise click.ClickException(str(error)) from error
    for line in lines(table):
        shown = {name: line[name] for name in HEADS if name not in ("source", *SHARED)}
        known = "; ".join(f"{HEADS[name]}: {said}" for name, said in shown.items() if said != NONE)
        click.echo(f"{line['source']}\n    {known}")
    if not table.num_rows:
        click.echo("No source takes part: `wavcaps sources` says what each needs.")
    click.echo(f"budget left this month: {room.budget}; disk left: {room.disk}")
