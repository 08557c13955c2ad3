"""The files of `deploy/`: what a team's installation exposes, and to whom its keys are given."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.support.compose import DEPLOY, NotSet, services
from tests.support.paths import ROOT
from wavcaps_assets.environment import require_known_variables

SECRETS = {
    "UI_USER": "someone",
    "UI_PASSWORD_HASH": "hash",
    "DAGSTER_POSTGRES_PASSWORD": "database-password",
    "AWS_ACCESS_KEY_ID": "access",
    "AWS_SECRET_ACCESS_KEY": "bucket-secret",
}
OURS = ("buckets", "assets", "training", "webserver", "daemon")


@pytest.fixture(scope="module")
def compose() -> dict[str, dict[str, Any]]:
    return services(SECRETS)


@pytest.mark.parametrize("missing", sorted(SECRETS))
def test_nothing_starts_without_a_password(missing: str) -> None:
    with pytest.raises(NotSet, match=missing):
        services({name: value for name, value in SECRETS.items() if name != missing})


def test_only_the_proxy_is_reachable_and_only_from_this_machine(compose: dict[str, dict[str, Any]]) -> None:
    published = {name: service["ports"] for name, service in compose.items() if "ports" in service}
    assert published == {"proxy": ["127.0.0.1:8443:8443"]}
    # Only who needs the internet has a way to it.
    assert {name for name, service in compose.items() if "outside" in service["networks"]} == {
        "assets",
        "proxy",
    }
    assert yaml.safe_load((DEPLOY / "compose.yaml").read_text())["networks"]["inside"] == {"internal": True}


def test_each_password_is_given_to_those_who_need_it(compose: dict[str, dict[str, Any]]) -> None:
    holders = {
        name: {service for service, what in compose.items() if value in what["environment"].values()}
        for name, value in SECRETS.items()
    }
    assert holders["UI_PASSWORD_HASH"] == {"proxy"}
    assert holders["DAGSTER_POSTGRES_PASSWORD"] == {"postgres", *OURS}
    assert holders["AWS_SECRET_ACCESS_KEY"] == {"s3", *OURS}
    assert {name for name, service in compose.items() if "env_file" in service} == {"assets"}


def test_code_servers_outlive_a_night_of_sleep(compose: dict[str, dict[str, Any]]) -> None:
    """Dagster counts heartbeats by the wall clock, and the time of a sleep is part of it."""
    servers = [service for service in compose.values() if "code-server" in service.get("command", [])]
    assert len(servers) == 2
    for service in servers:
        assert int(service["environment"]["DAGSTER_GRPC_PROXY_HEARTBEAT_TTL_SECONDS"]) > 30 * 86400


@pytest.mark.parametrize("name", OURS)
def test_the_code_locations_know_every_variable(name: str, compose: dict[str, dict[str, Any]]) -> None:
    require_known_variables(compose[name]["environment"])


def test_the_variables_of_the_examples_exist() -> None:
    keys = re.findall(r"^# (WAVCAPS_\w+)=", (DEPLOY / "keys.env.example").read_text(), re.M)
    assert keys
    require_known_variables(dict.fromkeys(keys, "x"))
    written = re.findall(r"^(\w+)=", (DEPLOY / "env.example").read_text(), re.M)
    assert set(SECRETS) <= set(written)


def test_the_images_run_without_root_and_contain_no_file_of_keys() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    targets = re.split(r"^FROM ", dockerfile, flags=re.M)[2:]
    assert [target.split()[2] for target in targets] == ["data", "training"]
    for target in targets:
        assert re.findall(r"^USER (\w+)", target, re.M) == ["wavcaps"]
    copied = [word for line in re.findall(r"^COPY (.+) \S+$", dockerfile, re.M) for word in line.split()]
    assert all((ROOT / path).exists() for path in copied)
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"]
    # setuptools puts both into the wheel; NOTICE has the terms of the weights in checkpoints.
    assert {"LICENSE", "NOTICE"} <= set(copied)
    assert set(copied) <= {*allowed, "requirements/team.txt", "requirements/training.txt"}
    assert "requirements/*.txt" in allowed
