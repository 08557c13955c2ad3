"""Further captions of other kinds, one source at a time. Off unless a setting names kinds."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from wavcaps_assets.captioning.further import AskSession, further_captions, given_captions
from wavcaps_assets.captioning.presets import keeps_given
from wavcaps_assets.captioning.settings import CaptioningChoice, CaptioningSettings
from wavcaps_assets.defs.captioning import SECOND_PROMPTS
from wavcaps_assets.defs.checks import table_checks
from wavcaps_assets.defs.code_versions import Scope, scoped
from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.logs import logged_to
from wavcaps_assets.defs.partitions import source_partitions
from wavcaps_assets.defs.pauses import PageProgress
from wavcaps_assets.defs.pools import LANGUAGE_MODEL
from wavcaps_assets.defs.resources import LanguageModelResource, StoreResource
from wavcaps_assets.defs.table_io_manager import MAY_SHRINK, schema_metadata
from wavcaps_assets.llm.session import Session
from wavcaps_assets.show.previews import tally
from wavcaps_assets.sources.base import Source
from wavcaps_assets.tables import OTHER_CAPTIONS

KEY = "other_captions"


class OtherCaptionsConfig(dg.Config):
    """Which further captions a source gets."""

    kinds: list[str] | None = Field(
        default=None,
        description="`tags`, `short`, `long`, `query`, `temporal`, or the name of a prompt of your own with "
        "a table [further]; none: as WAVCAPS_OTHER_CAPTIONS says",
    )
    preset: str = Field(
        default="", description="`paper`, or `small` for small models; empty: `small` for the embedded one"
    )
    form: str | None = Field(
        default=None,
        description="`numbered_list`, `structured` (a JSON schema) or `single`; none: as the preset",
    )
    batch_size: int | None = Field(default=None, description="texts in a list; none: as the preset")


def other_captions_assets(sources: Sequence[Source], kinds: Sequence[str]) -> Sequence[dg.AssetsDefinition]:
    """The asset of further captions.

    Args:
        sources: of the clips.
        kinds: those that a run makes if its configuration does not name any.
    """
    # A list: the code of the sources does not count for the version of this asset.
    listed = list(sources)

    @dg.asset(
        partitions_def=source_partitions(sources),
        group_name="captions",
        kinds={"openai", "parquet"},
        owners=OWNERS,
        pool=LANGUAGE_MODEL,
        description="Further captions of the clips: tags, short, long, query, temporal. None unless a "
        "setting names kinds. What fails here never loses a main caption.",
        # A setting decides which kinds there are.
        metadata={**schema_metadata(OTHER_CAPTIONS), **MAY_SHRINK},
    )
    @scoped(Scope(without=SECOND_PROMPTS))
    def other_captions(
        context: dg.AssetExecutionContext,
        config: OtherCaptionsConfig,
        captions: pa.Table,
        filtered_clips: pa.Table,
        language_model: LanguageModelResource,
        store: StoreResource,
    ) -> pa.Table:
        source, tables = context.partition_key, store.tables()
        wanted = list(kinds) if config.kinds is None else config.kinds
        ids = captions.column("clip_id").combine_chunks()
        clips = filtered_clips.filter(pc.is_in(filtered_clips.column("clip_id"), value_set=ids))
        before = tables.read([KEY], [source]) if tables.exists([KEY], source) else None

        def ask(kind: str) -> AskSession:
            progress = PageProgress(context, f"{kind}: ")

            @contextmanager
            def opened(settings: CaptioningSettings) -> Iterator[Session]:
                with (
                    language_model.serving() as llm,
                    Session(
                        llm,
                        tables.store,
                        limits=settings.limits,
                        label=source,
                        run=context.run_id,
                        progress=progress,
                    ) as session,
                ):
                    yield session

            return opened

        choice = CaptioningChoice(preset=config.preset, form=config.form, batch_size=config.batch_size)
        with logged_to(context):
            found = further_captions(
                clips,
                source,
                wanted,
                ask,
                choice,
                embedded_model=language_model.embedded,
                before=before,
            )
        rejected = {f"{kind}: {rule}": count for (kind, rule), count in sorted(found.rejected.items())}
        context.add_output_metadata(
            {
                "captions by kind": dg.MetadataValue.md(tally(dict(found.made), "captions")),
                "not made, by rule": dg.MetadataValue.md(tally(rejected, "captions")),
                "not finished": dg.MetadataValue.json(found.stopped),
            }
        )
        origin = next(one for one in listed if one.name == source)
        given = origin.given_captions() if keeps_given(tables, source) else None
        if given is None:
            return found.table
        return pa.concat_tables([found.table, given_captions(clips, given)])

    return [other_captions]


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(
        assets=other_captions_assets(location.sources, location.settings.other_captions),
        asset_checks=[table_checks([KEY], source_partitions(location.sources), unique=False)],
    )
