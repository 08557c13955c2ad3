"""`wavcaps status`: the state of every source tonight. `wavcaps alerts`: tries the channels of alerts."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import click
import dagster as dg
from pydantic import ValidationError

from wavcaps_assets.alerts.channels import NotDelivered, channels_of
from wavcaps_assets.alerts.message import Alert, Kind
from wavcaps_assets.clock import utc_now
from wavcaps_assets.definitions import build
from wavcaps_assets.defs.resources import store_of
from wavcaps_assets.defs.status import status_of
from wavcaps_assets.environment import ROOT
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.status.table import HEADS, NONE, SHARED, lines
from wavcaps_assets.store.storage import StoreError


@click.command()
def status() -> None:
    """Print the state of each source: fresh or behind, paused, blocked, and what is left of budget and disk.

    DAGSTER_HOME is the folder of the instance.
    """
    os.environ["DAGSTER_HOME"] = str(
        Path(os.environ.get("DAGSTER_HOME", str(ROOT / "dagster_home"))).absolute()
    )
    try:
        settings = Settings()
        sources = all_sources(settings)
        graph = build(settings).get_repository_def().asset_graph
        with dg.DagsterInstance.get() as instance:
            table, room = status_of(
                instance, graph, store_of(settings).tables(waits=False), sources, settings
            )
    except (ValidationError, ValueError, StoreError, dg.DagsterError) as error:
        raise click.ClickException(str(error)) from error
    for line in lines(table):
        shown = {name: line[name] for name in HEADS if name not in ("source", *SHARED)}
        known = "; ".join(f"{HEADS[name]}: {said}" for name, said in shown.items() if said != NONE)
        click.echo(f"{line['source']}\n    {known}")
    if not table.num_rows:
        click.echo("No source takes part: `wavcaps sources` says what each needs.")
    click.echo(f"budget left this month: {room.budget}; disk left: {room.disk}")


@click.group()
def alerts() -> None:
    """Try the channels of alerts. The sensor `alerts` sends them (docs/operations.md)."""


@alerts.command()
def test() -> None:
    """Send a test message to every channel that is set."""
    settings = Settings().alerts
    channels = channels_of(settings)
    if not channels:
        raise click.ClickException(
            "no channel is set: WAVCAPS_ALERTS__WEBHOOK_URL, WAVCAPS_ALERTS__SLACK_URL or "
            "WAVCAPS_ALERTS__EMAIL__HOST"
        )
    message = Alert(
        id=uuid.uuid4().hex,
        kind=Kind.TEST,
        title="A test of the alerts",
        what="A person ran `wavcaps alerts test`. Nothing is wrong.",
        page="runs" if settings.ui_url else "",
        at=utc_now(),
    )
    failed = False
    for name, channel in channels.items():
        try:
            channel.send(message)
        except NotDelivered as error:
            failed = True
            click.echo(f"{name}: not delivered: {error}", err=True)
        else:
            click.echo(f"{name}: delivered")
    if failed:
        raise click.exceptions.Exit(1)
