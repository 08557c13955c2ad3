"""The demo has its own instance and store, whatever the terminal is set up for."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest

from wavcaps_assets.demo.command import prepare_environment


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A terminal with settings of live sources; what the demo changes in it is undone."""
    for name in ("WAVCAPS_SOURCES", "WAVCAPS_ON_MISSING_CUDA", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "live"))
    monkeypatch.setenv("WAVCAPS_STORE", str(tmp_path / "live" / "store"))
    monkeypatch.setenv("WAVCAPS_SOURCE_NAMES", "local_folder")
    monkeypatch.setenv("WAVCAPS_FREESOUND__FIRST_MONTH", "2005-04")
    monkeypatch.setenv("WAVCAPS_LOCAL_FOLDER__PATH", str(tmp_path))
    monkeypatch.setenv("WAVCAPS_EMBEDDED_SOURCES_PORT", "18731")
    return monkeypatch


@pytest.mark.usefixtures("terminal")
def test_the_demo_leaves_the_live_store_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "demo"
    settings = prepare_environment(home)
    assert settings.store_folder == home / "store"
    assert settings.state == home / "state"
    assert settings.source_names == ()
    assert settings.embedded_sources_port == 18731
    assert os.environ["DAGSTER_HOME"] == str(home)
    assert (home / "dagster.yaml").is_file()
    assert not (tmp_path / "live").exists()
    assert (
        "does not use WAVCAPS_FREESOUND__FIRST_MONTH, WAVCAPS_LOCAL_FOLDER__PATH" in capsys.readouterr().out
    )


def test_a_terminal_for_live_sources_is_refused(terminal: pytest.MonkeyPatch, tmp_path: Path) -> None:
    terminal.setenv("WAVCAPS_SOURCES", "live")
    with pytest.raises(click.ClickException, match="set up for live sources"):
        prepare_environment(tmp_path / "demo")
