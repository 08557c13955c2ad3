"""Every asset and check of both locations, one after another, where every table is empty."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

import wavcaps_assets.definitions
import wavcaps_training.definitions
from wavcaps_assets.demo.clips import Corpus
from wavcaps_assets.demo.server import running_server
from wavcaps_assets.settings import Settings
from wavcaps_assets.slices.uses import USES
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import DROPPED, schema_of
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage

MODELS = ("aisfx_minilm", "htsat_bert")
# Without clips, these cannot be made, and the error says so. Any other asset, also a new one, can.
CLEAR_ERRORS = {
    "audioset_sl/raw_clips": "names no labels",
    "bbc_sound_effects/raw_clips": "finds no sounds at all",
    "imported_set": "no set is named",
    "benchmark/demo_sounds": "has no lists here",
    "soundbible/raw_clips": "lists no sounds",
    "checkpoint/aisfx_minilm/demo": "has 0 train and 0 validation clips",
    "checkpoint/htsat_bert/demo": "has 0 train and 0 validation clips",
    "checkpoint/autoencoder/demo": "has 0 train and 0 validation clips",
    "latents/audioldm": "has no row: materialize",
    "checkpoint/audioldm/demo": "has no row: materialize latents/audioldm first",
    "generated_sounds/audioldm/demo": "has no row: materialize latents/audioldm first",
    "scores/generation/demo_sounds/audioldm/demo": "materialize the checkpoint first",
    "scores/retrieval": "materialize the checkpoint first",
    "scores/htsat_bert/demo": "materialize the checkpoint first",
    "scores/seeds": "materialize the checkpoint first",
    "scores/files": "no checkpoint is named",
    "scores/retrieval/demo_sounds/aisfx_minilm/demo": "materialize the checkpoint first",
    "scores/retrieval/demo_sounds/htsat_bert/demo": "materialize the checkpoint first",
    **dict.fromkeys(
        (f"{what}/{model}/demo" for what in ("search_index", "query_scores") for model in MODELS),
        "materialize the checkpoint first",
    ),
    **dict.fromkeys((f"slice/{use}" for use in USES), "because the set has none"),
    "worth": "has 0 clips to train on",
    "validation_study": "the manifest is empty",
    "validation_ratings": "put the files there that the raters saved",
}


def tables_of(definitions: dg.Definitions, tables: TableStore) -> None:
    """Writes an empty table for every asset and partition that has one."""
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        try:
            schema = schema_of(key.path)
        except KeyError:
            continue
        partitions = graph.get(key).partitions_def
        names = partitions.get_partition_keys() if partitions else [None]
        for name in names:
            tables.write(key.path, name, Stage(schema.empty(), DROPPED.empty()))


def run_each(definitions: dg.Definitions, instance: dg.DagsterInstance, every: bool) -> dict[str, str]:
    """Runs each asset of a location with its checks. Gives what is wrong.

    Args:
        every: for each of its partitions, and not only for the first.
    """
    graph = definitions.resolve_asset_graph()
    job = definitions.resolve_implicit_global_asset_job_def()
    problems = {}
    for key in graph.toposorted_asset_keys:
        node = graph.get(key)
        if not node.is_materializable:
            continue
        name = "/".join(key.path)
        partitions = node.partitions_def
        names = partitions.get_partition_keys() if partitions else [None]
        for partition in names if every else names[:1]:
            result = job.execute_in_process(
                instance=instance,
                asset_selection=[key],
                partition_key=partition,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                raise_on_error=False,
            )
            problems[f"{name}[{partition}]" if partition else name] = "; ".join(problems_of(result))
    return problems


def problems_of(result: dg.ExecuteInProcessResult) -> list[str]:
    """The checks that failed, and the errors of the steps."""
    failed = [
        f"{check.check_name}: {check.description}"
        for check in result.get_asset_check_evaluations()
        if not check.passed
    ]
    for event in result.filter_events(lambda event: event.is_step_failure):
        error = event.step_failure_data.error
        failed.append((error.cause or error).message.strip() if error else "failed")
    return failed


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(False, id="first partitions"),
        pytest.param(True, id="all partitions", marks=pytest.mark.soak),
    ],
)
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    home = tmp_path_factory.mktemp("home")
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with (
        pytest.MonkeyPatch.context() as environment,
        running_server(Corpus(root=tmp_path_factory.mktemp("corpus"), clips=())) as url,
    ):
        for name, value in {
            "DAGSTER_HOME": str(home),
            "WAVCAPS_STORE": str(home / "store"),
            "WAVCAPS_STATE": str(home / "state"),
            "WAVCAPS_EMBEDDED_SOURCES_PORT": url.rpartition(":")[2],
        }.items():
            environment.setenv(name, value)
        settings = Settings()
        locations = [
            wavcaps_assets.definitions.build(settings),
            wavcaps_training.definitions.build(settings),
        ]
        tables = TableStore(Store(home / "store"))
        with dg.DagsterInstance.ephemeral() as instance:
            for definitions in locations:
                tables_of(definitions, tables)
            yield {
                name: problem
                for definitions in locations
                for name, problem in run_each(definitions, instance, request.param).items()
            }


@pytest.mark.slow
def test_nothing_to_do_is_no_error_or_a_clear_one(outcomes: dict[str, str]) -> None:
    assert len(outcomes) > 30
    for name, problem in outcomes.items():
        expected = CLEAR_ERRORS.get(name.partition("[")[0])
        if expected is None:
            assert not problem, name
        else:
            assert expected in problem, name
