"""The training sets of the paper's experiments, each with what was removed from it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.benchmark_sets.against import against, texts_of
from wavcaps_assets.benchmark_sets.compose import compose
from wavcaps_assets.benchmark_sets.decontaminate import OverlapPolicy, OverlapSettings
from wavcaps_assets.benchmark_sets.heard import AUDIO_OVERLAPS
from wavcaps_assets.benchmark_sets.inputs import SetInputs
from wavcaps_assets.benchmark_sets.overlap_report import decontamination_report
from wavcaps_assets.benchmark_sets.sets import SETS, TrainingSet
from wavcaps_assets.checks.contamination import check_free_of
from wavcaps_assets.checks.outcome import CheckOutcome
from wavcaps_assets.checks.splits import check_evaluation_apart
from wavcaps_assets.defs.checks import Check, table_checks
from wavcaps_assets.defs.common import OWNERS, Location
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.show.previews import counts, preview
from wavcaps_assets.tables import OVERLAPS, TRAINING_MANIFEST
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_assets.tables.stage import Stage

GROUP = "training_sets"
# Overlaps inside a benchmark are few; the table of dropped clips has all that were removed.
SHOWN_OVERLAPS = 50
NOBODY: Mapping[str, str] = {}


class OverlapConfig(dg.Config, OverlapSettings):
    """How clips that are in two splits are treated."""


def training_manifest_assets(ids_of: Mapping[str, str] = NOBODY) -> Sequence[dg.AssetsDefinition]:
    """The training sets.

    Args:
        ids_of: by source, the source whose ids its clips have.
    """
    return [_training_manifest(training_set, ids_of) for training_set in SETS.values()]


def _training_manifest(training_set: TrainingSet, ids_of: Mapping[str, str]) -> dg.AssetsDefinition:
    name = training_set.name
    upstream = [list(key) for key in training_set.upstream]
    upstream += [[kind, one] for kind in ("benchmark", AUDIO_OVERLAPS) for one in training_set.compared_with]

    @dg.multi_asset(
        name=f"training_manifest__{name}",
        outs={
            "manifest": dg.AssetOut(
                key=["training_manifest", name],
                group_name=GROUP,
                kinds={"parquet"},
                owners=OWNERS,
                description=f"{training_set.description}. No job materializes it; do it by hand.",
                metadata=schema_metadata(TRAINING_MANIFEST),
                is_required=False,
            ),
            "exclusions": dg.AssetOut(
                key=["exclusions", name],
                group_name=GROUP,
                kinds={"parquet"},
                owners=OWNERS,
                description=f"The clips that were removed from training_manifest/{name}, because they are in "
                "a benchmark, with all evidence.",
                metadata=schema_metadata(OVERLAPS),
                is_required=False,
            ),
        },
        deps=upstream,
        # A person may choose one of the two.
        can_subset=True,
    )
    def training_manifest(
        context: dg.AssetExecutionContext, config: OverlapConfig, store: StoreResource
    ) -> Iterator[dg.Output[Stage | pa.Table]]:
        composed = compose(training_set, SetInputs(store.tables()), config, ids_of)
        if composed.overlaps.num_rows:
            context.log.warning(
                f"{composed.overlaps.num_rows} clips are in two splits, by their ids. The page of this "
                f"materialization names them; the setting `overlaps` is {config.overlaps.value}."
            )
        kept = composed.stage.kept
        trained = pc.sum(pc.equal(kept.column("split"), "train")).as_py() or 0
        report = dg.MetadataValue.md(
            decontamination_report(composed.exclusions, composed.to_review, composed.compared, trained)
        )
        counted = {
            "clips to review": len(composed.to_review.column("clip_id").unique()),
            "clips removed": len(composed.exclusions.column("clip_id").unique()),
            "benchmarks without lists": sum(one.clips is None for one in composed.compared),
            "benchmark clips without known ids": sum(one.without_ids for one in composed.compared),
            "benchmark clips without audio": sum(one.without_audio for one in composed.compared),
            "benchmarks whose audio was not compared": sum(not one.by_audio for one in composed.compared),
            **{
                f"training clips whose audio was not compared with {one.benchmark}": one.unheard
                for one in composed.compared
                if one.by_audio
            },
        }
        numbers = {name: dg.MetadataValue.int(number) for name, number in counted.items()}
        outputs: dict[str, dg.Output[Stage | pa.Table]] = {
            "manifest": dg.Output(
                composed.stage,
                "manifest",
                {
                    "clips by split and source": dg.MetadataValue.md(counts(kept, "split", "source")),
                    "clips in two splits": dg.MetadataValue.md(
                        preview(composed.overlaps, rows=SHOWN_OVERLAPS)
                    ),
                    "decontamination": report,
                    **numbers,
                },
            ),
            "exclusions": dg.Output(
                composed.exclusions, "exclusions", {"decontamination": report, **numbers}
            ),
        }
        yield from (outputs[name] for name in outputs if name in context.selected_output_names)

    return training_manifest


def training_manifest_checks() -> Sequence[dg.AssetChecksDefinition]:
    manifests = [_manifest_checks(training_set) for training_set in SETS.values()]
    return [*manifests, *(table_checks(["exclusions", name], None, unique=False) for name in SETS)]


def _manifest_checks(training_set: TrainingSet) -> dg.AssetChecksDefinition:
    free: dict[str, tuple[str, Check]] = {
        f"free_of_{benchmark}": (
            f"No clip of the train split is one of {benchmark}'s that it must not contain: by ids, texts, "
            "exclusion lists, and audio where it was compared.",
            _free_of(training_set, benchmark),
        )
        for benchmark in training_set.compared_with
    }
    return table_checks(
        ["training_manifest", training_set.name],
        None,
        None,
        unique=True,
        advisory=(),
        evaluation_apart=(
            "No clip of the train split has the id of a validation or test clip.",
            partial(_evaluation_apart, training_set.name),
        ),
        **free,
    )


def _evaluation_apart(name: str, tables: TableStore, _partition: str | None) -> CheckOutcome:
    key = ["training_manifest", name]
    return check_evaluation_apart(tables.read(key, [WHOLE]), _policy(tables, name))


def _free_of(training_set: TrainingSet, benchmark: str) -> Check:
    def check(tables: TableStore, _: str | None) -> CheckOutcome:
        name = training_set.name
        manifest = tables.read(["training_manifest", name], [WHOLE], ["clip_id", "source", "split"])
        keeps = _policy(tables, name) == OverlapPolicy.keep
        return check_free_of(
            manifest, texts_of(tables, training_set), against(tables, training_set, benchmark, keeps)
        )

    return check


def _policy(tables: TableStore, name: str) -> str | None:
    settings = json.loads(tables.settings_of(["training_manifest", name], WHOLE) or "{}")
    policy = settings.get("overlaps")
    return None if policy is None else str(policy)


def definitions(location: Location) -> dg.Definitions:
    # The demo has no AudioCaps and no Clotho, which these are made with.
    if not location.live:
        return dg.Definitions()
    ids_of = {source.name: source.ids_of for source in location.sources if source.ids_of is not None}
    return dg.Definitions(assets=training_manifest_assets(ids_of), asset_checks=training_manifest_checks())
