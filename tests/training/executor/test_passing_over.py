"""Steps that lack their checkpoint cost no process."""

from pathlib import Path

import dagster as dg
import pytest

from tests.training.executor.executor_runs import execute, log_of
from tests.training.scoring.benchmark_clips import checkpoint_row, training_manifest
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_only_checkpoints_that_are_there_get_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    monkeypatch.setenv("WAVCAPS_STORE", str(store))
    tables = TableStore(Store(store))
    tables.write(("checkpoint", "htsat_bert", "zero_shot"), None, checkpoint_row(training_manifest({})))
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        result = execute(instance, "all_scores", on_missing_cuda="cpu")
        assert result.success
        logged = log_of(instance, result.run_id)
        said = [entry.message for entry in instance.all_logs(result.run_id)]
    steps = {f"scores_of_{one}" for one in ("zero_shot", "pretraining", "baseline")}
    assert {step for event, step in logged if event == "STEP_SUCCESS"} == steps
    # Only one was started, and only one has an output.
    for event in ("STEP_WORKER_STARTING", "STEP_OUTPUT", "ASSET_MATERIALIZATION"):
        assert [step for name, step in logged if name == event] == ["scores_of_zero_shot"], event
    for setting in ("pretraining", "baseline"):
        assert f"checkpoint/htsat_bert/{setting} is not there: passed over, without a process." in said
