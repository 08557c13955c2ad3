"""For each source: its raw clips, their audio, and the ledger of both, a partition at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pyarrow as pa

from wavcaps_assets.audio.fetch import fetch_audio
from wavcaps_assets.audio.settings import FetchSettings
from wavcaps_assets.audio.summary import duration_mismatches, exact_duplicates
from wavcaps_assets.checks.consent import check_consent_kept
from wavcaps_assets.checks.ledgers import check_listing_whole, check_reconciled
from wavcaps_assets.crawl.crawl import crawl
from wavcaps_assets.crawl.ledger import (
    by_partition,
    count_retryable,
    ledger_of,
    ledger_of_all,
    statuses,
)
from wavcaps_assets.crawl.settings import CrawlSettings
from wavcaps_assets.defs.checks import table_checks
from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.logs import logged_to
from wavcaps_assets.defs.own_tags import add_own_tags
from wavcaps_assets.defs.pauses import INCOMPLETE_TAG, paused
from wavcaps_assets.defs.pools import crawl_pool
from wavcaps_assets.defs.resources import NetworkResource, StoreResource
from wavcaps_assets.defs.table_io_manager import ALLOW_FEWER_ROWS, refusal, schema_metadata
from wavcaps_assets.network.errors import Paused
from wavcaps_assets.settings import ExtraCopy
from wavcaps_assets.show.plots import as_markdown, histogram, stacked_bars
from wavcaps_assets.show.previews import counts, preview, tally
from wavcaps_assets.show.progress import progress_bar
from wavcaps_assets.sources.base import Source
from wavcaps_assets.tables import AUDIO, LEDGER, RAW_CLIPS
from wavcaps_assets.tables.shrinking import FarFewerRows

# Advisory checks, whose failures are reported.
CONSENT_KEPT, LISTING_WHOLE = "consent_kept", "listing_whole"


class CrawlConfig(dg.Config, CrawlSettings):
    """When a listing is not believed."""


class FetchConfig(dg.Config, FetchSettings):
    """How audio is fetched."""


@dataclass(frozen=True)
class Crawl:
    """The assets of one source, and their checks."""

    assets: list[dg.AssetsDefinition]
    checks: list[dg.AssetChecksDefinition]


def crawl_definitions(
    source: Source, smallest_share: float = 0.0, extra_copy: ExtraCopy = ExtraCopy.none
) -> Crawl:
    """The assets and checks of a source.

    Args:
        smallest_share: the least share of the previous crawl's clips that a crawl is accepted with (0 to 1).
        extra_copy: what is kept next to each FLAC where the configuration of a run does not say it.
    """
    partitions = dg.StaticPartitionsDefinition(source.partitions())
    shared: dict[str, Any] = {
        "partitions_def": partitions,
        "group_name": source.name,
        "owners": OWNERS,
        "pool": crawl_pool(source.name),
    }

    @dg.asset(
        key=[source.name, "raw_clips"],
        kinds={"httpx", "parquet"},
        description=f"The records of {source.title}'s clips, as crawled (section III.A).",
        metadata=schema_metadata(RAW_CLIPS),
        # A paused crawl has no table yet, and is not a failure.
        output_required=False,
        **shared,
    )
    def raw_clips(
        context: dg.AssetExecutionContext,
        config: CrawlConfig,
        network: NetworkResource,
        store: StoreResource,
    ) -> Iterator[Any]:
        share = 0.0 if ALLOW_FEWER_ROWS in context.run.tags else smallest_share
        try:
            with network.client() as client, logged_to(context):
                result = crawl(source, context.partition_key, client, store.tables(), config, share)
        except Paused as pause:
            yield from paused(context, pause)
            return
        except FarFewerRows as error:
            raise refusal(error) from error
        context.add_output_metadata(
            {
                "since the last crawl": dg.MetadataValue.md(tally(result.changes.clips, "clips")),
                "pages from an interrupted crawl": result.pages_reused,
                **({"notes": dg.MetadataValue.text("; ".join(result.notes))} if result.notes else {}),
                "unread parts": dg.MetadataValue.text("; ".join(result.changes.unread) or "none"),
            }
        )
        yield dg.Output(result.stage)

    @dg.asset(
        key=[source.name, "audio"],
        ins={"raw_clips": dg.AssetIn(key=[source.name, "raw_clips"])},
        kinds={"flac", "parquet"},
        description=f"The audio of {source.title}'s clips as FLAC, 32 kHz, mono, with measurements.",
        metadata=schema_metadata(AUDIO),
        output_required=False,
        **shared,
    )
    def audio(
        context: dg.AssetExecutionContext,
        config: FetchConfig,
        raw_clips: pa.Table,
        network: NetworkResource,
        store: StoreResource,
    ) -> Iterator[Any]:
        title = f"audio of {source.title}"
        settings = config.model_copy(update={"extra_copy": config.extra_copy or extra_copy})
        try:
            with (
                network.client() as client,
                progress_bar(title, raw_clips.num_rows) as bar,
                logged_to(context),
            ):
                origin, tables = network.origin(client), store.tables()
                stage = fetch_audio(
                    source, context.partition_key, raw_clips, tables, origin, settings, bar.step
                )
        except Paused as pause:
            yield from paused(context, pause)
            return
        durations = stage.kept.column("duration_s").to_pylist()
        context.add_output_metadata(
            {
                "hours of audio": dg.MetadataValue.float(sum(durations) / 3600),
                "durations": dg.MetadataValue.md(as_markdown(histogram(durations, "duration (s)", "clips"))),
                "duration differs from the source's": dg.MetadataValue.md(
                    preview(duration_mismatches(stage.kept))
                ),
                "exact duplicates": dg.MetadataValue.md(preview(exact_duplicates(stage.kept))),
                "extra copy": _extra_copy(settings, source.name, context.partition_key),
            }
        )
        yield dg.Output(stage)

    @dg.asset(
        key=[source.name, "ledger"],
        deps=[raw_clips, audio],
        kinds={"parquet"},
        description=f"What happened to each of {source.title}'s clips, and when: listed, changed, gone, "
        "stored, failed. The plot and the counts cover all partitions so far.",
        metadata=schema_metadata(LEDGER),
        **shared,
    )
    def ledger(context: dg.AssetExecutionContext, store: StoreResource) -> pa.Table:
        tables = store.tables()
        table = ledger_of(tables, source.name, context.partition_key)
        # A local file is requested again only if it changes.
        attempts = 0 if source.folder is not None else FetchSettings().attempts
        if missing := count_retryable(tables, source.name, context.partition_key, attempts):
            context.log.warning(
                f"{missing} pages or clips could not be fetched; they are requested again later"
            )
            add_own_tags(context.instance, context.run_id, {INCOMPLETE_TAG: "true"})
        clips = statuses(ledger_of_all(tables, source.name, context.partition_key, table))
        plot = stacked_bars(by_partition(clips), "clips")
        context.add_output_metadata(
            {
                "clips": dg.MetadataValue.md(counts(clips, "status")),
                "clips by partition": dg.MetadataValue.md(as_markdown(plot)),
            }
        )
        return table

    return Crawl([raw_clips, audio, ledger], _checks(source, partitions))


def _checks(source: Source, partitions: dg.PartitionsDefinition) -> list[dg.AssetChecksDefinition]:
    return [
        table_checks(
            [source.name, "raw_clips"],
            partitions,
            advisory=(CONSENT_KEPT,),
            consent_kept=(
                "Every clip may still be used for what it could be used for at the crawl before: neither its "
                "licence nor its author's preference forbids a use that they permitted.",
                lambda tables, partition: check_consent_kept(tables, source.name, partition or ""),
            ),
        ),
        table_checks(
            [source.name, "audio"],
            partitions,
            lambda tables, partition: tables.read([source.name, "raw_clips"], partition and [partition]),
        ),
        table_checks(
            [source.name, "ledger"],
            partitions,
            unique=False,
            advisory=(LISTING_WHOLE,),
            reconciled=(
                "Every clip that was ever listed is stored, failed with a reason, or gone; and the files of "
                "stored clips exist.",
                lambda tables, partition: check_reconciled(tables, source.name, partition or ""),
            ),
            listing_whole=(
                "Every page of the listing could be read.",
                lambda tables, partition: check_listing_whole(tables, source.name, partition or ""),
            ),
        ),
    ]


def definitions(location: Location) -> dg.Definitions:
    share = location.settings.smallest_share
    copy = location.settings.extra_copy
    crawls = [crawl_definitions(source, share, copy) for source in location.sources]
    return dg.Definitions(
        assets=[asset for crawl in crawls for asset in crawl.assets],
        asset_checks=[check for crawl in crawls for check in crawl.checks],
    )


def _extra_copy(settings: FetchSettings, source: str, partition: str) -> str:
    if settings.extra_copy is None or settings.extra_copy is ExtraCopy.none:
        return "none (WAVCAPS_EXTRA_COPY, or extra_copy in the launchpad)"
    return f"{settings.extra_copy.folder}/{source}/{partition}/<clip_id>.*"
