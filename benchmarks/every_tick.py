"""How long a tick of each schedule and sensor takes, with 300 months of FreeSound and 10,000 past runs.

Each may take 1 s at most; the seconds are CPU time of the tick alone, in the process that evaluates it. The
peer is the same tick with 40 past runs. `schedule_tick` has the worst cases of one schedule.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from benchmarks.past_runs import instance_with_runs
from benchmarks.result import own_peak_mb, report
from wavcaps_assets.definitions import build
from wavcaps_assets.settings import Settings
from wavcaps_training.definitions import build as build_training

RUNS, FEW_RUNS, MOST_S = 10_000, 40, 1.0


def tick(
    repository: dg.RepositoryDefinition,
    found: dg.ScheduleDefinition | dg.SensorDefinition,
    instance: dg.DagsterInstance,
) -> float:
    """How long a tick takes (s)."""
    if isinstance(found, dg.ScheduleDefinition):
        with dg.build_schedule_context(
            instance=instance, repository_def=repository, scheduled_execution_time=datetime.now(UTC)
        ) as context:
            began = time.process_time()
            found.evaluate_tick(context)
            return time.process_time() - began
    with dg.build_sensor_context(instance, repository_def=repository) as sensed:
        began = time.process_time()
        found.evaluate_tick(sensed)
        return time.process_time() - began


def ticks(home: Path, count: int) -> dict[str, float]:
    """How long a tick of each schedule and sensor takes (s), by its name."""
    with instance_with_runs(home, "telemetry: {enabled: false}\n", count) as (instance, sources):
        # There is something new for each sensor, so that none ends at its first look.
        for source in sources:
            for key, partition in (
                ("manifest", source.name),
                ([source.name, "raw_clips"], source.partitions()[0]),
            ):
                instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition))
        found = {}
        for definitions in (build(Settings()), build_training(Settings())):
            repository = definitions.get_repository_def()
            for schedule in repository.schedule_defs:
                found[schedule.name] = tick(repository, schedule, instance)
            for sensor in repository.sensor_defs:
                found[sensor.name] = tick(repository, sensor, instance)
        return found


def main() -> None:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        few, many = ticks(Path(folder, "few"), FEW_RUNS), ticks(Path(folder, "many"), RUNS)
    for name, seconds in sorted(many.items(), key=lambda item: -item[1]):
        print(f"{name}: {seconds:.3f} s ({few[name]:.3f} s with {FEW_RUNS} runs)")  # noqa: T201
    slowest = max(many, key=lambda name: many[name])
    report("every_tick", many[slowest], "s", f"{slowest} with {FEW_RUNS} runs", few[slowest], own_peak_mb())
    if slow := [name for name, seconds in many.items() if seconds > MOST_S]:
        sys.exit(f"these take more than {MOST_S:g} s: {', '.join(slow)}")


if __name__ == "__main__":
    main()
