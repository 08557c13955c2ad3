"""The manifest of each source, and the whole set."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import dagster as dg
import pyarrow as pa

from wavcaps_assets.checks.assessment import UnfitSet, require_quality
from wavcaps_assets.checks.generated import GeneratedInManifest, refuse_generated_clips
from wavcaps_assets.checks.render import examples_table, results_table
from wavcaps_assets.clock import utc_now
from wavcaps_assets.defs.checks import table_checks, upstream_of
from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.logs import logged_to
from wavcaps_assets.defs.partitions import deps_on, source_partitions
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import refuse_far_fewer_rows, schema_metadata
from wavcaps_assets.publishing.changelog import examples
from wavcaps_assets.publishing.manifests import combine, make_manifest, words_by_source
from wavcaps_assets.publishing.publish_version import Publication, publish_version
from wavcaps_assets.publishing.same_sounds import publish_each_sound_once
from wavcaps_assets.settings import Settings
from wavcaps_assets.show.plots import as_markdown, histograms
from wavcaps_assets.show.previews import counts, tally
from wavcaps_assets.sources.base import Source
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore, with_set_version
from wavcaps_assets.tables.set_versions import CHANGELOG, path_of
from wavcaps_assets.tables.stage import Stage

# Plotted over all materializations, by the web UI.
PLOTTED = {
    "added": "added",
    "removed": "removed",
    "recaptioned": "re-captioned",
    "relicensed": "re-licensed",
    "preference_changed": "changed preference",
    "other_captions_changed": "changed further captions",
    "audio_changed": "changed audio",
    "details_changed": "other changes",
}


def publishing_assets(sources: Sequence[Source], settings: Settings) -> Sequence[dg.AssetsDefinition]:
    """The manifests, and the set."""
    thresholds, smallest_share = settings.quality, settings.smallest_share
    by_source, names = source_partitions(sources), [source.name for source in sources]
    ids_of = {source.name: source.ids_of for source in sources if source.ids_of is not None}

    @dg.asset(
        deps=[*deps_on(sources, "raw_clips", "audio"), "other_captions"],
        partitions_def=by_source,
        group_name="publish",
        kinds={"duckdb", "parquet"},
        owners=OWNERS,
        description="The published clips of a source: caption, audio, and credit line.",
        metadata=schema_metadata(MANIFEST),
    )
    def manifest(
        context: dg.AssetExecutionContext, captions: pa.Table, llm_captions: pa.Table, store: StoreResource
    ) -> Stage:
        source, tables = context.partition_key, store.tables()
        raw, audio = tables.read([source, "raw_clips"]), tables.read([source, "audio"])
        made = tables.exists(["other_captions"], source)
        others = tables.read(["other_captions"], [source]) if made else None
        return make_manifest(captions, llm_captions, raw, audio, others)

    @dg.asset(
        ins={"manifest": dg.AssetIn(partition_mapping=dg.AllPartitionMapping())},
        group_name="publish",
        kinds={"parquet"},
        owners=OWNERS,
        description="The set: the manifests of all sources that take part, each sound once. It is replaced "
        "only if its captions pass every blocking quality check. New content becomes a version, "
        "which never changes (`wavcaps versions`).",
        metadata=schema_metadata(MANIFEST),
    )
    def wavcaps(context: dg.AssetExecutionContext, manifest: pa.Table, store: StoreResource) -> Stage:
        stage = publish_each_sound_once(manifest, ids_of)
        try:
            require_quality(store.tables(), stage.kept, context.run_id, thresholds, names)
        except UnfitSet as error:
            shown = {"failed checks": results_table(error.failed), "examples": examples_table(error.failed)}
            metadata = {name: dg.MetadataValue.md(table) for name, table in shown.items()}
            raise dg.Failure(str(error), metadata, allow_retries=False) from error
        tables = store.tables()
        try:
            refuse_generated_clips(stage.kept, tables.store)
        except GeneratedInManifest as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        refuse_far_fewer_rows(context.run, tables, (["wavcaps"], None), stage, smallest_share)
        with logged_to(context):
            published = publish_version(tables, stage, names, context.run_id, utc_now())
        plot = histograms(words_by_source(stage.kept), "words in a caption", "clips")
        whole = combine(stage.kept, names, tables)
        if whole.left_out:
            context.log.warning(
                "Not in the set, because they do not take part: %s. Their manifests stay in the store; "
                "WAVCAPS_SOURCE_NAMES says which sources take part.",
                ", ".join(whole.left_out),
            )
        context.add_output_metadata(
            {
                "sources": ", ".join(whole.sources),
                "left out, with a manifest in the store": ", ".join(whole.left_out) or "none",
                "clips by source": dg.MetadataValue.md(counts(stage.kept, "source")),
                "caption lengths": dg.MetadataValue.md(as_markdown(plot)),
                **version_metadata(published, tables.store),
            }
        )
        return replace(stage, kept=with_set_version(whole.table, published.version.name))

    return [manifest, wavcaps]


def version_metadata(published: Publication, store: Store) -> dict[str, dg.MetadataValue]:
    """What a version changed, for the asset's page."""
    version, changes = published.version, published.changes
    counts = {name: dg.MetadataValue.int(version.changes.get(kind, 0)) for kind, name in PLOTTED.items()}
    return {
        "version": dg.MetadataValue.text(version.name if published.new else f"{version.name}, unchanged"),
        "previous version": dg.MetadataValue.text(version.previous or "none"),
        "content hash": dg.MetadataValue.text(version.content_hash),
        "changelog": dg.MetadataValue.path(store.describe(path_of(version.name, CHANGELOG))),
        **(counts if published.new else dict.fromkeys(counts, dg.MetadataValue.int(0))),
        "removed, why": dg.MetadataValue.md(tally(version.removed, "clips")),
        "re-captioned, examples": dg.MetadataValue.md(examples(changes, "recaptioned")),
        "removed, examples": dg.MetadataValue.md(examples(changes, "removed")),
        "re-licensed, examples": dg.MetadataValue.md(examples(changes, "relicensed")),
        "changed preference, examples": dg.MetadataValue.md(examples(changes, "preference_changed")),
    }


def publishing_checks(sources: Sequence[Source]) -> Sequence[dg.AssetChecksDefinition]:
    by_source = source_partitions(sources)
    names = [source.name for source in sources]
    return [
        table_checks(["manifest"], by_source, upstream_of("captions")),
        table_checks(["wavcaps"], None, lambda tables, _: _of(tables, names)),
    ]


def _of(tables: TableStore, names: Collection[str]) -> pa.Table:
    """The clips in the manifests of these sources, and not those of sources that took part once."""
    there = [name for name in tables.partitions(["manifest"]) if name in names]
    return tables.read(["manifest"], there, ["clip_id"])


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(
        assets=publishing_assets(location.sources, location.settings),
        asset_checks=publishing_checks(location.sources),
    )
