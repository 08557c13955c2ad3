"""What several modules of this folder share: the location that they define, and names."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg

from wavcaps_assets.settings import Settings, Sources
from wavcaps_assets.sources.base import Source

OWNERS = ["team:data"]
ONE_PARTITION_A_RUN = dg.BackfillPolicy.multi_run(max_partitions_per_run=1)
# On a run of one partition.
PARTITION_TAG = "dagster/partition"
# The group of the analysis' assets, and the first part of their keys.
ANALYSIS = "analysis"


@dataclass(frozen=True)
class Location:
    """What the definitions of this folder are made for."""

    settings: Settings
    sources: tuple[Source, ...]

    @property
    def live(self) -> bool:
        """Whether the real sites are crawled."""
        return self.settings.sources is Sources.LIVE
