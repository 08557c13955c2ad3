"""The values of Dagster's Helm chart: the same instance as on one machine, and the same images and secrets.

The chart's templates were read and rendered, and are not here: what they do with these values is to write the
names with underscores.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from tests.support.compose import services
from tests.support.paths import ROOT

PASSWORDS = ("UI_USER", "UI_PASSWORD_HASH", "DAGSTER_POSTGRES_PASSWORD")
BUCKET, KEYS = "wavcaps-bucket", "wavcaps-keys"


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "deploy/kubernetes/values.yaml").read_text())
    return found


@pytest.fixture(scope="module")
def compose() -> dict[str, dict[str, Any]]:
    return services(dict.fromkeys((*PASSWORDS, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "x"))


def instance_of(values: dict[str, Any]) -> dict[str, Any]:
    """The parts of `dagster.yaml` that are the same with every launcher and storage."""
    daemon = values["dagsterDaemon"]
    coordinator = daemon["runCoordinator"]
    assert coordinator["enabled"] and coordinator["type"] == "CustomRunCoordinator"
    parts = {
        "run_monitoring": _underscored(daemon["runMonitoring"]),
        "run_retries": _underscored(daemon["runRetries"]),
        "concurrency": _underscored(values["concurrency"]),
        "retention": _underscored(values["retention"]),
        "python_logs": _underscored(values["pythonLogs"]),
        "telemetry": values["telemetry"],
    }
    assert parts["concurrency"].pop("enabled") and parts["retention"].pop("enabled")
    # The chart wants to hear of ticks in progress too. They are not removed.
    for kept in parts["retention"].values():
        assert kept["purge_after_days"].pop("started") == -1
    # As they are.
    return {
        **parts,
        "run_coordinator": coordinator["config"]["customRunCoordinator"],
        **values["additionalInstanceConfig"],
    }


def _underscored(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    # The value of a limit is Dagster's own.
    return {re.sub(r"(?=[A-Z])", "_", key).lower(): _underscored(inner) for key, inner in value.items()}


def test_the_instance_is_that_of_a_team(values: dict[str, Any]) -> None:
    team = yaml.safe_load((ROOT / "dagster_home/team/dagster.yaml").read_text())
    own = {"storage", "compute_logs", "run_launcher"}
    assert instance_of(values) == {name: part for name, part in team.items() if name not in own}


def test_dagster_accepts_the_instance(values: dict[str, Any], tmp_path: Path) -> None:
    """It refuses some combinations, and then no process of an installation starts."""
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(instance_of(values)))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None and queue.max_concurrent_runs == 9
        assert queue.max_user_code_failure_retries == 1440


def test_the_images_and_the_settings_are_those_of_compose(
    values: dict[str, Any], compose: dict[str, dict[str, Any]]
) -> None:
    deployments = values["dagster-user-deployments"]["deployments"]
    images = [one["image"]["repository"].rpartition("/")[2] for one in deployments]
    assert images == [compose[name]["image"] for name in ("assets", "training")]
    (variable,) = values["dagsterDaemon"]["env"]
    assert compose["daemon"]["environment"][variable["name"]] == variable["value"]
    command = compose["webserver"]["command"]
    recycle = int(command[command.index("--db-pool-recycle") + 1])
    assert values["dagsterWebserver"]["dbPoolRecycle"] == recycle
    logs = values["computeLogManager"]["config"]["s3ComputeLogManager"]
    team = yaml.safe_load((ROOT / "dagster_home/team/dagster.yaml").read_text())["compute_logs"]["config"]
    assert (logs["prefix"], logs["uploadInterval"]) == (team["prefix"], team["upload_interval"])


def test_home_is_a_folder_that_the_images_have_and_may_write_to(values: dict[str, Any]) -> None:
    image = (ROOT / "deploy/Dockerfile").read_text()
    assert f"DAGSTER_HOME={values['global']['dagsterHome']} " in image
    assert values["dagster-user-deployments"]["includeInstance"] is True


def test_training_has_shared_memory_for_its_batches(values: dict[str, Any]) -> None:
    """A container has 64 MB of it, and two batches of 32 clips, which readers hold ahead, have 80 MB."""
    (training,) = (
        one for one in values["dagster-user-deployments"]["deployments"] if one["name"] == "wavcaps-training"
    )
    (mount,) = training["volumeMounts"]
    (volume,) = training["volumes"]
    assert mount == {"name": volume["name"], "mountPath": "/dev/shm"}
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "4Gi"}
    gpu = yaml.safe_load((ROOT / "deploy/compose.gpu.yaml").read_text())["services"]["training"]
    assert gpu["shm_size"] == "4gb"


def test_the_chart_is_of_the_version_of_the_images() -> None:
    """Else the web server, the daemon and the database are of a newer Dagster than the code locations."""
    guide = (ROOT / "docs/executor.md").read_text()
    (chart,) = re.findall(r"helm install dagster dagster/dagster --version (\S+)", guide)
    for locked in ("team", "training"):
        requirements = (ROOT / f"requirements/{locked}.txt").read_text()
        assert f"\ndagster=={chart} " in requirements


def test_only_who_crawls_and_captions_has_the_keys(values: dict[str, Any]) -> None:
    holders = {
        one["name"]: [secret["name"] for secret in one["envSecrets"]]
        for one in values["dagster-user-deployments"]["deployments"]
    }
    assert holders == {"wavcaps-assets": [BUCKET, KEYS], "wavcaps-training": [BUCKET]}
    # What steps printed is in the bucket.
    assert [secret["name"] for secret in values["dagsterWebserver"]["envSecrets"]] == [BUCKET]
    guide = (ROOT / "docs/executor.md").read_text()
    for name in (BUCKET, KEYS):
        assert f"create secret generic {name} " in guide
