"""A training step that is killed is tried again, and goes on; one that can only fail again is not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from tests.support.paths import ROOT
from tests.training.executor.executor_runs import failures_of, log_of
from tests.training.training.test_resume import SETTINGS, clips  # noqa: F401
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_training.paper.experiments import HTSAT_DEMO

pytestmark = pytest.mark.slow

KEY = list(HTSAT_DEMO.key)
STEP = "__".join(KEY)


def build_job() -> dg.JobDefinition:
    from wavcaps_assets.settings import Settings
    from wavcaps_training.definitions import build

    return build(Settings()).resolve_job_def("train_htsat_bert")


@pytest.fixture
def store(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """A store with the clips and their training manifest, on a machine without a GPU."""
    root = tmp_path / "store"
    root.mkdir()
    for path in clips.glob("*.flac"):
        (root / path.name).symlink_to(path)
    manifest = pq.read_table(clips / "manifest.parquet")
    TableStore(Store(root)).write(list(HTSAT_DEMO.training_manifest), None, manifest)
    monkeypatch.setenv("WAVCAPS_STORE", str(root))
    monkeypatch.setenv("WAVCAPS_CUDA_DEVICES", "")
    return root


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def execute(instance: dg.DagsterInstance, settings: dict[str, Any]) -> dg.JobExecutionResult:
    job = dg.build_reconstructable_job(
        "tests.training.executor.test_retries", "build_job", reconstructor_working_directory=str(ROOT)
    )
    return dg.execute_job(
        job,
        instance,
        asset_selection=[dg.AssetKey(KEY)],
        run_config={
            "execution": {"config": {"on_missing_cuda": "cpu"}},
            "ops": {STEP: {"config": {"settings": settings}}},
        },
    )


def test_a_killed_training_is_tried_again_and_goes_on(store: Path, instance: dg.DagsterInstance) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 2})
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(execute, instance, settings.model_dump(mode="json", exclude_none=True))
        while not list(store.glob("checkpoints/**/state.safetensors")):
            assert not run.done()
            time.sleep(0.05)
        os.kill(step_process(instance), signal.SIGKILL)
        result = run.result()
    assert result.success
    assert ("STEP_UP_FOR_RETRY", STEP) in log_of(instance, result.run_id)
    assert any("resuming from step" in entry.message for entry in instance.all_logs(result.run_id))
    (row,) = TableStore(Store(store)).read(KEY).to_pylist()
    assert [entry["epoch"] for entry in row["learning_curve"]] == [1, 2]


def test_a_loss_that_is_no_number_is_not_tried_again(store: Path, instance: dg.DagsterInstance) -> None:
    settings = SETTINGS.model_copy(update={"learning_rate": 1e30, "warmup_epochs": 0.0})
    result = execute(instance, settings.model_dump(mode="json", exclude_none=True))
    assert "TrainingError: " in failures_of(result)[STEP]
    assert ("STEP_UP_FOR_RETRY", STEP) not in log_of(instance, result.run_id)


def step_process(instance: dg.DagsterInstance) -> int:
    (run,) = instance.get_runs()
    (started,) = (
        entry.dagster_event
        for entry in instance.all_logs(run.run_id)
        if entry.dagster_event and entry.dagster_event.event_type_value == "STEP_WORKER_STARTING"
    )
    data: Any = started.event_specific_data
    return int(data.metadata["process"].value)
