"""Both code locations load, through Dagster's own validator and without heavy packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.support.paths import ROOT
from wavcaps_assets.definitions import build as build_assets
from wavcaps_assets.settings import Settings
from wavcaps_assets.tables import schema_of
from wavcaps_training.definitions import build as build_training


@pytest.mark.slow
def test_dagster_validates_the_workspace(tmp_path: Path) -> None:
    validated = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"],
        cwd=ROOT,
        env={**os.environ, "DAGSTER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert validated.returncode == 0, validated.stdout + validated.stderr
    assert "Validation successful for code location wavcaps_assets" in validated.stdout + validated.stderr
    assert "Validation successful for code location wavcaps_training" in validated.stdout + validated.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("location", "unwanted"),
    [
        (
            "wavcaps_assets.definitions",
            ("torch", "spacy", "openai", "matplotlib", "duckdb", "boto3", "av", "scipy", "sqlalchemy"),
        ),
        (
            "wavcaps_training.definitions",
            ("torch", "transformers", "diffusers", "lightning", "matplotlib", "sqlalchemy"),
        ),
    ],
)
def test_definitions_load_without_what_only_steps_need(location: str, unwanted: tuple[str, ...]) -> None:
    program = f"import sys, {location} as location; location.defs(); print(*{unwanted} & sys.modules.keys())"
    program = program.replace(f"*{unwanted}", f"*set({unwanted})")
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []


def test_every_asset_says_what_it_is() -> None:
    for build in (build_assets, build_training):
        graph = build(Settings()).resolve_asset_graph()
        for key in graph.materializable_asset_keys:
            describes_itself(graph.get(key))


def describes_itself(asset: Any) -> None:
    assert asset.description, asset.key
    assert asset.group_name != "default", asset.key
    assert asset.kinds, asset.key
    assert asset.owners, asset.key
    if asset.key.path != ["report"]:
        columns = asset.metadata["dagster/column_schema"].columns
        assert [column.name for column in columns] == schema_of(asset.key.path).arrow.names


def test_a_partition_of_a_source_depends_on_that_source_only() -> None:
    graph = build_assets(Settings()).resolve_asset_graph()
    filtered: Any = graph.get(dg.AssetKey("filtered_clips"))
    months_asset: Any = graph.get(dg.AssetKey(["freesound", "raw_clips"]))
    months = filtered.partition_mappings[dg.AssetKey(["freesound", "raw_clips"])]
    upstream = months.get_upstream_mapped_partitions_result_for_partitions(
        filtered.partitions_def.subset_with_partition_keys(["bbc_sound_effects"]),
        filtered.partitions_def,
        months_asset.partitions_def,
    )
    assert list(upstream.partitions_subset.get_partition_keys()) == []
