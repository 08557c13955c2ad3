"""Runs of `cuda_steps` for the tests of the CUDA executor, and the steps that are in them."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection, Listener
from typing import Any

import dagster as dg

from tests.support.paths import ROOT
from tests.training.executor import cuda_steps


class Steps:
    """The steps that run now, as they report themselves."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._connections: dict[str, Connection[Any, Any]] = {}
        self.reports: dict[str, dict[str, Any]] = {}

    def await_start(self) -> str:
        connection = self._listener.accept()
        report = connection.recv()
        self._connections[report["step"]] = connection
        self.reports[report["step"]] = report
        return str(report["step"])

    def await_starts(self, count: int) -> set[str]:
        return {self.await_start() for _ in range(count)}

    def await_end(self, step: str) -> None:
        self.reports[step]["end"] = self._connections.pop(step).recv()

    def release(self, *steps: str) -> None:
        for step in steps:
            self._connections[step].send("go on")
            self.await_end(step)

    def seen(self, variable: str) -> dict[str, str]:
        return {step: report[variable] for step, report in self.reports.items()}


def execute(instance: dg.DagsterInstance, job: str, **config: Any) -> dg.JobExecutionResult:
    reconstructable = dg.build_reconstructable_job(
        cuda_steps.__name__, "build_job", (job,), reconstructor_working_directory=str(ROOT)
    )
    return dg.execute_job(reconstructable, instance, run_config={"execution": {"config": config}})


def start(instance: dg.DagsterInstance, job: str, **config: Any) -> Future[dg.JobExecutionResult]:
    pool = ThreadPoolExecutor(1)
    run = pool.submit(execute, instance, job, **config)
    pool.shutdown(wait=False)
    return run


def log_of(instance: dg.DagsterInstance, run_id: str) -> list[tuple[str, str | None]]:
    """Types and steps of a run's events, in order."""
    entries = instance.all_logs(run_id)
    events = [entry.dagster_event for entry in entries if entry.dagster_event]
    return [(event.event_type_value, event.step_key) for event in events]


def error_of(result: dg.JobExecutionResult) -> str:
    (event,) = (event for event in result.all_events if event.event_type_value == "PIPELINE_FAILURE")
    assert event.job_failure_data.error is not None
    return str(event.job_failure_data.error.message)


def failures_of(result: dg.JobExecutionResult) -> dict[str | None, str]:
    return {event.step_key: str(event.step_failure_data.error) for event in result.get_step_failure_events()}


def wait_until_logged(instance: dg.DagsterInstance, words: str) -> None:
    """Returns once a run has said something in its log."""
    while not any(
        words in entry.message for run in instance.get_runs() for entry in instance.all_logs(run.run_id)
    ):
        time.sleep(0.1)
