"""What a run prints to the terminal, with the instance's settings of this repository."""

from pathlib import Path

import dagster as dg
import pytest

from tests.support.paths import ROOT


def test_a_run_prints_no_debug_lines_and_its_events_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text((ROOT / "dagster_home" / "dagster.yaml").read_text())

    @dg.asset
    def spoken(context: dg.AssetExecutionContext) -> None:
        context.log.info("a line for a person")

    with dg.DagsterInstance.get() as instance:
        result = dg.materialize([spoken], instance=instance)
        kinds = {entry.dagster_event_type for entry in instance.all_logs(result.run_id)}
    printed = "".join(capfd.readouterr())
    assert "a line for a person" in printed
    assert "DEBUG" not in printed
    assert {
        dg.DagsterEventType.STEP_START,
        dg.DagsterEventType.ASSET_MATERIALIZATION,
        dg.DagsterEventType.STEP_SUCCESS,
        dg.DagsterEventType.RUN_SUCCESS,
    } <= kinds
