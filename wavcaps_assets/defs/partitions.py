"""How the sources' partitions meet: from stage 1 on, a partition is a whole source.

The frequency filter needs all of FreeSound at once (section III.B), and work inside a partition
is resumable anyway.
"""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from wavcaps_assets.sources.base import Source


def source_partitions(sources: Sequence[Source]) -> dg.StaticPartitionsDefinition:
    return dg.StaticPartitionsDefinition([source.name for source in sources])


def deps_on(sources: Sequence[Source], *names: str) -> list[dg.AssetDep]:
    """Dependencies of a source's partition on all crawl partitions of that source, and of no other."""
    return [
        dg.AssetDep(
            [source.name, name],
            partition_mapping=dg.StaticPartitionMapping(dict.fromkeys(source.partitions(), source.name)),
        )
        for source in sources
        for name in names
    ]
