"""The recipe for a new asset, followed: one file in defs/, and no line elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.support.paths import ROOT
from wavcaps_assets import defs
from wavcaps_assets.definitions import build
from wavcaps_assets.settings import Settings

NAME = "longest_titles"
FILE = '''
"""The clips with the longest titles."""

import dagster as dg
import pyarrow as pa

from wavcaps_assets.defs.common import OWNERS, Location


def definitions(location: Location) -> dg.Definitions:
    names = ", ".join(source.name for source in location.sources)

    @dg.asset(group_name="publish", kinds={"parquet"}, owners=OWNERS, description=f"Of {names}.")
    def longest_titles() -> pa.Table:
        return pa.table({"title": ["A very long title"]})

    @dg.asset_check(asset=longest_titles)
    def titles_are_long() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    return dg.Definitions(assets=[longest_titles], asset_checks=[titles_are_long])
'''


@pytest.fixture
def new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / f"{NAME}.py").write_text(FILE)
    monkeypatch.setattr(defs, "__path__", [*defs.__path__, str(tmp_path)])
    yield
    sys.modules.pop(f"{defs.__name__}.{NAME}", None)


@pytest.mark.usefixtures("new_file")
def test_a_new_asset_is_one_file() -> None:
    before = {"wavcaps", "filtered_clips"}
    graph = build(Settings()).resolve_asset_graph()
    keys = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert {*before, NAME} <= keys
    described = graph.get(dg.AssetKey(NAME)).description
    assert described is not None and "freesound" in described
    assert dg.AssetCheckKey(dg.AssetKey(NAME), "titles_are_long") in graph.asset_check_keys


def test_without_the_file_there_is_no_such_asset() -> None:
    assert dg.AssetKey(NAME) not in build(Settings()).resolve_asset_graph().get_all_asset_keys()


@pytest.mark.usefixtures("new_file")
def test_two_modules_cannot_define_the_same_asset(tmp_path: Path) -> None:
    (tmp_path / "titles_again.py").write_text(FILE)
    with pytest.raises(dg.DagsterInvalidDefinitionError, match=NAME):
        build(Settings()).get_repository_def()
    sys.modules.pop(f"{defs.__name__}.titles_again", None)


@pytest.mark.slow
def test_a_process_that_loads_definitions_after_duckdb_ends_without_complaints(tmp_path: Path) -> None:
    code = (
        "import duckdb; duckdb.connect().sql('select 1').fetchall()\n"
        "import wavcaps_assets.definitions as location; location.defs()"
    )
    environment = {**os.environ, "WAVCAPS_STORE": str(tmp_path), "WAVCAPS_STATE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert "leaked" not in done.stdout + done.stderr
