"""The sources that do not take part, so that the graph shows them, with what they need."""

from collections.abc import Iterator, Sequence

import dagster as dg

from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources.base import Source


def other_sources(sources: Sequence[Source], settings: Settings) -> Iterator[dg.AssetSpec]:
    """The assets of sources that do not take part. Nothing can be run for them; nothing waits for them."""
    for source in sources:
        needs = source.needs(settings)
        why = (
            f"It is not configured. It needs {needs}." if needs else "WAVCAPS_SOURCE_NAMES does not name it."
        )
        for name in ("raw_clips", "audio"):
            yield dg.AssetSpec(
                [source.name, name],
                group_name=source.name,
                owners=OWNERS,
                kinds={"not configured" if needs else "left out"},
                description=f"{source.title} does not take part. {why} Older tables of it stay in the store, "
                "and are not published.",
                partitions_def=dg.StaticPartitionsDefinition(source.partitions()),
            )


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(assets=list(other_sources(location.other_sources, location.settings)))
