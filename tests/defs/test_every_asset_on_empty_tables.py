"""Every asset and check of both locations, one after another, where every table is empty."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import dagster as dg
import pytest

import wavcaps_assets.definitions
import wavcaps_training.definitions
from wavcaps_assets.demo.clips import Corpus
from wavcaps_assets.demo.server import running_server
from wavcaps_assets.settings import Settings
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import DROPPED, schema_of
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage

# Without clips, these cannot be made. The error says so.
CLEAR_ERRORS = {
    "checkpoint/": "no clips in the train split",
    "scores/retrieval": "materialize .* first|no clips in the test split",
    "validation_": "no clips|is empty|materialize .* first",
    # The released sets are other people's: they are put into the store by hand.
    "training_manifest/": "is not in the store|no data set",
    "raw_clips": "finds no sounds at all|lists no sounds|has no events|none of",
}


@dataclass
class Outcomes:
    """What became of each asset: the error of its step, or the checks that failed; empty: neither."""

    problems: dict[str, str] = field(default_factory=dict)


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


def run_each(definitions: dg.Definitions, instance: dg.DagsterInstance) -> dict[str, str]:
    """Runs each asset of a location with its checks. Gives its problem, if it has one."""
    graph = definitions.resolve_asset_graph()
    job = definitions.resolve_implicit_global_asset_job_def()
    problems = {}
    for key in graph.toposorted_asset_keys:
        node = graph.get(key)
        if not node.is_materializable:
            continue
        partitions = node.partitions_def
        result = job.execute_in_process(
            instance=instance,
            asset_selection=[key],
            partition_key=partitions.get_partition_keys()[0] if partitions else None,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
        failed = [
            f"{check.check_name}: {check.description}"
            for check in result.get_asset_check_evaluations()
            if not check.passed
        ]
        for event in result.filter_events(lambda event: event.is_step_failure):
            error = event.step_failure_data.error
            failed.append((error.cause or error).message.strip() if error else "failed")
        problems["/".join(key.path)] = "; ".join(failed)
    return problems


@pytest.fixture(scope="module", params=["embedded", "live"])
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
            "WAVCAPS_SOURCES": request.param,
            "WAVCAPS_EMBEDDED_SOURCES_PORT": url.rpartition(":")[2],
            "WAVCAPS_NETWORK__PRIVATE_HOSTS": f'["{url.partition("://")[2]}"]',
            "WAVCAPS_NETWORK__OTHER_QUOTA": '{"per_minute": null}',
            "WAVCAPS_FREESOUND__BASE_URL": f"{url}/freesound",
            "WAVCAPS_FREESOUND__TOKEN": "demo-token",
            "WAVCAPS_FREESOUND__FIRST_MONTH": "2022-09",
            "WAVCAPS_FREESOUND__LAST_MONTH": "2022-09",
            "WAVCAPS_BBC__API_URL": f"{url}/bbc",
            "WAVCAPS_BBC__MEDIA_URL": f"{url}/bbc-media",
            "WAVCAPS_SOUNDBIBLE__BASE_URL": f"{url}/soundbible",
            "WAVCAPS_AUDIOSET__LABELS_URL": f"{url}/audioset/labels",
        }.items():
            environment.setenv(name, value)
        settings = Settings()
        locations = [
            wavcaps_assets.definitions.build(settings),
            wavcaps_training.definitions.build(settings),
        ]
        tables = TableStore(Store(home / "store"))
        with dg.DagsterInstance.get() as instance:
            for definitions in locations:
                tables_of(definitions, tables)
            yield {
                name: problem
                for definitions in locations
                for name, problem in run_each(definitions, instance).items()
            }


@pytest.mark.slow
def test_nothing_to_do_is_no_error_or_a_clear_one(outcomes: dict[str, str]) -> None:
    assert len(outcomes) > 30
    for name, problem in outcomes.items():
        print(f"{name}: {problem[:300] or 'ok'}")
