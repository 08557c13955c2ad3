"""One check of an asset is executed on its own, again after a threshold was changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from tests.checks.manifests import good_rows
from tests.support.rows import manifest_row
from wavcaps_assets.defs.checks import table_checks
from wavcaps_assets.defs.quality import quality_checks
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import TableIOManager
from wavcaps_assets.tables import MANIFEST

SOURCE, OTHER = "soundbible", "freesound"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def run_checks(
    location: dg.Definitions, instance: dg.DagsterInstance, *names: str
) -> dict[str, dg.AssetCheckEvaluation]:
    """Runs single checks of a partition of the manifest, without materializing it."""
    keys = {dg.AssetCheckKey(dg.AssetKey("manifest"), name) for name in names}
    job = location.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection=set(), asset_check_selection=keys
    )
    tags = {"dagster/partition": SOURCE}
    result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
    assert not result.get_asset_materialization_events()
    return {one.check_name: one for one in result.get_asset_check_evaluations()}


def test_a_threshold_is_changed_and_tried_without_a_materialization(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    parts = dg.StaticPartitionsDefinition([SOURCE, OTHER])
    thresholds = tmp_path / "thresholds.toml"
    thresholds.write_text("")

    @dg.asset(partitions_def=parts)
    def manifest() -> pa.Table:
        return MANIFEST.from_rows(manifest_row(**row) for row in good_rows(40))

    store = StoreResource(root=str(tmp_path / "store"))
    location = dg.Definitions(
        assets=[manifest],
        asset_checks=[
            table_checks(["manifest"], parts),
            quality_checks("manifest", parts, str(thresholds)),
        ],
        resources={"store": store, "io_manager": TableIOManager(store=store)},
    )
    # One check alone, of a table that no check has seen: later sets are not compared with it.
    job = location.resolve_implicit_global_asset_job_def()
    alone = job.get_subset(asset_selection={dg.AssetKey("manifest")}, asset_check_selection=set())
    assert alone.execute_in_process(instance=instance, partition_key=SOURCE).success
    assert run_checks(location, instance, "unique")["unique"].passed
    assert not (tmp_path / "store" / "quality").exists()

    assert job.execute_in_process(instance=instance, partition_key=SOURCE).success
    assert (tmp_path / "store" / "quality" / "manifest" / SOURCE / "latest.parquet").exists()

    (name, found), *others = run_checks(location, instance, "unique").items()
    assert (name, found.passed, found.partition, others) == ("unique", True, SOURCE, [])

    thresholds.write_text("[unique]\nerror = 1.1\n")
    strict = run_checks(location, instance, "unique", "schema")
    assert {name: check.passed for name, check in strict.items()} == {"unique": False, "schema": True}

    thresholds.write_text("")
    assert run_checks(location, instance, "unique")["unique"].passed
