"""Names of settings that do not exist are errors, and docs/settings.md has those that do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from dagster._core.secrets.env_file import get_env_var_dict

from tests.support.paths import ROOT
from wavcaps_assets.cli import main
from wavcaps_assets.definitions import defs
from wavcaps_assets.environment import (
    OF_TRAINING,
    PREFIX,
    UnknownVariable,
    as_markdown,
    read_dotenv,
    require_known_variables,
    variables,
)
from wavcaps_training.executor.config import (
    CLUSTER_GROWS_VARIABLE,
    ENGINE_VARIABLE,
    ON_MISSING_CUDA_VARIABLE,
)
from wavcaps_training.executor.devices import DECLARED_DEVICES_VARIABLE, DEVICE_VARIABLE
from wavcaps_training.executor.locks import LOCKS_VARIABLE
from wavcaps_training.settings.gpus import GpuSettings
from wavcaps_training.settings.metric_files import MetricFiles
from wavcaps_training.settings.released import ReleasedSettings


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("WAVCAPS_STOER", "WAVCAPS_STORE"),
        ("WAVCAPS_LOCAL_FOLDER__PTH", "WAVCAPS_LOCAL_FOLDER__PATH"),
        ("WAVCAPS_LOCAL_FOLDER_PATH", "WAVCAPS_LOCAL_FOLDER__PATH"),
        ("WAVCAPS_FRESOUND__TOKEN", "WAVCAPS_FREESOUND__TOKEN"),
        ("WAVCAPS_ON_MISING_CUDA", "WAVCAPS_ON_MISSING_CUDA"),
        ("wavcaps_sourcs", "WAVCAPS_SOURCES"),
        ("WAVCAPS_STORE__PATH", "WAVCAPS_STORE"),
    ],
)
def test_a_wrong_name_is_an_error_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UnknownVariable, match=rf"{name.upper()}: did you mean {nearest}\?"):
        require_known_variables({name: "secret", "PATH": "/bin"})


def test_a_wrong_name_in_json_is_an_error_without_its_value() -> None:
    with pytest.raises(UnknownVariable, match=r"WAVCAPS_FREESOUND__TOKN") as caught:
        require_known_variables({"WAVCAPS_FREESOUND": json.dumps({"tokn": "secret", "page_size": 3})})
    assert "secret" not in str(caught.value)


def test_what_exists_is_no_error() -> None:
    require_known_variables(
        {
            **{variable.name: "" for variable in variables()},
            "wavcaps_store": "/data",
            "WAVCAPS_SOUNDBIBLE": json.dumps({"base_url": "https://sounds.example"}),
            "WAVCAPS_NETWORK__QUOTAS__SOUNDS.EXAMPLE": "{}",
            "_WAVCAPS_COMPLETE": "bash_source",
        }
    )


def test_the_addresses_that_kubernetes_sets_are_no_settings() -> None:
    require_known_variables(
        {
            "WAVCAPS_WEBSERVER_SERVICE_HOST": "10.0.0.7",
            "WAVCAPS_WEBSERVER_SERVICE_PORT_HTTP": "80",
            "WAVCAPS_WEBSERVER_PORT": "tcp://10.0.0.7:80",
            "WAVCAPS_WEBSERVER_PORT_80_TCP_ADDR": "10.0.0.7",
        }
    )
    with pytest.raises(UnknownVariable):
        require_known_variables({"WAVCAPS_WEBSERVER_PORT": "80"})


def test_the_variables_of_training_are_known() -> None:
    of_training = {f"{PREFIX}{name.upper()}" for name in GpuSettings.model_fields}
    of_training |= {ON_MISSING_CUDA_VARIABLE, ENGINE_VARIABLE, CLUSTER_GROWS_VARIABLE}
    of_training |= {f"{PREFIX}{name.upper()}" for name in MetricFiles.model_fields}
    of_training |= {f"{PREFIX}{name.upper()}" for name in ReleasedSettings.model_fields}
    of_training |= {DECLARED_DEVICES_VARIABLE, DEVICE_VARIABLE, LOCKS_VARIABLE}
    assert {variable.name for variable in OF_TRAINING} == of_training


def test_definitions_and_commands_refuse_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVCAPS_STOER", "/data")
    with pytest.raises(UnknownVariable):
        defs()
    ran = CliRunner().invoke(main, ["provenance", "freesound-1"])
    assert ran.exit_code == 1
    assert "did you mean WAVCAPS_STORE?" in ran.output


def test_the_page_of_settings_has_all_of_them() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert as_markdown() in page, "run: python -m wavcaps_assets.environment docs/settings.md"


def test_a_dotenv_file_is_read_as_dagster_reads_it(tmp_path: Path) -> None:
    assert read_dotenv(tmp_path) == {}
    text = 'WAVCAPS_SOURCES=live\nexport WAVCAPS_CONTACT="me # you"  # a comment\nEMPTY=\nNONE\nA=${HOME}/x\n'
    (tmp_path / ".env").write_text(text)
    assert read_dotenv(tmp_path) == get_env_var_dict(str(tmp_path))
    assert read_dotenv(tmp_path)["WAVCAPS_CONTACT"] == "me # you"
