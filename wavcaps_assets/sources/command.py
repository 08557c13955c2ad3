"""`wavcaps sources`: which sources take part, and what the others need."""

from __future__ import annotations

import click
from pydantic import ValidationError

from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources, known_sources


@click.command()
def sources() -> None:
    """List the sources: which take part, and what the others need.

    A source takes part when it is configured. To choose others, set WAVCAPS_SOURCE_NAMES to a list, such as
    local_folder,soundbible.
    """
    settings = Settings()
    try:
        taking_part = {source.name: source for source in all_sources(settings)}
        known = known_sources(settings)
    except (ValidationError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    for source in known:
        needs = source.needs(settings)
        if source.name in taking_part:
            partitions = source.partitions()
            several = f"{len(partitions)} partitions, {partitions[0]} to {partitions[-1]}"
            which = f"partition {partitions[0]}" if len(partitions) == 1 else several
            state = f"takes part ({which})" + (f", and may need {needs}" if needs else "")
        else:
            state = f"needs {needs}" if needs else "left out: WAVCAPS_SOURCE_NAMES does not name it"
        click.echo(f"{source.name:<20} {state}")
    click.echo(f"\nWAVCAPS_SOURCES={settings.sources.value}, the store is {settings.store}")
