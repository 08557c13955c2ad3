"""What several modules of this folder share: the location that they define, and names."""

from __future__ import annotations

from dataclasses import dataclass

from wavcaps_assets.settings import Settings, Sources
from wavcaps_assets.sources.base import Source

OWNERS = ["team:data"]
# On a run of one partition.
PARTITION_TAG = "dagster/partition"
# The group of the analysis' assets, and the first part of their keys.
ANALYSIS = "analysis"


@dataclass(frozen=True)
class Location:
    """What the definitions of this folder are made for.

    Attributes:
        settings: from the environment.
        sources: those that take part.
        other_sources: those that do not.
    """

    settings: Settings
    sources: tuple[Source, ...]
    other_sources: tuple[Source, ...] = ()

    @property
    def live(self) -> bool:
        """Whether the real sites are crawled."""
        return self.settings.sources is Sources.LIVE
