"""The jobs: crawl a source, caption a source, publish the set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from wavcaps_assets.defs.common import ANALYSIS, Location
from wavcaps_assets.defs.partitions import source_partitions
from wavcaps_assets.defs.pools import CAPTIONING_TAG, SOURCE_TAG
from wavcaps_assets.sources.base import Source

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


# Stages 1 to 3 of one source: a job, and the assets that it makes.
LANE_JOB, LANE = (
    "caption_source",
    ("filtered_clips", "llm_captions", "captions", "other_captions", "manifest"),
)
PUBLISH_JOB = "publish"
STATUS_JOB = "update_status"


FRESH = "fresh"


def crawl_job_name(source: Source) -> str:
    return f"crawl_{source.name}"


def fresh_check_key(source: Source) -> dg.AssetCheckKey:
    """The check that no partition of a source is overdue."""
    return dg.AssetCheckKey(dg.AssetKey([source.name, "ledger"]), FRESH)


def crawl_job(source: Source) -> UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        crawl_job_name(source),
        selection=dg.AssetSelection.assets(
            *([source.name, name] for name in ("raw_clips", "audio", "ledger", "fingerprints"))
        )
        # It concerns all partitions: the sensor evaluates it, and not each of many runs.
        - dg.AssetSelection.checks(fresh_check_key(source)),
        partitions_def=dg.StaticPartitionsDefinition(source.partitions()),
        tags={SOURCE_TAG: source.name},
        description=f"Crawls one partition of {source.title}: its clips, their audio, the ledger of both, "
        "and fingerprints of the audio.",
    )


def jobs(sources: Sequence[Source]) -> list[UnresolvedAssetJobDefinition]:
    return [
        *(crawl_job(source) for source in sources),
        dg.define_asset_job(
            LANE_JOB,
            selection=dg.AssetSelection.assets(*LANE),
            partitions_def=source_partitions(sources),
            tags=CAPTIONING_TAG,
            description="Takes one source from raw clips to its manifest: stages 1 to 3.",
        ),
        dg.define_asset_job(
            PUBLISH_JOB,
            selection=dg.AssetSelection.assets(
                "wavcaps", "strong_labels", "llm_costs", "recordings", "training_manifest"
            )
            | dg.AssetSelection.groups(ANALYSIS),
            description="Combines the sources' manifests, splits the set for training, and analyses it.",
        ),
    ]


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(jobs=jobs(location.sources))
