"""For each source: its raw clips and their audio, a partition at a time."""

from dataclasses import dataclass

import dagster as dg
import pyarrow as pa

from wavcaps_assets import schemas
from wavcaps_assets.audio.settings import FetchSettings
from wavcaps_assets.defs.checks import table_checks
from wavcaps_assets.defs.resources import NetworkResource, StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.sources.base import Source
from wavcaps_assets.stages import Stage

OWNERS = ["team:data"]
ONE_PARTITION_A_RUN = dg.BackfillPolicy.multi_run(max_partitions_per_run=1)


class FetchConfig(dg.Config, FetchSettings):
    """How audio is fetched."""


@dataclass(frozen=True)
class Crawl:
    """The assets of one source, and their checks."""

    assets: list[dg.AssetsDefinition]
    checks: list[dg.AssetChecksDefinition]


def crawl_definitions(source: Source) -> Crawl:
    partitions = dg.StaticPartitionsDefinition(source.partitions())
    pool = f"crawl_{source.name}"

    @dg.asset(
        key=[source.name, "raw_clips"],
        partitions_def=partitions,
        backfill_policy=ONE_PARTITION_A_RUN,
        group_name=source.name,
        kinds={"httpx", "parquet"},
        owners=OWNERS,
        pool=pool,
        description=f"What {source.title} says of each of its clips, as crawled (section III.A).",
        metadata=schema_metadata(schemas.RAW_CLIPS),
    )
    def raw_clips(context: dg.AssetExecutionContext, network: NetworkResource) -> Stage:
        from wavcaps_assets.sources.base import crawl

        with network.client(source) as client:
            return crawl(source, client, context.partition_key)

    @dg.asset(
        key=[source.name, "audio"],
        ins={"raw_clips": dg.AssetIn(key=[source.name, "raw_clips"])},
        partitions_def=partitions,
        backfill_policy=ONE_PARTITION_A_RUN,
        group_name=source.name,
        kinds={"flac", "parquet"},
        owners=OWNERS,
        pool=pool,
        description=f"The audio of {source.title}'s clips as FLAC, 32 kHz, mono, with its measures.",
        metadata=schema_metadata(schemas.AUDIO),
    )
    def audio(
        context: dg.AssetExecutionContext,
        config: FetchConfig,
        raw_clips: pa.Table,
        network: NetworkResource,
        store: StoreResource,
    ) -> Stage:
        from wavcaps_assets.audio.fetch import fetch_audio
        from wavcaps_assets.plots import as_markdown, histogram
        from wavcaps_assets.progress import progress

        title = f"audio of {source.title}"
        with network.client(source) as client, progress(title, raw_clips.num_rows) as meter:
            stage = fetch_audio(raw_clips, store.tables().store, client, config, meter.step)
        durations = stage.kept.column("duration_s").to_pylist()
        context.add_output_metadata(
            {
                "hours of audio": dg.MetadataValue.float(sum(durations) / 3600),
                "durations": dg.MetadataValue.md(as_markdown(histogram(durations, "duration (s)", "clips"))),
            }
        )
        return stage

    checks = [
        table_checks([source.name, "raw_clips"], partitions),
        table_checks(
            [source.name, "audio"],
            partitions,
            lambda tables, partition: tables.read([source.name, "raw_clips"], partition and [partition]),
        ),
    ]
    return Crawl([raw_clips, audio], checks)
