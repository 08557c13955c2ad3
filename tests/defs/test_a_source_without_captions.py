"""All captions of one source among others were dropped: every asset downstream, and its checks."""

from __future__ import annotations

import tarfile
from pathlib import Path

import dagster as dg
import pytest

from tests.defs.test_every_asset_on_empty_tables import problems_of
from tests.support.paths import ROOT
from wavcaps_assets.definitions import build
from wavcaps_assets.settings import Settings
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import CAPTIONS, DROPPED
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage, drop

pytestmark = pytest.mark.soak

SOURCE = "soundbible"
# They need the demo's server, or audio, which the small store does not have.
NOT_HERE = {"recordings", "validation_study", "validation_ratings", "validation_scores"}
UPSTREAM = {"filtered_clips", "llm_captions", "captions", "caption_comparison"}


def outcomes() -> dict[str, str]:
    """Runs each asset downstream of the captions. Gives what is wrong, by asset."""
    definitions = build(Settings())
    graph = definitions.resolve_asset_graph()
    job = definitions.resolve_implicit_global_asset_job_def()
    sources = {
        path.name for path in Path(Settings().store, "tables").iterdir() if (path / "raw_clips").is_dir()
    }
    found = {}
    with dg.DagsterInstance.ephemeral() as instance:
        for key in graph.toposorted_asset_keys:
            node, name = graph.get(key), "/".join(key.path)
            if not node.is_materializable or key.path[0] in sources | UPSTREAM | NOT_HERE:
                continue
            partitions = node.partitions_def
            result = job.execute_in_process(
                instance=instance,
                asset_selection=[key],
                partition_key=SOURCE if partitions else None,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                raise_on_error=False,
                tags={"wavcaps/allow_fewer_rows": "1"},
            )
            errors = [
                check.check_name
                for check in result.get_asset_check_evaluations()
                if not check.passed and check.severity is dg.AssetCheckSeverity.WARN
            ]
            found[name] = "; ".join(
                problem for problem in problems_of(result) if problem.partition(":")[0] not in errors
            )
    return found


def test_no_asset_and_no_check_fails_but_those_that_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tarfile.open(ROOT / "tests" / "compat" / "home.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("WAVCAPS_STORE", str(tmp_path / "store"))
    tables = TableStore(Store(tmp_path / "store"))
    before = tables.read_stage(["captions"], [SOURCE])
    clips = before.kept["clip_id"].to_pylist()
    assert clips
    lost = [drop(clip, SOURCE, "captions", "asked_too_often") for clip in clips]
    dropped = DROPPED.from_rows([*lost, *before.dropped.to_pylist()])
    tables.write(["captions"], SOURCE, Stage(CAPTIONS.empty(), dropped))
    published = tables.read(["wavcaps"])

    problems = {name: problem for name, problem in outcomes().items() if problem}
    # A person has to look before it is published: the previous set is kept.
    assert set(problems) == {"manifest", "wavcaps"}
    assert "dropped: soundbible: dropped 1" in problems["manifest"]
    assert "not published" in problems["wavcaps"] and "the previous set is kept" in problems["wavcaps"]
    assert tables.read(["wavcaps"]).equals(published)

    (tmp_path / "thresholds.toml").write_text("[dropped]\nwarn = 1.0\nerror = 1.0\n")
    monkeypatch.setenv("WAVCAPS_QUALITY", str(tmp_path / "thresholds.toml"))
    assert {name: problem for name, problem in outcomes().items() if problem} == {}
    assert SOURCE not in tables.read(["wavcaps"])["source"].to_pylist()
