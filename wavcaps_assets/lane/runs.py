"""Runs the jobs of the workspace in this process. Dagster's daemon would start a process for each."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import dagster as dg
from dagster._core import errors as dg_errors
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.definitions.repository_definition.valid_definitions import SINGLETON_REPOSITORY_NAME
from dagster._core.events.log import EventLogEntry
from dagster._core.execution.api import execute_run
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from wavcaps_assets.lane.killed import LANE_TAG

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
# It says of each check of a table that has to wait that what follows goes on without it, and that is skipped.
PLAN_LOGGER = "dagster._core.execution.plan.active"
INTERRUPTED = dg_errors.DagsterExecutionInterruptedError.__name__


class RunFailed(RuntimeError):
    """A run failed."""


class RunStopped(RuntimeError):
    """A person stopped a run, by Ctrl-C."""


class RunWaits(RuntimeError):
    """A run ended without all of its tables, because a source or a model must not be asked now."""


@dataclass(frozen=True)
class Step:
    """A step that has made its table.

    Attributes:
        name: of the asset.
        rows: of its table; None: not known.
        dropped: clips that it left out with a reason; None: it drops none.
    """

    name: str
    rows: int | None
    dropped: int | None

    def __str__(self) -> str:
        facts = [f"{self.rows:,} rows"] if self.rows is not None else []
        facts += [f"{self.dropped:,} dropped"] if self.dropped else []
        return f"{self.name}: {', '.join(facts) or 'done'}"


@dataclass(frozen=True)
class Job:
    """A job of one of the workspace's code locations.

    Attributes:
        location: the package that defines it.
        name: the job's name.
        partition: the partition that it runs for.
        config: of its steps, by their names.
        execution: of its executor.
    """

    location: str
    name: str
    partition: str | None = None
    config: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    execution: Mapping[str, object] = field(default_factory=dict)

    @property
    def run_config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            **QUIET,
            "ops": {step: {"config": own} for step, own in self.config.items()},
        }
        return {**config, "execution": {"config": self.execution}} if self.execution else config

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the run. A job's page in the web UI lists the runs that have its repository's label."""
        tags = {REPOSITORY_LABEL_TAG: f"{SINGLETON_REPOSITORY_NAME}@{self.location}"}
        return {**tags, "dagster/partition": self.partition} if self.partition else tags

    def __str__(self) -> str:
        return f"{self.name}[{self.partition}]" if self.partition else self.name


def steps_of(job: Job, root: Path) -> list[str]:
    """The names of a job's steps, as the run's configuration has them."""
    return list(_reconstructable(job, root).get_definition().graph.node_dict)


def _reconstructable(job: Job, root: Path) -> ReconstructableJob:
    repository = ReconstructableRepository.for_module(
        f"{job.location}.definitions", "defs", working_directory=str(root)
    )
    return repository.get_reconstructable_job(job.name)


def run_job(
    instance: dg.DagsterInstance, job: Job, root: Path, owner: str = "", *, shows_log: bool = False
) -> list[Step]:
    """Runs a job to its end. Returns the steps that made a table, in their order.

    Args:
        root: the folder of the workspace.
        owner: the name of this process, as of `killed.lane_of`; empty: none.
        shows_log: print what the steps log, such as the epochs of a training.

    Raises:
        RunFailed: says which steps failed, and with which error.
        RunWaits: says why a table could not be made now.
        RunStopped: by Ctrl-C.
    """
    steps = _reconstructable(job, root)
    run = instance.create_run_for_job(
        steps.get_definition(),
        run_config=job.run_config,
        tags={**job.tags, LANE_TAG: owner} if owner else job.tags,
        remote_job_origin=_origin(job, root),
        job_code_origin=steps.get_python_origin(),
        repository_load_data=steps.repository.get_definition().repository_load_data,
    )
    shown = _shown_log(instance, run.run_id) if shows_log else nullcontext()
    with shown, _calm(), execute_run(steps, run, instance) as result:
        if result.success:
            # Logged when the run was created, and no event of its execution.
            planned = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
            assets = {entry.get_dagster_event().asset_key for entry in planned}
            return _made(job, result, assets)
        if any(_is_interrupt(event) for event in result.all_events):
            raise RunStopped(f"{job} was stopped (run {result.run_id})")
        raise RunFailed("\n".join([f"{job} failed (run {result.run_id})", *_failures(result)]))


def _is_interrupt(event: dg.DagsterEvent) -> bool:
    error = event.step_failure_data.error if event.is_step_failure else None
    # Dagster wraps the error of the step.
    return error is not None and INTERRUPTED in {one.cls_name for one in (error, error.cause) if one}


@contextmanager
def _calm() -> Iterator[None]:
    plan = logging.getLogger(PLAN_LOGGER)
    level = plan.level
    plan.setLevel(logging.ERROR)
    try:
        yield
    finally:
        plan.setLevel(level)


@contextmanager
def _shown_log(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    def show(entry: EventLogEntry, _cursor: str) -> None:
        if not entry.is_dagster_event and int(entry.level) >= logging.INFO:
            click.echo(f"    {entry.user_message}")

    instance.watch_event_logs(run_id, None, show)
    try:
        yield
    finally:
        instance.end_watch_event_logs(run_id, show)


def _made(job: Job, result: dg.JobExecutionResult, planned: Collection[dg.AssetKey | None]) -> list[Step]:
    made = [
        event.step_materialization_data.materialization
        for event in result.all_events
        if event.is_step_materialization
    ]
    if {*planned} - {materialization.asset_key for materialization in made}:
        # A step that waits says why in an observation of its asset.
        why = [
            event.asset_observation_data.asset_observation.description
            for event in result.all_events
            if event.is_asset_observation
        ]
        raise RunWaits(f"{job} has to wait: {why[-1] if why else f'see run {result.run_id}'}")
    return [
        Step(
            materialization.asset_key.to_user_string(),
            _number(materialization.metadata.get("dagster/row_count")),
            _number(materialization.metadata.get("dropped")),
        )
        for materialization in made
    ]


def _number(value: dg.MetadataValue[Any] | None) -> int | None:
    return value.value if isinstance(value, dg.IntMetadataValue) else None


def _origin(job: Job, root: Path) -> RemoteJobOrigin:
    """Where the web UI finds the job of a run, to run it again."""
    target = LoadableTargetOrigin(module_name=f"{job.location}.definitions", working_directory=str(root))
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, job.location)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME), job.name)


def _failures(result: dg.JobExecutionResult) -> Iterator[str]:
    for check in result.get_asset_check_evaluations():
        # A warning is not why a run failed.
        if not check.passed and check.severity is dg.AssetCheckSeverity.ERROR:
            yield f"  {check.asset_check_key.to_user_string()}: {check.description}"
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            # Dagster wraps the error of the step. Its own cause is in the log only.
            raised = error.cause if error is not None and error.cause is not None else error
            yield f"  {event.step_key}: {raised.message.strip() if raised else event.message}"
        elif event.is_failure and event.message:
            yield f"  {event.message}"


@contextmanager
def timed(what: str, *, own_lines: bool) -> Iterator[None]:
    """Prints what runs, and how long it took.

    Args:
        what: the name of the work.
        own_lines: whether the work itself writes to the terminal, so that start and end need their own lines.
    """
    click.echo(f"  {what} ...", nl=own_lines)
    started = time.monotonic()
    try:
        yield
    except RunWaits:
        click.echo(" has to wait")
        raise
    except BaseException:
        click.echo(" failed")
        raise
    took = f"{time.monotonic() - started:.1f} s"
    click.echo(f"  {what}: {took}" if own_lines else f" {took}")
