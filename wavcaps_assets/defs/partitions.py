"""Partitions: those of a crawl are pieces of a source; from stage 1 on, a partition is a whole source.

The frequency filter needs all of FreeSound at once (section III.B), and work inside a partition
can be resumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

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


class StepContext(Protocol):
    """What `partition_of` needs of a step's context."""

    @property
    def has_partition_key(self) -> bool: ...

    @property
    def partition_key(self) -> str: ...


def partition_of(
    key: Sequence[str], partitions: dg.PartitionsDefinition | None, context: StepContext
) -> str | None:
    """The partition that a step works on; None if its asset has no partitions.

    Args:
        key: the asset's key.
        partitions: the asset's partitions.
        context: of the step.

    Raises:
        Failure: the asset has partitions, and the run does not have exactly one. It must not touch the table:
            which partition it means is unknown.
    """
    if partitions is None:
        return None
    if not context.has_partition_key:
        raise dg.Failure(
            f"{'/'.join(key)} has partitions, and this run is not for one of them: it has no partition, or a "
            "range of partitions. Start a run for each partition: select the partitions in the UI, without "
            "the option of a single run, or pass --partition on the command line.",
            allow_retries=False,
        )
    return context.partition_key
